/* Floats by their bits: float32's, and float16. */
#ifndef FLOAT_BITS_H
#define FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t bits_of(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* 1.5 * 2^23: a float32 of this size has no bits below 1, so that adding it rounds a smaller number to the
 * nearest whole one, which then stands in the lowest bits. NaN gives some number, and no undefined one. */
#define ROUNDER 12582912.0f

static inline float float_of_half(uint32_t bits) {
    uint32_t shifted = (bits & 0x7FFF) << 13, sign = (bits & 0x8000) << 16;
    /* The exponent's bias is 112 more; a subnormal number is right as well. The largest exponent is none. */
    uint32_t number = bits_of(float_of(shifted) * 0x1p112f), infinite = shifted | 0x7F800000;
    return float_of(((bits & 0x7C00) == 0x7C00 ? infinite : number) | sign);
}

/* The nearest float16, halves to even, and at most the largest that is a number. */
static inline uint32_t half_of(float number) {
    uint32_t sign = bits_of(number) >> 16 & 0x8000;
    float size = float_of(bits_of(number) & 0x7FFFFFFF);
    if (!(size < 65504.0f)) return sign | 0x7BFF;
    int exponent = (int)(bits_of(size) >> 23) - 127;
    if (exponent < -14) exponent = -14; /* subnormal numbers have the steps of the smallest others */
    float steps = size * float_of((uint32_t)(127 + 10 - exponent) << 23);
    /* The leading bit, which is not stored, counts the exponent up by one. */
    return sign | (((uint32_t)(exponent + 14) << 10) + (bits_of(steps + ROUNDER) - bits_of(ROUNDER)));
}

#endif
