/* The scale of a group of weights for which the squares of what rounding loses are least: several ranges of
 * codes are tried, and for the codes of each the scale is that of least squares. In vectors of four and one
 * order of sums, so that all processors find the same. */
#ifndef SCALE_SEARCH_H
#define SCALE_SEARCH_H

#include "float_bits.h"

enum { LANES = 4 };
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t masks __attribute__((vector_size(4 * LANES)));

struct group {
    const floats *weights;
    int vectors;
};

static inline floats all(float number) {
    return (floats){number, number, number, number};
}

static inline float sum(floats numbers) {
    return (numbers[0] + numbers[1]) + (numbers[2] + numbers[3]);
}

static inline floats choose(masks which, floats a, floats b) {
    return (floats)(((masks)a & which) | ((masks)b & ~which));
}

/* The nearest whole number from `low` to `high`; NaN becomes `low`. */
static inline floats nearest(floats numbers, float low, float high) {
    floats held = choose((masks)(numbers > all(low)), numbers, all(low));
    held = choose((masks)(held < all(high)), held, all(high));
    return held + all(ROUNDER) - all(ROUNDER);
}

static inline float inverse_of(float number) {
    return number == 0.0f ? 0.0f : 1.0f / number;
}

/* The largest weight, and the largest of -weight; 0 where there is none above it. */
struct peaks {
    float above, below;
};

static struct peaks peaks_of(const struct group *group) {
    floats above = all(0.0f), below = all(0.0f);
    for (int v = 0; v < group->vectors; v++) {
        floats weights = group->weights[v];
        above = choose((masks)(weights > above), weights, above);
        below = choose((masks)(-weights > below), -weights, below);
    }
    struct peaks peaks = {0.0f, 0.0f};
    for (int i = 0; i < LANES; i++) {
        peaks.above = above[i] > peaks.above ? above[i] : peaks.above;
        peaks.below = below[i] > peaks.below ? below[i] : peaks.below;
    }
    return peaks;
}

/* How much finer or coarser than the range of the weights the codes are tried, in steps: finer ones cut the
 * largest weights off, which can serve the rest. */
enum { COARSEST = -10, FINEST = 14 };
#define STEP 0.02f

/* weight = scale * code, codes from -high - 1 to high. */
static float search_scale(const struct group *group, float high) {
    struct peaks peaks = peaks_of(group);
    /* The longer side of the codes is for the larger weights; the scale's sign says which they are. */
    float peak = peaks.above > peaks.below ? peaks.above : -peaks.below, scale = 0.0f, most = 0.0f;
    if (peak == 0.0f) return 0.0f;
    for (int step = COARSEST; step <= FINEST; step++) {
        floats inverse = all(-(high + 1.0f) * (1.0f + STEP * (float)step) / peak);
        floats products = all(0.0f), squares = all(0.0f);
        for (int v = 0; v < group->vectors; v++) {
            floats codes = nearest(group->weights[v] * inverse, -high - 1.0f, high);
            products += codes * group->weights[v], squares += codes * codes;
        }
        float product = sum(products), square = sum(squares);
        /* What is lost is the weights' own squares less this. */
        if (square > 0.0f && product * product > most * square)
            most = product * product / square, scale = product / square;
    }
    return scale;
}

/* weight = scale * code - min, codes from 0 up, scale and min not below 0. */
struct line {
    float scale, min;
};

static float lost_by(const struct group *group, struct line line, float high) {
    floats inverse = all(inverse_of(line.scale)), squares = all(0.0f);
    for (int v = 0; v < group->vectors; v++) {
        floats weights = group->weights[v], codes = nearest((weights + all(line.min)) * inverse, 0.0f, high);
        floats error = codes * all(line.scale) - all(line.min) - weights;
        squares += error * error;
    }
    return sum(squares);
}

static struct line search_line(const struct group *group, float high) {
    struct peaks peaks = peaks_of(group);
    float min = peaks.below, range = peaks.above + min, count = (float)(group->vectors * LANES), most = 0.0f;
    if (range == 0.0f) return (struct line){0.0f, 0.0f};
    struct line best = {range / high, min};
    floats all_weights = all(0.0f);
    for (int v = 0; v < group->vectors; v++) all_weights += group->weights[v];
    float weight = sum(all_weights);
    for (int step = COARSEST; step <= FINEST; step++) {
        floats inverse = all(high * (1.0f + STEP * (float)step) / range);
        floats all_codes = all(0.0f), products = all(0.0f), squares = all(0.0f);
        for (int v = 0; v < group->vectors; v++) {
            floats weights = group->weights[v], codes = nearest((weights + all(min)) * inverse, 0.0f, high);
            all_codes += codes, products += codes * weights, squares += codes * codes;
        }
        float code = sum(all_codes), product = sum(products), square = sum(squares);
        float spread = count * square - code * code;
        if (!(spread > 0.0f)) continue;
        struct line line = {(count * product - weight * code) / spread,
                            (code * product - square * weight) / spread};
        if (line.min < 0.0f) line = (struct line){product / square, 0.0f};
        float saved = line.scale * product - line.min * weight; /* as in search_scale */
        if (line.scale > 0.0f && saved > most) most = saved, best = line;
    }
    return best;
}

#endif
