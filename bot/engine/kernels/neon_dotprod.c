/* ARM with dot products of bytes (Armv8.2: Cortex-A76 of a Raspberry Pi 5, and later). */
#include "neon.h"
#include "processor.h"

#define INT8_OFFSET 0
#define TILE_ROWS 8

TILE void arrange(int rows, int8x16_t *x) {
    (void)rows, (void)x; /* as they lie */
}

TILE void begin(int rows, const int32x4_t *corrections, int32x4_t *sum) {
    UNROLL for (int row = 0; row < rows; row++) sum[row] = vdupq_n_s32(corrections[row / LANES][row % LANES]);
}

TILE void add_products(int rows, const int8x16_t *weights, const int8x16_t *x, int32x4_t *sum) {
    UNROLL for (int quad = 0; quad < HALF_QUADS; quad++)
        UNROLL for (int row = 0; row < rows; row++) sum[row] = dot(sum[row], weights[quad], x[row], quad);
}

TILE void whole(int rows, int32x4_t *sum) {
    (void)rows, (void)sum; /* as they are */
}

#include "unpack.h"
#include "neon_tiles.h"

#include "neon_gguf_tiles.h"

static int supported(void) {
    return processor_has(DOT_PRODUCT);
}

#define KERNELS kernels_neon_dotprod
#define NAME "neon-dotprod"
#include "forward.h"
