/* Plain C, for any processor: what the compiler makes of it. */
#include <string.h>

#include "tile.h"

#define INT8_OFFSET 0
#define TILE_ROWS 4
#define OUTPUTS(rows) BLOCK

/* The compiler has its own vectors of four floats, or does without. */
typedef float floats __attribute__((vector_size(16)));

enum { LANES = 4, MOST_QUERIES = 2 };

TILE floats load_floats(const float *from) {
    floats numbers;
    memcpy(&numbers, from, sizeof numbers);
    return numbers;
}

TILE void store_floats(float *into, floats numbers) { memcpy(into, &numbers, sizeof numbers); }
TILE floats broadcast_float(float number) { return (floats){number, number, number, number}; }
TILE floats multiply_add(floats a, floats b, floats c) { return a * b + c; }

TILE void sum_four(const floats *numbers, float *sums) {
    for (int i = 0; i < 4; i++) sums[i] = (numbers[i][0] + numbers[i][1]) + (numbers[i][2] + numbers[i][3]);
}

/* A quad's products, of 8 bits by 8 bits, of which even 2^15 would fit 32 bits. */
TILE void add_products(const int8_t weights[BLOCK][QUAD], const int8_t *codes, int32_t *sums) {
    for (int o = 0; o < BLOCK; o++) {
        const int8_t *weight = weights[o];
        sums[o] += weight[0] * codes[0] + weight[1] * codes[1] + weight[2] * codes[2] + weight[3] * codes[3];
    }
}

TILE void tile_int8(int rows, const struct int8_block *blocks, struct view x, int groups,
                    struct ahead *ahead, float *sums, int stride) {
    (void)ahead;
    for (int row = 0; row < rows; row++) {
        float *into = sums + row * stride;
        for (int group = 0; group < groups; group++) {
            int64_t at = group * x.width + row;
            const int8_t *codes = x.codes + at * GROUP;
            int32_t sum[BLOCK] = {0};
            for (int quad = 0; quad < QUADS; quad++)
                add_products(blocks[group].codes[quad], codes + quad * QUAD, sum);
            for (int o = 0; o < BLOCK; o++) into[o] += (float)sum[o] * x.scales[at];
        }
    }
}

TILE void tile_int4(int rows, const struct int4_block *blocks, struct view x, int groups,
                    struct ahead *ahead, float *sums, int stride) {
    (void)ahead;
    for (int group = 0; group < groups; group++) {
        const struct int4_block *block = blocks + group;
        int8_t codes[QUADS][BLOCK][QUAD];
        float scales[BLOCK];
        for (int pair = 0; pair < QUADS / 2; pair++) {
            const uint8_t *both = block->codes[pair][0];
            int8_t *even = codes[2 * pair][0], *odd = codes[2 * pair + 1][0];
            for (int i = 0; i < BLOCK * QUAD; i++) even[i] = both[i] & 15, odd[i] = (int8_t)(both[i] >> 4);
        }
        for (int o = 0; o < BLOCK; o++) {
            uint32_t bits = (uint32_t)block->scales[o] << 16;
            memcpy(scales + o, &bits, sizeof bits);
        }
        for (int row = 0; row < rows; row++) {
            int64_t at = group * x.width + row;
            int32_t sum[BLOCK];
            for (int o = 0; o < BLOCK; o++) sum[o] = x.corrections[at];
            for (int quad = 0; quad < QUADS; quad++)
                add_products(codes[quad], x.codes + at * GROUP + quad * QUAD, sum);
            float *into = sums + row * stride;
            for (int o = 0; o < BLOCK; o++) into[o] += (float)sum[o] * scales[o] * x.scales[at];
        }
    }
}

static int supported(void) {
    return 1;
}

#define KERNELS kernels_plain
#define NAME "plain"
#include "forward.h"
