/* Softmax attention (Vaswani et al., 2017) of a few queries that share keys and values: heads of one row,
 * rows of one sequence. Keys are read from memory once for all of them, a part of them at a time.
 *
 * Before this header an instruction set defines vectors of LANES floats: load_floats, store_floats,
 * broadcast_float, multiply_add, and sum_four(vectors, sums), the sums of each of four vectors; and
 * MOST_QUERIES, up to SHARING, for which its registers hold four sums each.
 *
 * A score is one query's and one key's alone, and values are added key after key, so that a query's result
 * does not depend on the others. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include <math.h>
#include <string.h>

#include "rows.h"
#include "tile.h"

/* SHARING: the most queries of a piece of work. KEYS: so many stay in the first cache (16 KB for heads of 64)
 * while all of them meet. SPARE: floats of the longest vectors. */
enum { SHARING = 4, KEYS = 64, SPARE = 16 };

/* One query. scores: room for one of each key that it sees, `count`, and SPARE more; into: the result, which
 * may be where the query is. */
struct query {
    const float *numbers;
    const struct token *token;
    float *scores, *into;
    int count;
};

/* The products of some queries with the keys from `from` to `to`, four keys at once; the last key
 * stands for those beyond it, whose scores come later. keys: from the first of them on. */
TILE void score_keys(int queries, const struct query *query, const float *keys, int from, int to,
                     int head_dim) {
    int vectors = head_dim / LANES * LANES;
    for (int at = from; at < to; at += 4) {
        const float *key[4];
        UNROLL for (int k = 0; k < 4; k++) {
            int last = at + k < to ? at + k : to - 1;
            key[k] = keys + (int64_t)(last - from) * head_dim;
        }
        floats sum[SHARING][4];
        UNROLL for (int q = 0; q < queries; q++)
            UNROLL for (int k = 0; k < 4; k++) sum[q][k] = broadcast_float(0.0f);
        for (int i = 0; i < vectors; i += LANES) {
            floats some[4];
            UNROLL for (int k = 0; k < 4; k++) some[k] = load_floats(key[k] + i);
            UNROLL for (int q = 0; q < queries; q++) {
                floats numbers = load_floats(query[q].numbers + i);
                UNROLL for (int k = 0; k < 4; k++) sum[q][k] = multiply_add(numbers, some[k], sum[q][k]);
            }
        }
        UNROLL for (int q = 0; q < queries; q++) {
            float *scores = query[q].scores + at;
            sum_four(sum[q], scores);
            for (int i = vectors; i < head_dim; i++)
                for (int k = 0; k < 4; k++) scores[k] += query[q].numbers[i] * key[k][i];
        }
    }
}

/* Some vectors of some results += the same vectors of the values, by their weights. */
TILE void add_vectors(int queries, int vectors, const struct query *query, const float *values, int from,
                      int to, int head_dim, int first) {
    floats sum[SHARING][4];
    UNROLL for (int q = 0; q < queries; q++)
        UNROLL for (int v = 0; v < vectors; v++) sum[q][v] = load_floats(query[q].into + first + v * LANES);
    for (int at = from; at < to; at++) {
        const float *value = values + (int64_t)(at - from) * head_dim + first;
        floats some[4];
        UNROLL for (int v = 0; v < vectors; v++) some[v] = load_floats(value + v * LANES);
        UNROLL for (int q = 0; q < queries; q++) {
            floats weight = broadcast_float(query[q].scores[at]);
            UNROLL for (int v = 0; v < vectors; v++) sum[q][v] = multiply_add(weight, some[v], sum[q][v]);
        }
    }
    UNROLL for (int q = 0; q < queries; q++)
        UNROLL for (int v = 0; v < vectors; v++)
            store_floats(query[q].into + first + v * LANES, sum[q][v]);
}

/* Some results += the values from `from` to `to`, by their weights. */
TILE void add_values(int queries, const struct query *query, const float *values, int from, int to,
                     int head_dim) {
    int i = 0;
    for (; i + 4 * LANES <= head_dim; i += 4 * LANES)
        add_vectors(queries, 4, query, values, from, to, head_dim, i);
    for (; i + LANES <= head_dim; i += LANES)
        add_vectors(queries, 1, query, values, from, to, head_dim, i);
    for (; i < head_dim; i++)
        for (int q = 0; q < queries; q++)
            for (int at = from; at < to; at++)
                query[q].into[i] += query[q].scores[at] * values[(int64_t)(at - from) * head_dim + i];
}

/* A whole number in the order of the floats, from a float's bits, and back: those of numbers below zero are
 * the other way round. */
static inline int32_t in_order(int32_t bits) {
    return bits ^ (bits >> 31 & 0x7FFFFFFF);
}

/* Compared as whole numbers: a compiler must not compare floats in another order, for NaN's sake. */
static float largest_of(const float *scores, int count) {
    int32_t largest = in_order((int32_t)bits_of(-INFINITY));
#pragma omp simd reduction(max : largest)
    for (int i = 0; i < count; i++) {
        int32_t score = in_order((int32_t)bits_of(scores[i]));
        largest = score > largest ? score : largest;
    }
    return float_of((uint32_t)in_order(largest));
}

