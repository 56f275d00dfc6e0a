/* x86 with AVX-VNNI: four products of bytes are added in 32 bits (vpdpbusd), in vectors of 32 bytes. */
#include "processor.h"
#include "x86_256.h"

#define INT8_OFFSET 128

TILE ints dot(ints sum, ints weights, ints x) { return _mm256_dpbusd_avx_epi32(sum, weights, x); }

#include "unpack.h"
#include "x86_vnni.h"
#include "x86_tiles.h"

#include "x86_gguf_tiles.h"

static int supported(void) {
    return processor_has(AVX_VNNI);
}

#define KERNELS kernels_avx_vnni
#define NAME "avx-vnni"
#include "forward.h"
