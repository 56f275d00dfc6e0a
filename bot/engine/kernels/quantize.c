/* Weights to the blocks of a GGUF file, as `prepare` writes one: gguf_blocks.h before it is turned, which
 * tells what the numbers mean. */
#include <string.h>

#include "kernels.h"
#include "scale_search.h"
#include "thread_pool.h"

enum { SUPER = 256, GROUPS = SUPER / GROUP, HALF_GROUP = GROUP / 2, HALVES = SUPER / HALF_GROUP };
enum { MOST_SHARE = 63, MOST_CODE = 15 }; /* of Q4_K */

struct file_q5_0 {
    uint8_t scale[2], high[4], codes[GROUP / 2];
};

struct file_q8_0 {
    uint8_t scale[2];
    int8_t codes[GROUP];
};

struct file_q4_k {
    uint8_t scale[2], min[2], scales[12], codes[SUPER / 2];
};

struct file_q6_k {
    uint8_t low[SUPER / 2], high[SUPER / 4];
    int8_t scales[HALVES];
    uint8_t scale[2];
};

static struct group part_of(const floats *block, int from, int count) {
    return (struct group){block + from / LANES, count / LANES};
}

/* Kept as float16: the number that a reader will see. */
static float keep_half(float number, uint8_t into[2]) {
    uint32_t bits = half_of(number);
    into[0] = (uint8_t)bits, into[1] = (uint8_t)(bits >> 8);
    return float_of_half(bits);
}

/* The next float16 where the nearest is nearer to zero: no whole number up to 63 or 128 times of it then
 * falls short, which counts where the numbers are so small that float16 has few. */
static float half_beyond(float number) {
    uint32_t bits = half_of(number);
    float found = float_of_half(bits);
    return found * found < number * number ? float_of_half(bits + 1) : found;
}

static void round_group(const struct group *group, float scale, float min, float low, float high,
                        int8_t *codes) {
    floats inverse = all(inverse_of(scale));
    for (int v = 0; v < group->vectors; v++) {
        floats found = nearest((group->weights[v] + all(min)) * inverse, low, high);
        for (int i = 0; i < LANES; i++) codes[v * LANES + i] = (int8_t)found[i];
    }
}

static void quantize_q8_0(const floats *block, struct file_q8_0 *into) {
    struct group group = part_of(block, 0, GROUP);
    struct peaks peaks = peaks_of(&group);
    float peak = peaks.above > peaks.below ? peaks.above : peaks.below;
    float scale = keep_half(half_beyond(peak / 127.0f), into->scale);
    round_group(&group, scale, 0.0f, -127.0f, 127.0f, into->codes);
}

static void quantize_q5_0(const floats *block, struct file_q5_0 *into) {
    struct group group = part_of(block, 0, GROUP);
    int8_t codes[GROUP];
    float scale = keep_half(search_scale(&group, 15.0f), into->scale);
    round_group(&group, scale, 0.0f, -16.0f, 15.0f, codes);
    uint32_t high = 0;
    for (int i = 0; i < GROUP; i++) high |= (uint32_t)((codes[i] + 16) >> 4) << i;
    memcpy(into->high, &high, sizeof high);
    for (int i = 0; i < GROUP / 2; i++)
        into->codes[i] = (uint8_t)(((codes[i] + 16) & 15) | ((codes[i + GROUP / 2] + 16) & 15) << 4);
}

static void quantize_q6_k(const floats *block, struct file_q6_k *into) {
    float scales[HALVES], peak = 0.0f;
    int8_t codes[SUPER];
    for (int h = 0; h < HALVES; h++) {
        struct group group = part_of(block, h * HALF_GROUP, HALF_GROUP);
        scales[h] = search_scale(&group, 31.0f);
        if (scales[h] * scales[h] > peak * peak) peak = scales[h];
    }
    float scale = keep_half(half_beyond(peak / -128.0f), into->scale);
    for (int h = 0; h < HALVES; h++) {
        struct group group = part_of(block, h * HALF_GROUP, HALF_GROUP);
        floats kept = nearest(all(scales[h] * inverse_of(scale)), -128.0f, 127.0f);
        into->scales[h] = (int8_t)kept[0];
        round_group(&group, scale * kept[0], 0.0f, -32.0f, 31.0f, codes + h * HALF_GROUP);
    }
    for (int four = 0; four < 2; four++)
        for (int i = 0; i < GROUP; i++) {
            const int8_t *code = codes + four * 4 * GROUP + i;
            int a = code[0] + 32, b = code[GROUP] + 32, c = code[2 * GROUP] + 32, d = code[3 * GROUP] + 32;
            into->low[four * 64 + i] = (uint8_t)((a & 15) | (c & 15) << 4);
            into->low[four * 64 + 32 + i] = (uint8_t)((b & 15) | (d & 15) << 4);
            into->high[four * 32 + i] = (uint8_t)(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6);
        }
}

/* Of eight groups' lines the scale and the min of all, and each group's share of them. */
struct shares {
    float scale, min;
    int scales[GROUPS], mins[GROUPS];
};

static struct line line_of(const struct shares *shares, int group) {
    return (struct line){shares->scale * (float)shares->scales[group],
                         shares->min * (float)shares->mins[group]};
}

static int nearest_share(float number, float whole) {
    return (int)nearest(all(number * inverse_of(whole)), 0.0f, MOST_SHARE)[0];
}

/* Each group's shares: of those beside its line's the ones that lose least, given the scale and the min of
 * all. */
