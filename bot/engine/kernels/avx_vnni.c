/* x86 with AVX-VNNI: four products of bytes are added in 32 bits (vpdpbusd), in vectors of 32 bytes. */
#include "processor.h"
#include "x86_256.h"

#define INT8_OFFSET 128

/* No sum comes near 2^31: 32 products of 255 * 127, and a correction of 128 * 32 * 127. */
TILE ints begin_int4(int32_t correction) { return broadcast_int(correction); }
TILE ints dot_int4(ints sum, ints weights, ints x) { return _mm256_dpbusd_avx_epi32(sum, weights, x); }
TILE ints whole_int4(ints sum, int32_t correction) { return (void)correction, sum; } /* it began with that */
TILE ints begin_int8(int32_t correction) { return begin_int4(correction); }
TILE ints dot_int8(ints sum, ints weights, ints x) { return dot_int4(sum, without_sign(weights), x); }

/* Codes of a file's formats have no sign, those of 8 bits neither once they are unpacked. */
#define RUN(format, quads) (quads)
TILE ints begin_part(ints sum) { return sum; }
TILE ints dot_part(int format, ints part, ints weights, ints x) {
    (void)format;
    return dot_int4(part, weights, x);
}

TILE ints end_part(ints sum, ints part) { return (void)sum, part; }

#include "unpack.h"
#include "x86_tiles.h"

#include "x86_gguf_tiles.h"

static int supported(void) {
    return processor_has(AVX_VNNI);
}

#define KERNELS kernels_avx_vnni
#define NAME "avx-vnni"
#include "forward.h"
