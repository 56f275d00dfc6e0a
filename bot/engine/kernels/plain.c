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

#include "unpack.h"

TILE void tile_unpacked(int rows, int format, const struct unpacked *unpacked, struct view x, int groups,
                        float *sums, int stride) {
    int halves = halves_of(format), quads = QUADS / halves;
    for (int group = 0; group < groups; group++, next_group(&x)) {
        const struct unpacked *own = unpacked + group;
        for (int row = 0; row < rows; row++) {
            const int8_t *codes = x.codes + row * GROUP;
            /* Without a sign, since of NaN they may be anything. */
            uint32_t whole = (uint32_t)x.corrections[row], second = (uint32_t)x.corrections[row + x.width];
            float *into = sums + row * stride;
            for (int half = 0; half < halves; half++) {
                uint32_t begin = halves == 1 ? whole : half ? second : whole - second;
                int32_t sum[BLOCK];
                for (int o = 0; o < BLOCK; o++) sum[o] = (int32_t)(begin * (uint32_t)offset_of(format));
                for (int quad = half * quads; quad < (half + 1) * quads; quad++)
                    add_products((const int8_t(*)[QUAD])own->codes[quad], codes + quad * QUAD, sum);
                for (int o = 0; o < BLOCK; o++)
                    into[o] += (float)sum[o] * own->scales[half][o] * x.scales[row];
            }
            if (has_mins(format))
                for (int o = 0; o < BLOCK; o++)
                    into[o] += own->mins[o] * (x.scales[row] * (float)x.corrections[row]);
        }
    }
}

TILE void tile_packed(int format, const void *block, struct unpacked *unpacked, struct view x, float *sums) {
    unpack_codes(format, block, unpacked);
    tile_unpacked(1, format, unpacked, x, block_groups_of(format), sums, 0);
}

static int supported(void) {
    return 1;
}

#define KERNELS kernels_plain
#define NAME "plain"
#include "forward.h"
