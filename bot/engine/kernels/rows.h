/* What is done to one row, or one head of it, between the products with weights. Loops over contiguous
 * floats, which the compiler makes vectors of; where a sum may be taken in another order, it is told so. */
#ifndef ROWS_H
#define ROWS_H

#include <math.h>
#include <string.h>

#include "activations.h"

/* A whole number in the order of the floats, from a float's bits, and back: those of numbers below zero are
 * the other way round. */
static inline int32_t in_order(int32_t bits) {
    return bits ^ (bits >> 31 & 0x7FFFFFFF);
}

/* e^x within 2e-7 of it, x held to what float32 has: powers of two taken out (Cody and Waite, 1980), and a
 * polynomial for the rest (Moshier, Cephes, expf). NaN stays NaN. */
static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float shifted = x * 1.44269504f + ROUNDER;
    float whole = shifted - ROUNDER;
    float rest = x - whole * 0.693359375f - whole * -2.12194440e-4f;
    float power = 1.9875691500e-4f;
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    return power * float_of((bits_of(shifted) - bits_of(ROUNDER) + 127) << 23);
}

/* RMSNorm (Zhang and Sennrich, 2019). */
static void rms_norm(const float *numbers, const float *weight, int size, float epsilon, float *into) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < size; i++) sum += numbers[i] * numbers[i];
    float factor = 1.0f / sqrtf(sum / (float)size + epsilon);
#pragma omp simd
    for (int i = 0; i < size; i++) into[i] = numbers[i] * factor * weight[i];
}

/* A head's query or key turned by its position (Su et al., RoFormer, 2021): numbers i and i + half of it are
 * one complex number. */
static void rotate(float *head, const float *rotation, int head_dim) {
    int half = head_dim / 2;
#pragma omp simd
    for (int i = 0; i < half; i++) {
        float real = head[i], imaginary = head[i + half];
        head[i] = real * rotation[i] - imaginary * rotation[i + half];
        head[i + half] = imaginary * rotation[i] + real * rotation[i + half];
    }
}

/* silu(gate) * up. */
static void gate_inner(const float *gate, const float *up, float *into) {
#pragma omp simd
    for (int i = 0; i < BLOCK; i++) into[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

/* A query's products with `count` keys. */
static void score_keys(const float *query, const float *keys, int count, int head_dim, float *scores) {
    FUSE
    int at = 0;
    for (; at + 4 <= count; at += 4) {
        const float *key = keys + (int64_t)at * head_dim;
        float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
#pragma omp simd reduction(+ : a, b, c, d)
        for (int i = 0; i < head_dim; i++) {
            a = MULTIPLY_ADD(query[i], key[i], a);
            b = MULTIPLY_ADD(query[i], key[i + head_dim], b);
            c = MULTIPLY_ADD(query[i], key[i + 2 * head_dim], c);
            d = MULTIPLY_ADD(query[i], key[i + 3 * head_dim], d);
        }
        scores[at] = a;
        scores[at + 1] = b;
        scores[at + 2] = c;
        scores[at + 3] = d;
    }
    for (; at < count; at++) {
        const float *key = keys + (int64_t)at * head_dim;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < head_dim; i++) sum = MULTIPLY_ADD(query[i], key[i], sum);
        scores[at] = sum;
    }
}

/* The sum of `count` values by their weights, times `factor`. */
static void mix_values(const float *values, const float *weights, int count, int head_dim, float factor,
                       float *restrict into) {
    FUSE
    memset(into, 0, (size_t)head_dim * sizeof *into);
    int at = 0;
    for (; at + 4 <= count; at += 4) {
        const float *value = values + (int64_t)at * head_dim, *weight = weights + at;
#pragma omp simd
        for (int i = 0; i < head_dim; i++) {
            float sum = MULTIPLY_ADD(weight[0], value[i], into[i]);
            sum = MULTIPLY_ADD(weight[1], value[i + head_dim], sum);
            sum = MULTIPLY_ADD(weight[2], value[i + 2 * head_dim], sum);
            into[i] = MULTIPLY_ADD(weight[3], value[i + 3 * head_dim], sum);
        }
    }
    for (; at < count; at++) {
        const float *value = values + (int64_t)at * head_dim;
#pragma omp simd
        for (int i = 0; i < head_dim; i++) into[i] = MULTIPLY_ADD(weights[at], value[i], into[i]);
    }
#pragma omp simd
    for (int i = 0; i < head_dim; i++) into[i] *= factor;
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

/* Softmax attention of one query (Vaswani et al., 2017) over the keys that its token may see.
 * scores: room for as many. */
static void attend(const float *query, const float *keys, const float *values, const struct token *token,
                   int head_dim, float *scores, float *into) {
    int count = token->before + (token->mask ? token->chunk : token->own + 1);
    score_keys(query, keys, count, head_dim, scores);
    for (int i = 0; token->mask && i < token->chunk; i++)
        if (!token->mask[i]) scores[token->before + i] = -INFINITY;
    float largest = largest_of(scores, count), sum = 0.0f, scale = 1.0f / sqrtf((float)head_dim);
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < count; i++) {
        scores[i] = exponential((scores[i] - largest) * scale);
        sum += scores[i];
    }
    mix_values(values, scores, count, head_dim, 1.0f / sum, into);
}

#endif
