/* What is done to one row, or one head of it, between the products with weights. Loops over contiguous
 * floats, which the compiler makes vectors of; where a sum may be taken in another order, it is told so. */
#ifndef ROWS_H
#define ROWS_H

#include <math.h>

#include "activations.h"

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
 * one complex number, or where they are adjacent 2i and 2i + 1. */
static void rotate(float *head, const float *rotation, int head_dim, int adjacent) {
    int half = head_dim / 2, step = adjacent ? 2 : 1, apart = adjacent ? 1 : half;
#pragma omp simd
    for (int i = 0; i < half; i++) {
        float real = head[i * step], imaginary = head[i * step + apart];
        head[i * step] = real * rotation[i] - imaginary * rotation[i + half];
        head[i * step + apart] = imaginary * rotation[i] + real * rotation[i + half];
    }
}

/* silu(gate) * up. */
static void gate_inner(const float *gate, const float *up, float *into) {
#pragma omp simd
    for (int i = 0; i < BLOCK; i++) into[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

#endif
