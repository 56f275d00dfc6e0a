/* x86 with AVX2 and FMA. */
#include "processor.h"
#include "x86_256.h"

#define INT8_OFFSET 0

TILE ints begin_int8(int32_t correction) {
    (void)correction;
    return _mm256_setzero_si256();
}

/* A weight's size by the activation with the weight's sign, for which 16 bits have room as well:
 * 2 * 128 * 127 = 32,512 < 2^15. Two such sums have none, so each is widened to 32 bits. */
TILE ints dot_int8(ints sum, ints weights, ints codes) {
    ints pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(codes, weights));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    ADDED(sum);
    return sum;
}

/* Of a file's formats 16 bits have room for the products of so many quads, two by two: codes of 4, 5 and 6
 * bits have no sign, and those of 4 bits have room for a whole group's, since 8 * 2 * 15 * 127 = 30,480 <
 * 2^15. */
#define RUN(format, quads) \
    ((format) == Q8_0 ? 1 : (format) == Q6_K ? 2 : (format) == Q5_0 || (format) == Q5_K ? 4 : (quads))

TILE ints begin_part(ints sum) {
    return (void)sum, _mm256_setzero_si256();
}

TILE ints dot_part(int format, ints part, ints weights, ints codes) {
    if (format == Q8_0)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(codes, weights));
    part = _mm256_add_epi16(part, _mm256_maddubs_epi16(weights, codes));
    ADDED(part);
    return part;
}

TILE ints end_part(ints sum, ints part) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}

#include "unpack.h"
#include "x86_tiles.h"

#include "x86_gguf_tiles.h"

static int supported(void) {
    return processor_has(AVX2);
}

#define KERNELS kernels_avx2
#define NAME "avx2"
#include "forward.h"