static float choose_shares(const floats *block, const struct line *lines, struct shares *shares) {
    float lost = 0.0f;
    for (int g = 0; g < GROUPS; g++) {
        struct group group = part_of(block, g * GROUP, GROUP);
        int scale = nearest_share(lines[g].scale, shares->scale),
            min = nearest_share(lines[g].min, shares->min);
        float least = -1.0f;
        for (int s = scale - 1; s <= scale + 1; s++)
            for (int m = min - 1; m <= min + 1; m++) {
                if (s < 0 || s > MOST_SHARE || m < 0 || m > MOST_SHARE) continue;
                struct line line = {shares->scale * (float)s, shares->min * (float)m};
                float squares = lost_by(&group, line, MOST_CODE);
                if (least < 0.0f || squares < least)
                    least = squares, shares->scales[g] = s, shares->mins[g] = m;
            }
        lost += least;
    }
    return lost;
}

/* The scale and the min of all that lose least, given the shares and the codes that they lead to: the least
 * squares of scale * a - min * b, where a is a group's share times the code, b its share of the min. */
static void fit_whole(const floats *block, struct shares *shares) {
    floats zero = all(0.0f), aa = zero, ab = zero, bb = zero, aw = zero, bw = zero;
    for (int g = 0; g < GROUPS; g++) {
        struct group group = part_of(block, g * GROUP, GROUP);
        struct line line = line_of(shares, g);
        floats inverse = all(inverse_of(line.scale)), own = all((float)shares->scales[g]);
        floats b = all((float)shares->mins[g]);
        for (int v = 0; v < group.vectors; v++) {
            floats weights = group.weights[v];
            floats a = own * nearest((weights + all(line.min)) * inverse, 0.0f, MOST_CODE);
            aa += a * a, ab += a * b, bb += b * b, aw += a * weights, bw += b * weights;
        }
    }
    float spread = sum(aa) * sum(bb) - sum(ab) * sum(ab);
    float scale = (sum(aw) * sum(bb) - sum(bw) * sum(ab)) / spread;
    float min = (sum(aw) * sum(ab) - sum(aa) * sum(bw)) / spread;
    if (spread > 0.0f && scale > 0.0f && min > 0.0f) shares->scale = scale, shares->min = min;
}

static void quantize_q4_k(const floats *block, struct file_q4_k *into) {
    struct line lines[GROUPS];
    float scale = 0.0f, min = 0.0f, least = -1.0f;
    for (int g = 0; g < GROUPS; g++) {
        struct group group = part_of(block, g * GROUP, GROUP);
        lines[g] = search_line(&group, MOST_CODE);
        scale = lines[g].scale > scale ? lines[g].scale : scale;
        min = lines[g].min > min ? lines[g].min : min;
    }
    struct shares shares = {half_beyond(scale / MOST_SHARE), half_beyond(min / MOST_SHARE), {0}, {0}}, best;
    uint8_t bits[4];
    for (int round = 0; round < 2; round++) {
        shares.scale = keep_half(shares.scale, bits), shares.min = keep_half(shares.min, bits + 2);
        float lost = choose_shares(block, lines, &shares);
        if (least < 0.0f || lost < least) {
            least = lost, best = shares;
            memcpy(into->scale, bits, sizeof bits);
        }
        fit_whole(block, &shares);
    }
    for (int g = 0; g < 4; g++) {
        into->scales[g] = (uint8_t)(best.scales[g] | (best.scales[g + 4] >> 4) << 6);
        into->scales[g + 4] = (uint8_t)(best.mins[g] | (best.mins[g + 4] >> 4) << 6);
        into->scales[g + 8] = (uint8_t)((best.scales[g + 4] & 15) | (best.mins[g + 4] & 15) << 4);
    }
    for (int g = 0; g < GROUPS; g += 2) {
        int8_t codes[2][GROUP];
        for (int i = 0; i < 2; i++) {
            struct group group = part_of(block, (g + i) * GROUP, GROUP);
            struct line line = line_of(&best, g + i);
            round_group(&group, line.scale, line.min, 0.0f, MOST_CODE, codes[i]);
        }
        for (int i = 0; i < GROUP; i++)
            into->codes[g * HALF_GROUP + i] = (uint8_t)(codes[0][i] | codes[1][i] << 4);
    }
}

static void quantize_block(const floats *block, int format, void *into) {
    switch (format) {
    case Q5_0: quantize_q5_0(block, into); break;
    case Q8_0: quantize_q8_0(block, into); break;
    case Q4_K: quantize_q4_k(block, into); break;
    default: quantize_q6_k(block, into); break;
    }
}

static int64_t bytes_of(int format) {
    switch (format) {
    case Q5_0: return sizeof(struct file_q5_0);
    case Q8_0: return sizeof(struct file_q8_0);
    case Q4_K: return sizeof(struct file_q4_k);
    default: return sizeof(struct file_q6_k);
    }
}

static void quantize_row(const void *context, int32_t row, int thread) {
    (void)thread;
    const struct quantization *work = context;
    int inputs = work->format == Q5_0 || work->format == Q8_0 ? GROUP : SUPER;
    int64_t first = (int64_t)row * work->inputs / inputs, size = bytes_of(work->format);
    for (int64_t b = first; b < first + work->inputs / inputs; b++) {
        floats block[SUPER / LANES];
        memcpy(block, work->weights + b * inputs, (size_t)inputs * sizeof(float));
        quantize_block(block, work->format, (char *)work->blocks + b * size);
    }
}

void quantize(struct pool *pool, const struct quantization *work) {
    pool_run(pool, quantize_row, work, work->outputs);
}
