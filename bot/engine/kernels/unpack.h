/* Blocks of a GGUF file as bytes with scales: what a tile multiplies. Loops over 32 outputs, of which the
 * compiler makes vectors.
 *
 * Before this header an instruction set defines INT8_OFFSET, see activations.h. */
#ifndef UNPACK_H
#define UNPACK_H

#include "activations.h"
#include "gguf_blocks.h"

/* 32 outputs by 32 inputs: weight = scale * (code - offset) - min. scales: of the first 16 inputs and of the
 * second, where the format has two (`halves_of`), else of all; mins: where it has them. */
struct unpacked {
    quads codes[QUADS];
    float scales[HALVES_OF_GROUP][BLOCK], mins[BLOCK];
};

static void scales_of_halves(const half from[BLOCK], float scales[BLOCK]) {
    for (int o = 0; o < BLOCK; o++) scales[o] = float_of_half(from[o]);
}

/* The halves of bytes: the low ones are the first four quads. */
static void unpack_halves(const quads *packed, struct unpacked *into) {
    for (int quad = 0; quad < QUADS / 2; quad++)
        for (int o = 0; o < BLOCK; o++) {
            into->codes[quad][o] = packed[quad][o] & 0x0F0F0F0F;
            into->codes[quad + QUADS / 2][o] = packed[quad][o] >> 4 & 0x0F0F0F0F;
        }
}

static void unpack_q8_0(const struct q8_0 *block, struct unpacked *into) {
    for (int quad = 0; quad < QUADS; quad++)
        for (int o = 0; o < BLOCK; o++)
            into->codes[quad][o] = block->codes[quad][o] ^ (INT8_OFFSET ? 0x80808080 : 0);
}

static void unpack_q4_0(const struct q4_0 *block, struct unpacked *into) {
    unpack_halves(block->codes, into);
}

static void unpack_q5_0(const struct q5_0 *block, struct unpacked *into) {
    unpack_halves(block->codes, into);
    for (int quad = 0; quad < QUADS; quad++)
        for (int o = 0; o < BLOCK; o++) {
            /* Four bits to the lowest of four bytes: each bit's copy is shifted to its place. */
            uint32_t bits = block->high[o] >> (4 * quad) & 15;
            uint32_t spread = bits | bits << 7 | bits << 14 | bits << 21;
            into->codes[quad][o] |= (spread & 0x01010101) << 4;
        }
}

/* Scales and mins of eight groups, 6 bits each, in 12 bytes. The first four groups' are the low bits of bytes
 * 0 to 7; the others' low four bits are the halves of bytes 8 to 11, their high two those that bytes 0 to 7
 * have left. */
static void unpack_k_scales(const struct k_scales *from, struct unpacked *into) {
    quads scales[2], mins[2];
    float scale[BLOCK], min[BLOCK];
    for (int o = 0; o < BLOCK; o++) {
        uint32_t first = from->first[o], second = from->second[o], third = from->third[o];
        scale[o] = float_of_half(from->both[o] & 0xFFFF), min[o] = float_of_half(from->both[o] >> 16);
        scales[0][o] = first & 0x3F3F3F3F, mins[0][o] = second & 0x3F3F3F3F;
        scales[1][o] = (third & 0x0F0F0F0F) | (first >> 2 & 0x30303030);
        mins[1][o] = (third >> 4 & 0x0F0F0F0F) | (second >> 2 & 0x30303030);
    }
    for (int group = 0; group < 8; group++)
        for (int o = 0; o < BLOCK; o++) {
            int shift = group % 4 * 8;
            into[group].scales[0][o] = scale[o] * (float)(int32_t)(scales[group / 4][o] >> shift & 255);
            into[group].mins[o] = min[o] * (float)(int32_t)(mins[group / 4][o] >> shift & 255);
        }
}

static void unpack_q4_k(const struct q4_k *block, struct unpacked *into) {
    for (int pair = 0; pair < 4; pair++, into += 2)
        for (int quad = 0; quad < QUADS; quad++)
            for (int o = 0; o < BLOCK; o++) {
                uint32_t packed = block->codes[pair][quad][o];
                into[0].codes[quad][o] = packed & 0x0F0F0F0F;
                into[1].codes[quad][o] = packed >> 4 & 0x0F0F0F0F;
            }
}

