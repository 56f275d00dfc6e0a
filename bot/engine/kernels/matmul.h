/* y = x W^T + bias for one block of 32 outputs and any number of rows, over an instruction set's tiles.
 *
 * Before this header an instruction set defines
 *   OUTPUTS(rows)         how many of the 32 outputs a tile multiplies at once
 *   tile_int8, tile_int4  sums += scale * (group's codes . group's codes) for `rows` rows and 32 outputs,
 *                           from group to group, where `rows` is a constant once inlined
 */
#ifndef MATMUL_H
#define MATMUL_H

#include <string.h>

#include "activations.h"

/* Groups multiplied before the next rows are taken: so much of a block (32 KB in 8 bits) stays in the
 * first cache while all rows are multiplied. */
enum { PART = 32 };

/* Bytes from what a single row reads to what is fetched: memory is that far away. */
enum { AHEAD = 1024 };

static inline __attribute__((always_inline)) void tile(int rows, const struct matrix *matrix,
                                                       const char *block, struct view x, int groups,
                                                       struct ahead *ahead, float *sums, int stride) {
    if (matrix->bits == 8)
        tile_int8(rows, (const struct int8_block *)block, x, groups, ahead, sums, stride);
    else
        tile_int4(rows, (const struct int4_block *)block, x, groups, ahead, sums, stride);
}

/* What follows a part of a block: for a single row, which only waits for memory, the bytes right behind those
 * that are read; for more the next part, or the first of the next block, shared out to all tiles. */
static struct ahead what_follows(const struct matrix *matrix, int groups, int64_t size, int block, int part,
                                 int rows) {
    int blocks = (matrix->outputs + BLOCK - 1) / BLOCK, following = block * groups + part + PART;
    if (part + PART > groups) following = (block + 1) * groups;
    if (following >= blocks * groups) return (struct ahead){NULL, NULL, 0};
    const char *all = matrix->blocks, *end = all + (int64_t)blocks * groups * size;
    if (rows == 1) return (struct ahead){all + ((int64_t)block * groups + part) * size + AHEAD, end, size};
    int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, outputs = OUTPUTS(rows < TILE_ROWS ? rows : TILE_ROWS);
    int64_t lines = size / 64 / (tiles * (BLOCK / outputs)) + 1;
    return (struct ahead){all + following * size, end, lines * 64};
}

/* sums: [rows][stride], of which 32 columns are written. */
static void multiply_block(const struct matrix *matrix, const struct activations *x, int rows, int block,
                           float *sums, int stride) {
    if (rows == 0) return;
    int64_t size = matrix->bits == 8 ? sizeof(struct int8_block) : sizeof(struct int4_block);
    const char *blocks = (const char *)matrix->blocks + (int64_t)block * x->groups * size;
    for (int row = 0; row < rows; row++) memset(sums + (int64_t)row * stride, 0, BLOCK * sizeof *sums);
    for (int part = 0; part < x->groups; part += PART) {
        int groups = x->groups - part < PART ? x->groups - part : PART;
        struct ahead ahead = what_follows(matrix, x->groups, size, block, part, rows);
        for (int row = 0; row < rows;) {
            int64_t at = place_of(x, rows, row, part);
            struct view some = {x->codes + at * GROUP, x->scales + at, x->corrections + at,
                                width_of(rows, row)};
            float *into = sums + (int64_t)row * stride;
            const char *weights = blocks + part * size;
            int left = rows - row;
            if (left >= TILE_ROWS) {
                tile(TILE_ROWS, matrix, weights, some, groups, &ahead, into, stride);
                row += TILE_ROWS;
            } else if (left >= 4) {
                tile(4, matrix, weights, some, groups, &ahead, into, stride);
                row += 4;
            } else if (left >= 2) {
                tile(2, matrix, weights, some, groups, &ahead, into, stride);
                row += 2;
            } else {
                tile(1, matrix, weights, some, groups, &ahead, into, stride);
                row += 1;
            }
        }
    }
    const float *bias = matrix->bias == NULL ? NULL : matrix->bias + (int64_t)block * BLOCK;
    const float *scales = matrix->bits == 8 ? matrix->scales + (int64_t)block * BLOCK : NULL;
    for (int row = 0; row < rows; row++) {
        float *y = sums + (int64_t)row * stride;
        if (scales != NULL)
            for (int i = 0; i < BLOCK; i++) y[i] *= scales[i];
        if (bias != NULL)
            for (int i = 0; i < BLOCK; i++) y[i] += bias[i];
    }
}

#endif
