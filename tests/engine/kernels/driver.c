/* Runs the kernels of one instruction set on what standard input asks for, so that the same tests prove those
 * of every processor, under an emulator too. Without an argument: which kernels this processor has.
 *
 * A request is whole numbers of 32 bits (the first tells which: struct product_request, struct pass_request),
 * then matrices (struct matrix_request), rows and sequences as kernels.h has them; the answer is the result's
 * floats, and of a pass all keys and values after them. All memory is as large as the kernels may use, and no
 * byte larger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INT8_OFFSET 0
#define TILE_ROWS 1
#include "kernels.h"
#include "thread_pool.h"
#include "unpack.h"

enum { MULTIPLY, FORWARD, DEQUANTIZE, QUANTIZE };
enum { MOST_SEGMENTS = 64 };

struct matrix_request {
    int32_t format, outputs, inputs, has_bias;
};

struct quantize_request {
    int32_t threads, format, outputs, inputs, bytes;
};

struct product_request {
    int32_t threads, rows;
};

struct pass_request {
    int32_t threads, rows, num_layers, hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size;
    int32_t has_head_norms, rope_adjacent, num_outputs, longest, sequences, scratch_bytes;
    float rms_norm_eps;
};

/* Tokens of one sequence. has_mask: of [chunk][chunk] bytes. */
struct sequence {
    int32_t segments, before, chunk, has_mask;
};

struct segment_request {
    int32_t capacity, length;
};

/* All memory of a request, freed together. */
static void *rooms[512];
static int num_rooms;

