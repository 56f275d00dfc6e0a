/* Activations quantized as they come, and where they stand.
 *
 * Before this header an instruction set defines
 *   INT8_OFFSET  what is added to 8-bit weights' codes (0 or 128) so that its instructions can multiply them
 *   TILE_ROWS    the most rows that are multiplied at once: as many as its registers hold sums for */
#ifndef ACTIVATIONS_H
#define ACTIVATIONS_H

#include <math.h>
#include <string.h>

#include "float_bits.h"
#include "kernels.h"

/* Bytes from what a single row reads to what is fetched: memory is that far away. */
enum { AHEAD = 1024 };

/* How many rows stand side by side where `row` of `rows` does: those of a tile. */
static int width_of(int rows, int row) {
    int left = rows - row / TILE_ROWS * TILE_ROWS;
    return left < TILE_ROWS ? left : TILE_ROWS;
}

/* Where a group of a row of activations is. */
static int64_t place_of(const struct activations *x, int rows, int row, int group) {
    int first = row / TILE_ROWS * TILE_ROWS;
    return (int64_t)first * x->groups + (int64_t)group * width_of(rows, row) + row - first;
}

static inline int32_t nearest(float number) {
    return (int32_t)(bits_of(number + ROUNDER) - bits_of(ROUNDER));
}

/* Where a group of a row of activations is, and how many rows stand side by side there. */
struct place {
    int64_t at, correction;
    int width;
};

static struct place place_in(const struct activations *x, int rows, int row, int group) {
    int width = width_of(rows, row);
    int64_t at = place_of(x, rows, row, group);
    return (struct place){at, 2 * at - row % TILE_ROWS, width};
}

/* Quantize 32 numbers to 8 bits with one scale, for weights of a format.
 * A group with NaN or infinity has the scale NaN, and so have all products of its row. */
static void quantize_group(const float *numbers, const struct activations *to, int format,
                           struct place place) {
    uint32_t largest = 0; /* compared as bits: NaN is larger than all */
#pragma omp simd reduction(max : largest)
    for (int i = 0; i < GROUP; i++) {
        uint32_t size = bits_of(numbers[i]) & 0x7FFFFFFF;
        largest = size > largest ? size : largest;
    }
    float peak = float_of(largest), inverse = peak > 1e-30f ? 127.0f / peak : 0.0f;
    to->scales[place.at] = peak < 3e38f ? peak / 127.0f : NAN;
    int32_t codes[GROUP];
    uint32_t sum[HALVES_OF_GROUP] = {0}; /* of NaN it may be anything, which without a sign is defined */
    for (int half = 0; half < HALVES_OF_GROUP; half++) {
        uint32_t own = 0;
#pragma omp simd reduction(+ : own)
        for (int i = half * GROUP / 2; i < (half + 1) * GROUP / 2; i++) {
            codes[i] = nearest(numbers[i] * inverse);
            own += (uint32_t)codes[i];
        }
        sum[half] = own;
    }
    uint32_t offset = format == INT8 ? INT8_OFFSET : 1;
    int32_t *corrections = to->corrections + place.correction;
    corrections[0] = (int32_t)(0 - (sum[0] + sum[1]) * offset);
    corrections[place.width] = (int32_t)(0 - sum[1] * offset);
    int8_t *into = to->codes + place.at * GROUP;
    for (int i = 0; i < GROUP; i++) into[i] = (int8_t)codes[i];
}

/* `size` numbers as row `row` of `to`; the last group is filled with zeros. */
static void quantize_row(const float *numbers, int size, const struct activations *to, int format, int rows,
                         int row) {
    int whole = size / GROUP;
    for (int group = 0; group < whole; group++)
        quantize_group(numbers + group * GROUP, to, format, place_in(to, rows, row, group));
    if (size % GROUP) {
        float rest[GROUP] = {0};
        memcpy(rest, numbers + whole * GROUP, (size_t)(size % GROUP) * sizeof *rest);
        quantize_group(rest, to, format, place_in(to, rows, row, whole));
    }
}

#endif
