/* x86 with AVX2 and FMA. */
#include "processor.h"
#include "x86_256.h"

#define INT8_CODE int16_t
#define INT8_OFFSET 0
#define TILE_ROWS 4
#define OUTPUTS(rows) ((rows) <= 2 ? 32 : 16)
#define MULTIPLY_ADD(a, b, c) FUSED(a, b, c)

enum { MOST_SUMS = 8 };

/* Codes of 4 bits: pmaddubsw adds two products in 16 bits, and the eight quads of a group can be added there
 * as well, since 8 * 2 * 15 * 127 = 30,480 < 2^15. */
TILE ints begin(int32_t correction) {
    (void)correction;
    return _mm256_setzero_si256();
}

TILE ints dot(ints sum, ints weights, ints codes) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, codes));
    ADDED(sum);
    return sum;
}

TILE ints whole(ints sum, int32_t correction) {
    return _mm256_add_epi32(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)), broadcast_int(correction));
}

/* A quad of activations of 16 bits beside every output's. */
TILE ints broadcast_wide_quad(const int16_t *codes) {
    int64_t quad;
    memcpy(&quad, codes, sizeof quad);
    return _mm256_set1_epi64x(quad);
}

#define OWN_TILE_INT8
#include "x86_tiles.h"

/* Two sums of each of four outputs added: the whole sums in the order of the outputs.
 *
 *   numbers  o0 o0 o1 o1 | o2 o2 o3 o3
 *   hadd     o0 o1       | o2 o3        of the lower and the upper half */
TILE __m128 add_pairs(floats numbers) {
    return _mm_hadd_ps(_mm256_castps256_ps128(numbers), _mm256_extractf128_ps(numbers, 1));
}

/* Weights of 8 bits are widened to 16 and multiplied in pairs (pmaddwd): bytes would be added in 16 bits,
 * where 2 * 255 * 127 has no room. The 16 products of a group in a lane, of 127 * 127, do fit 32 bits.
 *
 *   weights      o0: w0 w1 | o0: w2 w3 | o1: w0 w1 | o1: w2 w3 | ... four outputs
 *   activations      x0 x1 |     x2 x3 |     x0 x1 |     x2 x3 | ... */
TILE void tile_int8(int rows, const struct int8_block *blocks, struct view x, int groups,
                    struct ahead *ahead, float *sums, int stride) {
    const int vectors = 8 / rows, outputs = 4 * vectors;
    for (int first = 0; first < BLOCK; first += outputs) {
        floats total[8];
        UNROLL for (int i = 0; i < 8; i++) total[i] = _mm256_setzero_ps();
        for (int group = 0; group < groups; group++) {
            const int16_t *codes = (const int16_t *)x.codes + group * GROUP;
            ints sum[8];
            UNROLL for (int i = 0; i < 8; i++) sum[i] = _mm256_setzero_si256();
            fetch(ahead);
            UNROLL for (int quad = 0; quad < QUADS; quad++) {
                UNROLL for (int o = 0; o < vectors; o++) {
                    const void *four = blocks[group].codes[quad][first + 4 * o];
                    ints weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(four));
                    UNROLL for (int row = 0; row < rows; row++) {
                        ints quads = broadcast_wide_quad(codes + row * x.groups * GROUP + quad * QUAD);
                        ints *to = &sum[row * vectors + o];
                        *to = _mm256_add_epi32(*to, _mm256_madd_epi16(weights, quads));
                        ADDED(*to);
                    }
                }
            }
            UNROLL for (int row = 0; row < rows; row++) {
                floats scale = broadcast_float(x.scales[row * x.groups + group]);
                UNROLL for (int i = row * vectors; i < (row + 1) * vectors; i++)
                    total[i] = multiply_add(to_floats(sum[i]), scale, total[i]);
            }
        }
        UNROLL for (int row = 0; row < rows; row++) {
            UNROLL for (int o = 0; o < vectors; o++) {
                float *into = sums + row * stride + first + 4 * o;
                _mm_storeu_ps(into, _mm_add_ps(_mm_loadu_ps(into), add_pairs(total[row * vectors + o])));
            }
        }
    }
}

static int supported(void) {
    return processor_has(AVX2);
}

#define KERNELS kernels_avx2
#define NAME "avx2"
#include "forward.h"