static int round_up(int size) {
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void *room(size_t bytes) {
    void *memory = num_rooms < 512 ? malloc(bytes) : NULL;
    if (memory == NULL) exit(2);
    memset(memory, 0xA5, bytes); /* no result may depend on it */
    return rooms[num_rooms++] = memory;
}

static void free_rooms(void) {
    while (num_rooms > 0) free(rooms[--num_rooms]);
}

static void receive(void *memory, size_t bytes) {
    if (fread(memory, 1, bytes, stdin) != bytes) exit(2);
}

static void *received(size_t bytes) {
    void *memory = room(bytes);
    receive(memory, bytes);
    return memory;
}

static float *floats(size_t count) {
    return received(count * sizeof(float));
}

static struct matrix matrix(void) {
    struct matrix_request r;
    receive(&r, sizeof r);
    struct matrix found = {NULL, NULL, NULL, r.outputs, r.inputs, r.format};
    int padded = round_up(r.outputs), groups = round_up(r.inputs) / GROUP;
    size_t block = r.format == INT8 ? sizeof(struct int8_block) : (size_t)block_bytes_of(r.format);
    if (r.format != INT8) groups /= block_groups_of(r.format);
    found.blocks = received((size_t)(padded / BLOCK * groups) * block);
    if (r.format == INT8) found.scales = floats((size_t)padded);
    if (r.has_bias) found.bias = floats((size_t)padded);
    return found;
}

static struct activations activations(int rows, int inputs) {
    int groups = round_up(inputs) / GROUP;
    size_t all = (size_t)rows * (size_t)groups;
    return (struct activations){room(all * GROUP), room(all * sizeof(float)), room(2 * all * sizeof(int32_t)),
                                groups};
}

static struct pool *pool_of(int threads) {
    struct pool *pool = pool_open(threads);
    if (pool == NULL) exit(2);
    return pool;
}

static void answer(const float *numbers, size_t count) {
    fwrite(numbers, sizeof *numbers, count, stdout);
}

static void answer_product(const struct kernels *kernels) {
    struct product_request request;
    receive(&request, sizeof request);
    size_t rows = (size_t)request.rows, scratch = rows * BLOCK * sizeof(float);
    struct matrix weights = matrix();
    struct pool *pool = pool_of(request.threads);
    struct product product = {.matrix = &weights,
                              .x = floats(rows * (size_t)weights.inputs),
                              .y = room(rows * (size_t)weights.outputs * sizeof(float)),
                              .activations = activations(request.rows, weights.inputs),
                              .scratch = room((size_t)pool_threads(pool) * scratch),
                              .scratch_bytes = (int64_t)scratch,
                              .rows = request.rows};
    kernels->multiply(pool, &product);
    pool_close(pool);
    answer(product.y, rows * (size_t)weights.outputs);
}

static struct layer layer(const struct pass_request *r) {
    struct layer found = {0};
    found.attention_norm = floats((size_t)r->hidden_size);
    if (r->has_head_norms) found.query_norm = floats((size_t)r->head_dim);
    if (r->has_head_norms) found.key_norm = floats((size_t)r->head_dim);
    found.mlp_norm = floats((size_t)r->hidden_size);
    found.query = matrix(), found.key = matrix(), found.value = matrix(), found.out = matrix();
    found.gate = matrix(), found.up = matrix(), found.down = matrix();
    return found;
}

static void answer_pass(const struct kernels *kernels) {
    struct pass_request r;
    receive(&r, sizeof r);
    size_t rows = (size_t)r.rows, hidden = (size_t)r.hidden_size, results = (size_t)r.num_outputs * hidden;
    int heads = r.num_heads * r.head_dim;
    struct layer *layers = room((size_t)r.num_layers * sizeof *layers);
    for (int i = 0; i < r.num_layers; i++) layers[i] = layer(&r);
    struct model model = {layers,         floats(hidden), r.num_layers, r.hidden_size,
                          r.num_heads,    r.num_kv_heads, r.head_dim,   r.intermediate_size,
                          r.rms_norm_eps, r.rope_adjacent};
    float *made[MOST_SEGMENTS]; /* segments with tokens of this pass */
    size_t sizes[MOST_SEGMENTS];
    int num_made = 0;
    struct token *tokens = room(rows * sizeof *tokens), *token = tokens;
    const float *rotations = floats(rows * (size_t)r.head_dim);
    for (int i = 0; i < r.sequences; i++) {
        struct sequence sequence;
        receive(&sequence, sizeof sequence);
        size_t chunk = (size_t)sequence.chunk;
        const uint8_t *mask = sequence.has_mask ? received(chunk * chunk) : NULL;
        struct segment *segments = room((size_t)sequence.segments * sizeof *segments);
        int end = sequence.before + sequence.chunk, start = 0;
        for (int s = 0; s < sequence.segments; s++) {
            struct segment_request segment;
            receive(&segment, sizeof segment);
            size_t lines = (size_t)(r.num_layers * 2 * r.num_kv_heads), head_dim = (size_t)r.head_dim;
            size_t size = ((lines - 1) * (size_t)segment.capacity + (size_t)segment.length) * head_dim;
            float *states = floats(size);
            segments[s] = (struct segment){states, segment.capacity, segment.length};
            int first = start > sequence.before ? start : sequence.before;
            for (int at = first; at < end && at < start + segment.length; at++, token++)
                *token = (struct token){.segments = segments,
                                        .into = states + (size_t)(at - start) * head_dim,
                                        .rotation = rotations + (token - tokens) * r.head_dim,
                                        .capacity = segment.capacity,
                                        .before = sequence.before,
                                        .own = at - sequence.before,
                                        .chunk = sequence.chunk};
            start += segment.length;
            if (start <= sequence.before) continue;
            if (num_made == MOST_SEGMENTS) exit(2);
            made[num_made] = states, sizes[num_made++] = size;
        }
        for (struct token *own = token - sequence.chunk; mask != NULL && own < token; own++)
            own->mask = mask + (size_t)own->own * chunk;
    }
    struct pool *pool = pool_of(r.threads);
    struct pass pass = {.model = &model,
                        .tokens = tokens,
                        .output_rows = received((size_t)r.num_outputs * sizeof(int32_t)),
                        .states = floats(rows * hidden),
                        .queries = room(rows * (size_t)heads * sizeof(float)),
                        .result = room(results * sizeof(float)),
                        .hidden = activations(r.rows, r.hidden_size),
                        .attn_out = activations(r.rows, heads),
                        .inner = activations(r.rows, r.intermediate_size),
                        .scratch = room((size_t)pool_threads(pool) * (size_t)r.scratch_bytes),
                        .scratch_bytes = r.scratch_bytes,
                        .rows = r.rows,
                        .num_outputs = r.num_outputs,
                        .longest = r.longest};
    kernels->forward(pool, &pass);
    pool_close(pool);
    answer(pass.result, results);
    for (int i = 0; i < num_made; i++) answer(made[i], sizes[i]);
}

/* The numbers of a file's matrix, [outputs][inputs]. */
static void answer_numbers(void) {
    struct matrix weights = matrix();
    int format = weights.format, together = block_groups_of(format), groups = weights.inputs / GROUP;
    float *row = room((size_t)weights.inputs * sizeof *row);
    for (int output = 0; output < weights.outputs; output++) {
        const char *block = weights.blocks;
        block += (int64_t)(output / BLOCK * (groups / together)) * block_bytes_of(format);
        for (int group = 0; group < groups; group++) {
            struct unpacked unpacked[8], *own = unpacked + group % together;
            const char *at = block + group / together * block_bytes_of(format);
            unpack_scales(format, at, unpacked);
            unpack_codes(format, at, unpacked);
            for (int i = 0; i < GROUP; i++) {
                int o = output % BLOCK, code = (int)(own->codes[i / QUAD][o] >> i % QUAD * 8 & 255);
                code = format == Q8_0 ? (int8_t)code : code - offset_of(format);
                float number = own->scales[i / (GROUP / halves_of(format))][o] * (float)code;
                row[group * GROUP + i] = has_mins(format) ? number - own->mins[o] : number;
            }
        }
        answer(row, (size_t)weights.inputs);
    }
}

/* Weights, [outputs][inputs], to the blocks of a file: so many bytes, a multiple of four. */
static void answer_blocks(void) {
    struct quantize_request r;
    receive(&r, sizeof r);
    struct pool *pool = pool_of(r.threads);
    const float *weights = floats((size_t)r.outputs * (size_t)r.inputs);
    struct quantization work = {weights, room((size_t)r.bytes), r.outputs, r.inputs, r.format};
    quantize(pool, &work);
    pool_close(pool);
    answer(work.blocks, (size_t)r.bytes / sizeof(float));
}

int main(int count, char **arguments) {
    for (const struct kernels *const *each = kernels_all(); *each != NULL; each++) {
        if (count == 1 && (*each)->supported()) puts((*each)->name);
        if (count == 1 || strcmp((*each)->name, arguments[1]) != 0) continue;
        int32_t what;
        while (fread(&what, sizeof what, 1, stdin) == 1) {
            if (what == MULTIPLY) answer_product(*each);
            if (what == FORWARD) answer_pass(*each);
            if (what == DEQUANTIZE) answer_numbers();
            if (what == QUANTIZE) answer_blocks();
            free_rooms();
            fflush(stdout);
        }
        return 0;
    }
    return count == 1 ? 0 : 1;
}