static void unpack_q5_k(const struct q5_k *block, struct unpacked *into) {
    for (int pair = 0; pair < 4; pair++, into += 2)
        for (int quad = 0; quad < QUADS; quad++)
            for (int o = 0; o < BLOCK; o++) {
                uint32_t packed = block->codes[pair][quad][o], bits = block->high[quad][o] >> (2 * pair);
                into[0].codes[quad][o] = (packed & 0x0F0F0F0F) | (bits & 0x01010101) << 4;
                into[1].codes[quad][o] = (packed >> 4 & 0x0F0F0F0F) | (bits & 0x02020202) << 3;
            }
}

static void unpack_q6_k(const struct q6_k *block, struct unpacked *into) {
    for (int four = 0; four < 2; four++, into += 4)
        for (int quad = 0; quad < QUADS; quad++)
            for (int o = 0; o < BLOCK; o++) {
                uint32_t a = block->low[2 * four][quad][o], b = block->low[2 * four + 1][quad][o];
                uint32_t bits = block->high[four][quad][o];
                into[0].codes[quad][o] = (a & 0x0F0F0F0F) | (bits & 0x03030303) << 4;
                into[1].codes[quad][o] = (b & 0x0F0F0F0F) | (bits & 0x0C0C0C0C) << 2;
                into[2].codes[quad][o] = (a >> 4 & 0x0F0F0F0F) | (bits & 0x30303030);
                into[3].codes[quad][o] = (b >> 4 & 0x0F0F0F0F) | (bits >> 2 & 0x30303030);
            }
}

static void unpack_q6_k_scales(const struct q6_k *block, struct unpacked *into) {
    float scale[BLOCK];
    scales_of_halves(block->scale, scale);
    for (int h = 0; h < 16; h++)
        for (int o = 0; o < BLOCK; o++) {
            int8_t own = (int8_t)(block->scales[h / 4][o] >> h % 4 * 8);
            into[h / 2].scales[h % 2][o] = scale[o] * (float)own;
        }
}

/* Bytes of a block of 32 outputs. */
static inline int64_t block_bytes_of(int format) {
    switch (format) {
    case Q4_0: return sizeof(struct q4_0);
    case Q5_0: return sizeof(struct q5_0);
    case Q8_0: return sizeof(struct q8_0);
    case Q4_K: return sizeof(struct q4_k);
    case Q5_K: return sizeof(struct q5_k);
    default: return sizeof(struct q6_k);
    }
}

/* How many groups of 32 inputs a block has. */
static inline int block_groups_of(int format) {
    return format == Q4_0 || format == Q5_0 || format == Q8_0 ? 1 : 8;
}

static inline int has_mins(int format) {
    return format == Q4_K || format == Q5_K;
}

/* How many scales a group has. */
static inline int halves_of(int format) {
    return format == Q6_K ? 2 : 1;
}

/* What codes stand above their weight. */
static inline int offset_of(int format) {
    switch (format) {
    case Q4_0: return 8;
    case Q5_0: return 16;
    case Q8_0: return INT8_OFFSET;
    case Q6_K: return 32;
    default: return 0;
    }
}

/* The scales and mins of a block's groups. */
static void unpack_scales(int format, const void *block, struct unpacked *into) {
    switch (format) {
    case Q4_0: scales_of_halves(((const struct q4_0 *)block)->scale, into->scales[0]); break;
    case Q5_0: scales_of_halves(((const struct q5_0 *)block)->scale, into->scales[0]); break;
    case Q8_0: scales_of_halves(((const struct q8_0 *)block)->scale, into->scales[0]); break;
    case Q4_K: unpack_k_scales(&((const struct q4_k *)block)->scales, into); break;
    case Q5_K: unpack_k_scales(&((const struct q5_k *)block)->scales, into); break;
    default: unpack_q6_k_scales(block, into); break;
    }
}

static void unpack_codes(int format, const void *block, struct unpacked *into) {
    switch (format) {
    case Q4_0: unpack_q4_0(block, into); break;
    case Q5_0: unpack_q5_0(block, into); break;
    case Q8_0: unpack_q8_0(block, into); break;
    case Q4_K: unpack_q4_k(block, into); break;
    case Q5_K: unpack_q5_k(block, into); break;
    default: unpack_q6_k(block, into); break;
    }
}

#endif
