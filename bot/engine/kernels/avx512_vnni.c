/* x86 with AVX-512 and VNNI: four products of bytes are added in 32 bits (vpdpbusd), in vectors of 64. */
#include <immintrin.h>
#include <string.h>

#include "processor.h"
#include "tile.h"

#define INT8_OFFSET 128
#define TILE_ROWS 6
#define OUTPUTS(rows) BLOCK

typedef __m512i ints;
typedef __m512 floats;

enum { LANES = 16, MOST_SUMS = 12, MOST_QUERIES = 4 };

/* A quad of one row's activations beside every output's. */
TILE ints broadcast_quad(const int8_t *codes) {
    int32_t quad;
    memcpy(&quad, codes, sizeof quad);
    return _mm512_set1_epi32(quad);
}

TILE ints load(const void *from) { return _mm512_loadu_si512(from); }
TILE ints low_halves(ints bytes) { return _mm512_and_si512(bytes, _mm512_set1_epi8(15)); }
TILE ints high_halves(ints bytes) { return low_halves(_mm512_srli_epi16(bytes, 4)); }
TILE ints without_sign(ints codes) { return _mm512_xor_si512(codes, _mm512_set1_epi8(-128)); }
TILE floats to_floats(ints numbers) { return _mm512_cvtepi32_ps(numbers); }
TILE floats load_floats(const float *from) { return _mm512_loadu_ps(from); }
TILE void store_floats(float *into, floats numbers) { _mm512_storeu_ps(into, numbers); }
TILE floats broadcast_float(float number) { return _mm512_set1_ps(number); }
TILE ints broadcast_int(int32_t number) { return _mm512_set1_epi32(number); }
TILE ints bits_and(ints a, ints b) { return _mm512_and_si512(a, b); }
TILE ints bits_or(ints a, ints b) { return _mm512_or_si512(a, b); }
TILE ints shift_right(ints numbers, int by) { return _mm512_srli_epi32(numbers, by); }
TILE ints nothing(void) { return _mm512_setzero_si512(); }
TILE ints subtract(ints a, ints b) { return _mm512_sub_epi32(a, b); }
TILE ints shift_left(ints numbers, int by) { return _mm512_slli_epi32(numbers, by); }
TILE floats times(floats a, floats b) { return _mm512_mul_ps(a, b); }
TILE floats multiply_add(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }

TILE floats add(floats a, floats b) { return _mm512_add_ps(a, b); }
TILE floats even_pairs(floats a, floats b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
TILE floats odd_pairs(floats a, floats b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* Four sums of sixteen: two steps leave a part of each of the four in every quarter of a vector. */
TILE void sum_four(const floats *of, float *sums) {
    floats first = add(_mm512_unpacklo_ps(of[0], of[1]), _mm512_unpackhi_ps(of[0], of[1]));
    floats second = add(_mm512_unpacklo_ps(of[2], of[3]), _mm512_unpackhi_ps(of[2], of[3]));
    floats parts = add(even_pairs(first, second), odd_pairs(first, second));
    __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(parts), 1));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(parts), upper);
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

TILE ints dot(ints sum, ints weights, ints x) { return _mm512_dpbusd_epi32(sum, weights, x); }

#include "unpack.h"
#include "x86_vnni.h"
#include "x86_tiles.h"

#include "x86_gguf_tiles.h"

static int supported(void) {
    return processor_has(AVX512_VNNI);
}

#define KERNELS kernels_avx512_vnni
#define NAME "avx512-vnni"
#include "forward.h"
