"""The compiled kernels: int8 and int4 on every processor, without torch.

kernels.h        what Python hands to them, and how weights lie in memory
forward.h        a pass through the model, step by step
matmul.h         a block of a projection, over tiles
rows.h           norm, rotation, attention and quantization of a row
avx2.c, avx_vnni.c, avx512_vnni.c, neon_dotprod.c, neon_i8mm.c, plain.c
                 one instruction set each: its tiles, then all of the above in it
thread_pool.c    pieces of a step, claimed by whoever is free
processor.c      which instruction sets this processor has
build_library    compiles all of that; build_backend does so when the package is installed
bindings         loads the library and mirrors its structs
decoder          the methods of `bot.engine.model.decoder.Decoder` over it
"""
