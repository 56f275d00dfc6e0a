/* Blocks of a GGUF file of 32 outputs, turned: a file has the inputs of one output together, here a quad of
 * all outputs is. Nothing else is changed, and no bit is lost. A quad is four bytes of the file, in a
 * uint32_t; `half` is float16; all is little-endian.
 *
 *   Q4_0  weight = scale * (code - 8)        32 inputs; the low halves of bytes are the first 16
 *   Q5_0  weight = scale * (code - 16)       the fifth bit of input i is bit i of `high`
 *   Q8_0  weight = scale * code
 *   Q4_K  weight = scale * scales[g] * code - min * mins[g]      256 inputs, eight groups g of 32
 *   Q5_K  the same; the fifth bit of input i of group g is bit g of byte i of `high`
 *   Q6_K  weight = scale * scales[h] * (code - 32)               256 inputs, sixteen halves h of 16
 *
 * Of Q4_K and Q5_K, 32 bytes of codes are two groups: the first in the low halves. Of Q6_K, 64 bytes of `low`
 * and 32 of `high` are four groups: see unpack.h, for the 6 bits of scales and mins too. */
#ifndef GGUF_BLOCKS_H
#define GGUF_BLOCKS_H

#include "kernels.h"

typedef uint16_t half;
typedef uint32_t quads[BLOCK]; /* of each output one */

struct q4_0 {
    half scale[BLOCK];
    quads codes[QUADS / 2];
};

struct q5_0 {
    half scale[BLOCK];
    quads high, codes[QUADS / 2];
};

struct q8_0 {
    half scale[BLOCK];
    quads codes[QUADS];
};

/* Of Q4_K and Q5_K. both: scale, and min in the upper half. */
struct k_scales {
    quads both, first, second, third;
};

struct q4_k {
    struct k_scales scales;
    quads codes[4][QUADS];
};

struct q5_k {
    struct k_scales scales;
    quads high[QUADS], codes[4][QUADS];
};

struct q6_k {
    quads low[4][QUADS], high[2][QUADS], scales[4];
    half scale[BLOCK];
};

#endif
