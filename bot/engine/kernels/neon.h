/* Vectors of 16 bytes: four outputs, a quad of each.
 *
 *   weights      o0: w0 w1 w2 w3 | o1: w0 w1 w2 w3 | o2: ... | o3: ...     with a sign
 *   activations      x0 .. x3    |     x4 .. x7    | x8 .. x11 | x12 .. x15  four quads of one row
 *
 * A dot product instruction multiplies each output's quad by the one quad of the row that it names, and adds
 * the four products to the output's sum of 32 bits. None comes near 2^31: 32 products of 128 * 127. */
#include <arm_neon.h>

#include "tile.h"

/* As many outputs at once as have eight vectors of sums: these, as many of floats, a half of a group of each
 * row's activations and four quads' weights are what 32 registers hold. */
#define OUTPUTS(rows) (BLOCK / (rows))

enum { LANES = 4, SUMS = 8, HALVES = 2, HALF_QUADS = QUADS / HALVES, MOST_QUERIES = 4 };

typedef float32x4_t floats;

TILE floats load_floats(const float *from) { return vld1q_f32(from); }
TILE void store_floats(float *into, floats numbers) { vst1q_f32(into, numbers); }
TILE floats broadcast_float(float number) { return vdupq_n_f32(number); }
TILE floats multiply_add(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }

TILE void sum_four(const floats *numbers, float *sums) {
    vst1q_f32(sums, vpaddq_f32(vpaddq_f32(numbers[0], numbers[1]), vpaddq_f32(numbers[2], numbers[3])));
}

/* sum += four outputs' quads . the quad in this place of a row's four. */
TILE int32x4_t dot(int32x4_t sum, int8x16_t weights, int8x16_t row, int quad) {
    switch (quad) { /* the instruction's number is a part of it */
    case 0: return vdotq_laneq_s32(sum, weights, row, 0);
    case 1: return vdotq_laneq_s32(sum, weights, row, 1);
    case 2: return vdotq_laneq_s32(sum, weights, row, 2);
    default: return vdotq_laneq_s32(sum, weights, row, 3);
    }
}
