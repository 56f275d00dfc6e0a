/* What Python hands to the kernels: bindings.py mirrors these structs field by field.
 *
 * Weights are quantized (prepare), activations as they come: whole numbers of 8 bits with one scale for
 * each group of 32 inputs of a row. So sums of products are exact in 32 bits within a group, and floats
 * are only added from group to group, in one order. A row's result therefore does not depend on the rows
 * beside it, nor on how work is cut for the threads. */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdint.h>

enum { GROUP = 32, BLOCK = 32, QUAD = 4, QUADS = GROUP / QUAD, HALVES_OF_GROUP = 2 };

/* How a weight is kept: in this project's own blocks (INT8), or in those of a GGUF file (gguf_blocks.h). */
enum format { INT8, Q4_0, Q5_0, Q8_0, Q4_K, Q5_K, Q6_K };

/* 32 outputs by 32 inputs. Four inputs (a quad) of one output stand side by side, for that is what a dot
 * product instruction takes; then the same quad of the next output, so that one read serves them all. */
struct int8_block {
    int8_t codes[QUADS][BLOCK][QUAD];
};

/* y = x W^T + bias. blocks: of INT8 [outputs / 32][inputs / 32], both rounded up; what is beyond is
 * zero. Of a file's formats [outputs / 32][inputs / 32 or 256], see gguf_blocks.h. scales: of INT8, one for
 * each output, as many as the blocks have; bias: likewise, or NULL. */
struct matrix {
    const void *blocks;
    const float *scales;
    const float *bias;
    int32_t outputs, inputs, format;
};

/* Norms that a family does not have are NULL. Matrices that multiply the same activations are all in this
 * project's own blocks or all in a file's. */
struct layer {
    const float *attention_norm, *query_norm, *key_norm, *mlp_norm;
    struct matrix query, key, value, out, gate, up, down;
};

struct model {
    const struct layer *layers;
    const float *norm;
    int32_t num_layers, hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size;
    float rms_norm_eps;
    int32_t
        rope_adjacent; /* whether a complex number is two neighbours of a head, and not two of its halves */
};

/* Keys and values of `length` tokens that follow each other: [layers][2 * kv heads][capacity][head_dim] from
 * the first of these tokens on, keys' heads first. Other sequences may have the same memory. */
struct segment {
    const float *states;
    int64_t capacity, length;
};

/* One token of a pass. segments: its sequence's, in their order, with the tokens of this pass. into: where
 * its own keys and values go, as of a segment with this capacity. before: tokens there before this pass; own:
 * its place among the `chunk` tokens that its sequence has in the pass. mask: whether it attends to each of
 * those, or NULL for itself and all before it. rotation: head_dim / 2 cosines, then as many sines. */
struct token {
    const struct segment *segments;
    float *into;
    const uint8_t *mask;
    const float *rotation;
    int64_t capacity;
    int32_t before, own, chunk;
};

/* Rows of quantized activations. corrections: what mends a group's sum of products where weights' codes are
 * multiplied larger by an offset than they are. For INT8 -offset * the sum of the group's codes; for
 * a file's formats, which may differ from matrix to matrix, two: -1 * that sum, and that of the second half.
 */
struct activations {
    int8_t *codes;        /* [rows][groups * 32], in an order of the instruction set's (place_of) */
    float *scales;        /* [rows][groups], likewise */
    int32_t *corrections; /* [rows][groups][2], likewise: [2] outside the rows side by side */
    int32_t groups;
};

/* One pass. Rows are tokens. Everything is memory of the caller's, [rows][...] unless said otherwise.
 * outputs: which rows go on after the last layer's attention, ascending; result: these, after the norm.
 * scratch: for each thread `scratch_bytes`. longest: the most keys that a token sees. */
struct pass {
    const struct model *model;
    const struct token *tokens;
    const int32_t *output_rows;
    float *states, *queries, *result;
    struct activations hidden, attn_out, inner;
    char *scratch;
    int64_t scratch_bytes;
    int32_t rows, num_outputs, longest;
};

/* y = x W^T + bias for [rows][inputs] into [rows][outputs]. */
struct product {
    const struct matrix *matrix;
    const float *x;
    float *y;
    struct activations activations;
    char *scratch;
    int64_t scratch_bytes;
    int32_t rows;
};

struct pool;

/* Weights, [outputs][inputs], to blocks of a file's format in a file's order: to Q5_0 or Q8_0 where the
 * inputs are a multiple of 32, to Q4_K or Q6_K where they are one of 256. */
struct quantization {
    const float *weights;
    void *blocks;
    int32_t outputs, inputs, format;
};

void quantize(struct pool *, const struct quantization *);

/* The kernels of one instruction set. */
struct kernels {
    const char *name;
    int (*supported)(void);
    void (*forward)(struct pool *, const struct pass *);
    void (*multiply)(struct pool *, const struct product *);
};

/* The best kernels first; the last run anywhere. */
const struct kernels *const *kernels_all(void);

#endif