/* The scores that a query needs, side by side, and -infinity up to a whole vector: how many numbers that is.
 * Of a tree's tokens, those that this one sees stand together, so that the weights' sum is the same whatever
 * branches are beside it. */
static int gather_scores(const struct query *query) {
    const struct token *token = query->token;
    float *scores = query->scores, *own = scores + token->before;
    int count = token->mask ? token->before : query->count;
    for (int i = 0; token->mask && i < token->chunk; i++)
        if (token->mask[i]) scores[count++] = own[i];
    int whole = (count + SPARE - 1) / SPARE * SPARE;
    for (int i = count; i < whole; i++) scores[i] = -INFINITY;
    return whole;
}

/* Weights back to where gather_scores took the scores from. */
static void spread_weights(const struct query *query) {
    const struct token *token = query->token;
    if (!token->mask) return;
    float *weights = query->scores, *own = weights + token->before;
    int count = token->before;
    for (int i = 0; i < token->chunk; i++) count += token->mask[i] != 0;
    for (int i = token->chunk - 1; i >= 0; i--) own[i] = token->mask[i] ? weights[--count] : 0.0f;
}

/* Of whole vectors. */
static float sum_of(const float *numbers, int count) {
    floats zero = broadcast_float(0.0f), one = broadcast_float(1.0f), sum[4] = {zero, zero, zero, zero};
    for (int i = 0; i < count; i += LANES) sum[0] = multiply_add(one, load_floats(numbers + i), sum[0]);
    float sums[4];
    sum_four(sum, sums);
    return sums[0];
}

/* Scores to weights, and the sums of these. Each step is taken for all queries, for it ends in a number that
 * the next one waits for. Beside the largest weight, 1, what -infinity becomes is nothing. */
static void softmax(int queries, const struct query *query, int head_dim, float *sums) {
    float scale = 1.0f / sqrtf((float)head_dim), largest[SHARING];
    int count[SHARING];
    for (int q = 0; q < queries; q++) count[q] = gather_scores(query + q);
    for (int q = 0; q < queries; q++) largest[q] = largest_of(query[q].scores, count[q]);
    for (int q = 0; q < queries; q++) {
        float *scores = query[q].scores;
#pragma omp simd
        for (int i = 0; i < count[q]; i++) scores[i] = exponential((scores[i] - largest[q]) * scale);
    }
    for (int q = 0; q < queries; q++) sums[q] = sum_of(query[q].scores, count[q]);
    for (int q = 0; q < queries; q++) spread_weights(query + q);
}

/* One head's keys or values: at `slot` of `segment` those from position `start` on, then the next one's. */
struct lines {
    const struct segment *segment;
    int slot, start, head_dim;
};

/* Those from position `from` on, which is not before the segment's; `to`: the end, as far as they are
 * together. */
TILE const float *lines_from(struct lines *lines, int from, int *to) {
    while (from - lines->start >= lines->segment->length)
        lines->start += (int)lines->segment++->length;
    const struct segment *segment = lines->segment;
    int64_t line = lines->slot * segment->capacity + from - lines->start;
    if (*to - lines->start > segment->length) *to = lines->start + (int)segment->length;
    return segment->states + line * lines->head_dim;
}

/* All keys that each query sees: those that all of them see part by part, the rest of each alone. */
typedef void meet_fn(int, const struct query *, const float *, int, int, int);

TILE void meet_all(meet_fn *meet, int queries, const struct query *query, struct lines lines) {
    int common = query[0].count, head_dim = lines.head_dim;
    for (int q = 1; q < queries; q++) common = query[q].count < common ? query[q].count : common;
    for (int from = 0, to; from < common; from = to) {
        to = from + KEYS < common ? from + KEYS : common;
        const float *some = lines_from(&lines, from, &to);
        for (int q = 0; q < queries; q += MOST_QUERIES) {
            int left = queries - q < MOST_QUERIES ? queries - q : MOST_QUERIES;
            switch (left) { /* straight code for each */
            case 4: meet(4, query + q, some, from, to, head_dim); break;
            case 3: meet(3, query + q, some, from, to, head_dim); break;
            case 2: meet(2, query + q, some, from, to, head_dim); break;
            default: meet(1, query + q, some, from, to, head_dim);
            }
        }
    }
    for (int q = 0; q < queries; q++) {
        struct lines rest = lines;
        for (int from = common, to; from < query[q].count; from = to) {
            to = query[q].count;
            const float *some = lines_from(&rest, from, &to);
            meet(1, query + q, some, from, to, head_dim);
        }
    }
}

/* All of it, for up to SHARING queries. key_slot, value_slot: which lines of [layers][2 * kv heads]. */
static void attend(int queries, const struct query *query, const struct segment *segments, int key_slot,
                   int value_slot, int head_dim) {
    float sums[SHARING];
    meet_all(score_keys, queries, query, (struct lines){segments, key_slot, 0, head_dim});
    softmax(queries, query, head_dim, sums);
    for (int q = 0; q < queries; q++) memset(query[q].into, 0, (size_t)head_dim * sizeof(float));
    meet_all(add_values, queries, query, (struct lines){segments, value_slot, 0, head_dim});
    for (int q = 0; q < queries; q++)
        for (int i = 0; i < head_dim; i++) query[q].into[i] /= sums[q];
}

#endif
