/* Softmax attention (Vaswani et al., 2017) of a few queries that share keys and values: heads of one row,
 * rows of one sequence. Keys are read from memory once for all of them, a part of them at a time.
 *
 * Before this header an instruction set defines vectors of LANES floats: load_floats, store_floats,
 * broadcast_float, multiply_add, and sum_four(vectors, sums), the sums of each of four vectors.
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
 * while all of them meet. */
enum { SHARING = 4, KEYS = 64 };

/* One query. scores: room for one of each key that it sees, `count`, and three more; into: the result, which
 * may be where the query is. */
struct query {
    const float *numbers;
    const struct token *token;
    float *scores, *into;
    int count;
};

/* The products of one or two queries with the keys from `from` to `to`, four keys at once; the last key
 * stands for those beyond it. */
TILE void score_keys(int queries, const struct query *query, const float *keys, int from, int to,
                     int head_dim) {
    int vectors = head_dim / LANES * LANES;
    for (int at = from; at < to; at += 4) {
        const float *key[4];
        UNROLL for (int k = 0; k < 4; k++) {
            int last = at + k < to ? at + k : to - 1;
            key[k] = keys + (int64_t)last * head_dim;
        }
        floats sum[2][4];
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

/* Some vectors of one or two results += the same vectors of the values, by their weights. */
TILE void add_vectors(int queries, int vectors, const struct query *query, const float *values, int from,
                      int to, int head_dim, int first) {
    floats sum[2][4];
    UNROLL for (int q = 0; q < queries; q++)
        UNROLL for (int v = 0; v < vectors; v++) sum[q][v] = load_floats(query[q].into + first + v * LANES);
    for (int at = from; at < to; at++) {
        const float *value = values + (int64_t)at * head_dim + first;
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

/* One or two results += the values from `from` to `to`, by their weights. */
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
                query[q].into[i] += query[q].scores[at] * values[(int64_t)at * head_dim + i];
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

/* Scores to weights, whose sum is returned. Of a tree's tokens, those that this one sees stand together
 * meanwhile, so that the sum is the same whatever branches are beside it. */
static float softmax(const struct query *query, int head_dim) {
    const struct token *token = query->token;
    float *scores = query->scores, *own = scores + token->before;
    float scale = 1.0f / sqrtf((float)head_dim), sum = 0.0f;
    int count = token->mask ? token->before : query->count;
    for (int i = 0; token->mask && i < token->chunk; i++)
        if (token->mask[i]) scores[count++] = own[i];
    float largest = largest_of(scores, count);
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        scores[i] = exponential((scores[i] - largest) * scale);
        sum += scores[i];
    }
    for (int i = token->chunk - 1; token->mask && i >= 0; i--)
        own[i] = token->mask[i] ? scores[--count] : 0.0f;
    return sum;
}

/* All keys that each query sees: those that all of them see part by part, the rest of each alone. */
typedef void meet_fn(int, const struct query *, const float *, int, int, int);

TILE void meet_all(meet_fn *meet, int queries, const struct query *query, const float *lines, int head_dim) {
    int common = query[0].count;
    for (int q = 1; q < queries; q++) common = query[q].count < common ? query[q].count : common;
    for (int from = 0; from < common; from += KEYS) {
        int to = from + KEYS < common ? from + KEYS : common, q = 0;
        for (; q + 2 <= queries; q += 2) meet(2, query + q, lines, from, to, head_dim);
        if (q < queries) meet(1, query + q, lines, from, to, head_dim);
    }
    for (int q = 0; q < queries; q++) meet(1, query + q, lines, common, query[q].count, head_dim);
}

/* All of it, for up to SHARING queries. */
static void attend(int queries, const struct query *query, const float *keys, const float *values,
                   int head_dim) {
    float sums[SHARING];
    meet_all(score_keys, queries, query, keys, head_dim);
    for (int q = 0; q < queries; q++) sums[q] = softmax(query + q, head_dim);
    for (int q = 0; q < queries; q++) memset(query[q].into, 0, (size_t)head_dim * sizeof(float));
    meet_all(add_values, queries, query, values, head_dim);
    for (int q = 0; q < queries; q++)
        for (int i = 0; i < head_dim; i++) query[q].into[i] /= sums[q];
}

#endif
