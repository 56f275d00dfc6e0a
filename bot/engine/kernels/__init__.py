"""The compiled kernels: int8 and a GGUF file's blocks on every processor, without torch.

kernels.h        what Python hands to them, and how weights lie in memory
forward.h        a pass through the model, step by step
matmul.h         a block of a projection, over tiles
attention.h      a few queries over the keys and values that they share
activations.h    activations, quantized as they come
rows.h           norm, rotation and what else is done to one row
tile.h           what all tiles have in common
float_bits.h     floats by their bits, and float16
x86_256.h, x86_vnni.h, x86_tiles.h, neon.h, neon_tiles.h
                 vectors and tiles of a family of instruction sets
gguf_blocks.h, unpack.h, x86_gguf_tiles.h, neon_gguf_tiles.h
                 a GGUF file's blocks, and tiles over them
avx2.c, avx_vnni.c, avx512_vnni.c, neon_dotprod.c, neon_i8mm.c, plain.c
                 one instruction set each: its tiles, then all of the above in it
quantize.c, scale_search.h
                 weights to a GGUF file's blocks, as `prepare` makes them
thread_pool      pieces of a step, claimed by whoever is free
processor        which instruction sets this processor has
kernels.c        the table of the instruction sets that were compiled
build_library    compiles all of that; build_backend does so when the package is installed, and ensure_library
                 in `make setup`, where the library cannot be used
bindings         loads the library and mirrors its structs
quantizer        quantize.c from Python
decoder          the methods of `bot.engine.model.decoder.Decoder` over it
"""
