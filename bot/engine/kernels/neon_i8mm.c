/* ARM with products of matrices of bytes (Armv8.6: Graviton 3, Apple's M2, and later).
 *
 * smmla multiplies two rows by two outputs, eight inputs of each, and adds to four sums:
 *
 *   x        r0: x0 .. x7 | r1: x0 .. x7
 *   weights  o0: w0 .. w7 | o1: w0 .. w7
 *   sum      r0 o0 | r0 o1 | r1 o0 | r1 o1
 *
 * A block has the quads of four outputs side by side; two quads that follow each other are zipped:
 *
 *   quad 0   o0: w0 .. w3 | o1: w0 .. w3 | o2: w0 .. w3 | o3: w0 .. w3
 *   quad 1   o0: w4 .. w7 | o1: w4 .. w7 | o2: w4 .. w7 | o3: w4 .. w7
 *   zip1     o0: w0 .. w3 | o0: w4 .. w7 | o1: w0 .. w3 | o1: w4 .. w7
 *   zip2     o2: w0 .. w3 | o2: w4 .. w7 | o3: w0 .. w3 | o3: w4 .. w7
 *
 * A single row has dot products: half of such a matrix would be empty. */
#include "neon.h"
#include "processor.h"

#define INT8_OFFSET 0
#define TILE_ROWS 8

TILE int8x16_t first_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

TILE int8x16_t second_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

/* Of every two rows the first eight inputs, then the second eight. */
TILE void arrange(int rows, int8x16_t *x) {
    UNROLL for (int row = 0; row + 1 < rows; row += 2) {
        int8x16_t a = x[row], b = x[row + 1];
        x[row] = first_halves(a, b);
        x[row + 1] = second_halves(a, b);
    }
}

/* Of every two rows the sums of the first two outputs, then those of the last two. */
TILE void begin(int rows, const int32x4_t *corrections, int32x4_t *sum) {
    if (rows == 1) sum[0] = vdupq_n_s32(corrections[0][0]);
    UNROLL for (int row = 0; row + 1 < rows; row += 2)
        sum[row] = sum[row + 1] =
            vcombine_s32(vdup_n_s32(corrections[row / LANES][row % LANES]),
                         vdup_n_s32(corrections[row / LANES][row % LANES + 1]));
}

TILE void add_products(int rows, const int8x16_t *weights, const int8x16_t *x, int32x4_t *sum) {
    if (rows == 1) {
        UNROLL for (int quad = 0; quad < HALF_QUADS; quad++) sum[0] = dot(sum[0], weights[quad], x[0], quad);
        return;
    }
    UNROLL for (int eight = 0; eight < 2; eight++) {
        int32x4_t a = vreinterpretq_s32_s8(weights[2 * eight]);
        int32x4_t b = vreinterpretq_s32_s8(weights[2 * eight + 1]);
        int8x16_t two = vreinterpretq_s8_s32(vzip1q_s32(a, b)), last = vreinterpretq_s8_s32(vzip2q_s32(a, b));
        UNROLL for (int row = 0; row + 1 < rows; row += 2) {
            sum[row] = vmmlaq_s32(sum[row], x[row + eight], two);
            sum[row + 1] = vmmlaq_s32(sum[row + 1], x[row + eight], last);
        }
    }
}

/* Each row's sums of all four outputs:
 *
 *   r0 o0 | r0 o1 | r1 o0 | r1 o1      r0 o0 | r0 o1 | r0 o2 | r0 o3
 *   r0 o2 | r0 o3 | r1 o2 | r1 o3  ->  r1 o0 | r1 o1 | r1 o2 | r1 o3 */
TILE void whole(int rows, int32x4_t *sum) {
    UNROLL for (int row = 0; row + 1 < rows; row += 2) {
        int8x16_t a = vreinterpretq_s8_s32(sum[row]), b = vreinterpretq_s8_s32(sum[row + 1]);
        sum[row] = vreinterpretq_s32_s8(first_halves(a, b));
        sum[row + 1] = vreinterpretq_s32_s8(second_halves(a, b));
    }
}

#include "unpack.h"
#include "neon_tiles.h"

#include "neon_gguf_tiles.h"

static int supported(void) {
    return processor_has(INT8_MATRIX);
}

#define KERNELS kernels_neon_i8mm
#define NAME "neon-i8mm"
#include "forward.h"
