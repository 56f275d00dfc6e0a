/* y = x W^T + bias for one block of 32 outputs and any number of rows, over an instruction set's tiles.
 *
 * Before this header an instruction set defines
 *   OUTPUTS(rows)  how many of the 32 outputs a tile multiplies at once
 *   tile_int8      sums += scale * (group's codes . group's codes) for `rows` rows and 32 outputs, from group
 *                  to group, where `rows` is a constant once inlined
 *   tile_unpacked  the same of a GGUF file's blocks, unpacked (unpack.h)
 *   tile_packed    the same of one such block whose scales are unpacked, for one row */
#ifndef MATMUL_H
#define MATMUL_H

#include <string.h>

#include "activations.h"

/* Groups multiplied before the next rows are taken: so much of a block (32 KB in 8 bits) stays in the
 * first cache while all rows are multiplied. */
enum { PART = 32 };

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

static struct view view_of(const struct activations *x, int rows, int row, int group) {
    struct place place = place_in(x, rows, row, group);
    return (struct view){x->codes + place.at * GROUP, x->scales + place.at, x->corrections + place.correction,
                         place.width};
}

static void multiply_int8(const struct matrix *matrix, const struct activations *x, int rows, int block,
                          float *sums, int stride) {
    const struct int8_block *blocks = (const struct int8_block *)matrix->blocks + (int64_t)block * x->groups;
    for (int part = 0; part < x->groups; part += PART) {
        int groups = x->groups - part < PART ? x->groups - part : PART;
        struct ahead ahead = what_follows(matrix, x->groups, sizeof *blocks, block, part, rows);
        for (int row = 0; row < rows;) {
            struct view some = view_of(x, rows, row, part);
            float *into = sums + (int64_t)row * stride;
            int left = rows - row;
            if (left >= TILE_ROWS) {
                tile_int8(TILE_ROWS, blocks + part, some, groups, &ahead, into, stride);
                row += TILE_ROWS;
            } else if (left >= 4) {
                tile_int8(4, blocks + part, some, groups, &ahead, into, stride);
                row += 4;
            } else if (left >= 2) {
                tile_int8(2, blocks + part, some, groups, &ahead, into, stride);
                row += 2;
            } else {
                tile_int8(1, blocks + part, some, groups, &ahead, into, stride);
                row += 1;
            }
        }
    }
}

/* Groups of a file's blocks unpacked before the next rows are taken: 22 KB, with their scales. Bytes from a
 * block to what is fetched into the first cache meanwhile. */
enum { UNPACKED = 16, BLOCK_AHEAD = 4096 };

/* For a single row a block is unpacked as it is multiplied; for more, some are unpacked first, and multiplied
 * with all rows while they are in the first cache. */
static inline __attribute__((always_inline)) void multiply_format(int format, const struct matrix *matrix,
                                                                  const struct activations *x, int rows,
                                                                  int block, float *sums, int stride) {
    struct unpacked unpacked[UNPACKED] __attribute__((aligned(64)));
    const int together = block_groups_of(format);
    int64_t size = block_bytes_of(format);
    const char *at = (const char *)matrix->blocks + (int64_t)block * (x->groups / together) * size;
    for (int part = 0; part < x->groups; part += UNPACKED) {
        int groups = x->groups - part < UNPACKED ? x->groups - part : UNPACKED;
        for (int group = 0; group < groups; group += together, at += size) {
            for (int64_t line = 0; line < size; line += 64) __builtin_prefetch(at + BLOCK_AHEAD + line, 0, 3);
            unpack_scales(format, at, unpacked + group);
            if (rows > 1)
                unpack_codes(format, at, unpacked + group);
            else
                tile_packed(format, at, unpacked + group, view_of(x, rows, 0, part + group), sums);
        }
        for (int row = 0; rows > 1 && row < rows;) {
            struct view some = view_of(x, rows, row, part);
            float *into = sums + (int64_t)row * stride;
            int left = rows - row;
            if (left >= TILE_ROWS) {
                tile_unpacked(TILE_ROWS, format, unpacked, some, groups, into, stride);
                row += TILE_ROWS;
            } else if (left >= 4) {
                tile_unpacked(4, format, unpacked, some, groups, into, stride);
                row += 4;
            } else if (left >= 2) {
                tile_unpacked(2, format, unpacked, some, groups, into, stride);
                row += 2;
            } else {
                tile_unpacked(1, format, unpacked, some, groups, into, stride);
                row += 1;
            }
        }
    }
}

static void multiply_file_blocks(const struct matrix *matrix, const struct activations *x, int rows,
                                 int block, float *sums, int stride) {
    switch (matrix->format) {
    case Q4_0: multiply_format(Q4_0, matrix, x, rows, block, sums, stride); break;
    case Q5_0: multiply_format(Q5_0, matrix, x, rows, block, sums, stride); break;
    case Q8_0: multiply_format(Q8_0, matrix, x, rows, block, sums, stride); break;
    case Q4_K: multiply_format(Q4_K, matrix, x, rows, block, sums, stride); break;
    case Q5_K: multiply_format(Q5_K, matrix, x, rows, block, sums, stride); break;
    default: multiply_format(Q6_K, matrix, x, rows, block, sums, stride); break;
    }
}

/* sums: [rows][stride], of which 32 columns are written. */
static void multiply_block(const struct matrix *matrix, const struct activations *x, int rows, int block,
                           float *sums, int stride) {
    if (rows == 0) return;
    for (int row = 0; row < rows; row++) memset(sums + (int64_t)row * stride, 0, BLOCK * sizeof *sums);
    if (matrix->format == INT8)
        multiply_int8(matrix, x, rows, block, sums, stride);
    else
        multiply_file_blocks(matrix, x, rows, block, sums, stride);
    const float *bias = matrix->bias == NULL ? NULL : matrix->bias + (int64_t)block * BLOCK;
    const float *scales = matrix->format == INT8 ? matrix->scales + (int64_t)block * BLOCK : NULL;
    for (int row = 0; row < rows; row++) {
        float *y = sums + (int64_t)row * stride;
        if (scales != NULL)
            for (int i = 0; i < BLOCK; i++) y[i] *= scales[i];
        if (bias != NULL)
            for (int i = 0; i < BLOCK; i++) y[i] += bias[i];
    }
}

#endif
