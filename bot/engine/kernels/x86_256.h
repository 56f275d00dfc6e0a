/* Vectors of 32 bytes: eight outputs, a quad of each. */
#include <immintrin.h>
#include <string.h>

#include "tile.h"

typedef __m256i ints;
typedef __m256 floats;

/* Eight sums in sixteen registers: the others hold weights, activations and some of the totals. */
#define TILE_ROWS 4
#define OUTPUTS(rows) ((rows) <= 2 ? 32 : 16)

enum { LANES = 8, MOST_SUMS = 8, MOST_QUERIES = 2 };

/* A quad of one row's activations beside every output's. */
TILE ints broadcast_quad(const int8_t *codes) {
    int32_t quad;
    memcpy(&quad, codes, sizeof quad);
    return _mm256_set1_epi32(quad);
}

TILE ints load(const void *from) { return _mm256_loadu_si256(from); }
TILE ints low_halves(ints bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
TILE ints high_halves(ints bytes) { return low_halves(_mm256_srli_epi16(bytes, 4)); }
TILE ints without_sign(ints codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8(-128)); }
TILE ints broadcast_int(int32_t number) { return _mm256_set1_epi32(number); }
TILE floats to_floats(ints numbers) { return _mm256_cvtepi32_ps(numbers); }
TILE floats load_floats(const float *from) { return _mm256_loadu_ps(from); }
TILE void store_floats(float *into, floats numbers) { _mm256_storeu_ps(into, numbers); }
TILE floats broadcast_float(float number) { return _mm256_set1_ps(number); }
TILE ints bits_and(ints a, ints b) { return _mm256_and_si256(a, b); }
TILE ints bits_or(ints a, ints b) { return _mm256_or_si256(a, b); }
TILE ints shift_right(ints numbers, int by) { return _mm256_srli_epi32(numbers, by); }
TILE ints nothing(void) { return _mm256_setzero_si256(); }
TILE ints subtract(ints a, ints b) { return _mm256_sub_epi32(a, b); }
TILE ints shift_left(ints numbers, int by) { return _mm256_slli_epi32(numbers, by); }
TILE floats times(floats a, floats b) { return _mm256_mul_ps(a, b); }
TILE floats multiply_add(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }

/* Four sums of eight: neighbours are added twice, which leaves two parts of each, four places apart. */
TILE void sum_four(const floats *numbers, float *sums) {
    floats first = _mm256_hadd_ps(numbers[0], numbers[1]);
    floats parts = _mm256_hadd_ps(first, _mm256_hadd_ps(numbers[2], numbers[3]));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(parts), _mm256_extractf128_ps(parts, 1)));
}
