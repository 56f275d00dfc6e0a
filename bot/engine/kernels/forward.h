/* A pass through the model, in this instruction set: the last thing its file includes.
 *
 * Read `forward` first. Each step is cut into pieces that the pool's threads claim; a piece is a block of
 * outputs for all rows, or a row, or some heads of a few rows. What a piece makes it also quantizes for the
 * next step, where its outputs are whole groups. */
#include <stddef.h>

#include "attention.h"
#include "matmul.h"
#include "rows.h"
#include "thread_pool.h"

/* A step of one layer. */
struct step {
    const struct pass *pass;
    const struct layer *layer;
    const float *norm;
    const struct matrix *matrix;
    const struct activations *activations;
    int number, rows;
};

static float *scratch_of(const struct pass *pass, int thread) {
    return (float *)(pass->scratch + thread * pass->scratch_bytes);
}

static int blocks_of(int size) {
    return (size + BLOCK - 1) / BLOCK;
}

/* The row of the pass that stands at `place` among those that go on. */
static int row_at(const struct step *step, int place) {
    return step->rows < step->pass->rows ? step->pass->output_rows[place] : place;
}

/* The fewest heads that are whole blocks together: 1 of 64 or 128, 2 of 80. */
static int heads_together(int head_dim) {
    int heads = 1;
    while (heads * head_dim % BLOCK) heads++;
    return heads;
}

/* A row's norm, quantized. */
static void norm_piece(const void *context, int32_t row, int thread) {
    const struct step *step = context;
    const struct model *model = step->pass->model;
    float *normed = scratch_of(step->pass, thread);
    rms_norm(step->pass->states + (int64_t)row * model->hidden_size, step->norm, model->hidden_size,
             model->rms_norm_eps, normed);
    quantize_row(normed, model->hidden_size, step->activations, step->matrix->format, step->rows, row);
}

/* How many pieces a projection to `heads` heads makes. */
static int pieces_of(int heads, int head_dim) {
    int together = heads_together(head_dim);
    return (heads + together - 1) / together;
}

/* Some heads of queries, keys or values: normed, rotated, and kept where attention looks for them. */
static void qkv_piece(const void *context, int32_t piece, int thread) {
    const struct step *step = context;
    const struct pass *pass = step->pass;
    const struct layer *layer = step->layer;
    const struct model *model = pass->model;
    int head_dim = model->head_dim, heads = heads_together(head_dim), width = heads * head_dim;
    const struct matrix *of[] = {&layer->query, &layer->key, &layer->value};
    const float *norms[] = {layer->query_norm, layer->key_norm, NULL};
    enum { QUERY, KEY, VALUE } kind = QUERY;
    int queries = pieces_of(model->num_heads, head_dim), keys = pieces_of(model->num_kv_heads, head_dim);
    if (piece >= queries) piece -= queries, kind = KEY;
    if (kind == KEY && piece >= keys) piece -= keys, kind = VALUE;
    int all = kind == QUERY ? model->num_heads : model->num_kv_heads;
    float *made = scratch_of(pass, thread);
    int block = piece * (width / BLOCK), end = blocks_of(of[kind]->outputs);
    for (int i = 0; i < width / BLOCK && block + i < end; i++)
        multiply_block(of[kind], step->activations, step->rows, block + i, made + i * BLOCK, width);
    for (int row = 0; row < step->rows; row++) {
        const struct token *token = pass->tokens + row;
        for (int i = 0; i < heads && piece * heads + i < all; i++) {
            int head = piece * heads + i;
            float *numbers = made + (int64_t)row * width + i * head_dim;
            if (norms[kind] != NULL) rms_norm(numbers, norms[kind], head_dim, model->rms_norm_eps, numbers);
            if (kind != VALUE) rotate(numbers, token->rotation, head_dim, model->rope_adjacent);
            int64_t slot = (int64_t)(step->number * 2 + (kind == VALUE)) * model->num_kv_heads + head;
            float *into = kind == QUERY ? pass->queries + ((int64_t)row * all + head) * head_dim
                                        : token->into + slot * token->capacity * head_dim;
            memcpy(into, numbers, (size_t)head_dim * sizeof *into);
        }
    }
}

/* How attention is cut into pieces: `group` heads share keys; `heads` of them and `rows` rows are one piece,
 * so that a group makes `parts`. */
struct sharing {
    int group, heads, parts, rows;
};

static struct sharing sharing_of(const struct model *model) {
    int group = model->num_heads / model->num_kv_heads, heads = group < SHARING ? group : SHARING;
    return (struct sharing){group, heads, (group + heads - 1) / heads, SHARING / heads};
}

/* Attention of a piece's queries, each result in its query's place. Other sequences have other keys. */
static void attend_piece(const void *context, int32_t piece, int thread) {
    const struct step *step = context;
    const struct pass *pass = step->pass;
    const struct model *model = pass->model;
    struct sharing sharing = sharing_of(model);
    int kv_head = piece / sharing.parts % model->num_kv_heads, head_dim = model->head_dim;
    int head = kv_head * sharing.group + piece % sharing.parts * sharing.heads;
    int last = head + sharing.heads, all = (kv_head + 1) * sharing.group;
    if (last > all) last = all;
    int place = piece / (sharing.parts * model->num_kv_heads) * sharing.rows;
    int end = place + sharing.rows < step->rows ? place + sharing.rows : step->rows;
    float *scores = scratch_of(pass, thread);
    while (place < end) {
        const struct token *token = pass->tokens + row_at(step, place);
        const struct segment *segments = token->segments;
        struct query queries[SHARING];
        int count = 0;
        for (; place < end; place++) {
            int row = row_at(step, place);
            token = pass->tokens + row;
            if (token->segments != segments) break;
            for (int i = head; i < last; i++, count++) {
                float *numbers = pass->queries + ((int64_t)row * model->num_heads + i) * head_dim;
                float *own = scores + count * (int64_t)(pass->longest + SPARE);
                int seen = token->before + (token->mask ? token->chunk : token->own + 1);
                queries[count] = (struct query){numbers, token, own, numbers, seen};
            }
        }
        int key_slot = step->number * 2 * model->num_kv_heads + kv_head;
        attend(count, queries, segments, key_slot, key_slot + model->num_kv_heads, head_dim);
    }
}

/* What a row's heads attended to, quantized. */
static void attn_out_piece(const void *context, int32_t place, int thread) {
    (void)thread;
    const struct step *step = context;
    const struct model *model = step->pass->model;
    int width = model->num_heads * model->head_dim;
    quantize_row(step->pass->queries + (int64_t)row_at(step, place) * width, width, step->activations,
                 step->matrix->format, step->rows, place);
}

/* A block of a projection, added to the hidden states. */
static void add_piece(const void *context, int32_t block, int thread) {
    const struct step *step = context;
    int hidden = step->pass->model->hidden_size, from = block * BLOCK;
    int width = hidden - from < BLOCK ? hidden - from : BLOCK;
    float *made = scratch_of(step->pass, thread);
    multiply_block(step->matrix, step->activations, step->rows, block, made, BLOCK);
    for (int row = 0; row < step->rows; row++) {
        float *states = step->pass->states + (int64_t)row * hidden + from;
        for (int i = 0; i < width; i++) states[i] += made[row * BLOCK + i];
    }
}

/* A block of silu(gate) * up, quantized. */
static void inner_piece(const void *context, int32_t block, int thread) {
    const struct step *step = context;
    const struct pass *pass = step->pass;
    float *gate = scratch_of(pass, thread), *up = gate + (int64_t)step->rows * BLOCK;
    multiply_block(&step->layer->gate, &pass->hidden, step->rows, block, gate, BLOCK);
    multiply_block(&step->layer->up, &pass->hidden, step->rows, block, up, BLOCK);
    /* Apart, since each waits for its own last number: so several rows are under way at once. */
    for (int row = 0; row < step->rows; row++)
        gate_inner(gate + row * BLOCK, up + row * BLOCK, gate + row * BLOCK);
    for (int row = 0; row < step->rows; row++)
        quantize_group(gate + row * BLOCK, &pass->inner, step->layer->down.format,
                       place_in(&pass->inner, step->rows, row, block));
}

static void final_norm_piece(const void *context, int32_t row, int thread) {
    (void)thread;
    const struct step *step = context;
    const struct model *model = step->pass->model;
    int64_t at = (int64_t)row * model->hidden_size;
    rms_norm(step->pass->states + at, model->norm, model->hidden_size, model->rms_norm_eps,
             step->pass->result + at);
}

/* Move the states of the rows that go on to the front. */
static void keep_output_rows(const struct pass *pass) {
    int64_t hidden = pass->model->hidden_size;
    for (int to = 0; to < pass->num_outputs; to++) {
        int64_t row = pass->output_rows[to];
        memmove(pass->states + to * hidden, pass->states + row * hidden, (size_t)hidden * sizeof(float));
    }
}

/* All layers over the pass's rows. */
static void forward(struct pool *pool, const struct pass *pass) {
    const struct model *model = pass->model;
    int qkv_pieces =
        pieces_of(model->num_heads, model->head_dim) + 2 * pieces_of(model->num_kv_heads, model->head_dim);
    struct sharing sharing = sharing_of(model);
    struct step step = {.pass = pass, .rows = pass->rows};
    for (int number = 0; number < model->num_layers; number++) {
        const struct layer *layer = step.layer = model->layers + number;
        step.number = number;

        step.norm = layer->attention_norm, step.matrix = &layer->query, step.activations = &pass->hidden;
        pool_run(pool, norm_piece, &step, step.rows);
        pool_run(pool, qkv_piece, &step, qkv_pieces);

        if (number == model->num_layers - 1 && pass->num_outputs < pass->rows) {
            keep_output_rows(pass);
            step.rows = pass->num_outputs;
        }
        step.matrix = &layer->out, step.activations = &pass->attn_out;
        int together = (step.rows + sharing.rows - 1) / sharing.rows;
        pool_run(pool, attend_piece, &step, together * model->num_kv_heads * sharing.parts);
        pool_run(pool, attn_out_piece, &step, step.rows);
        pool_run(pool, add_piece, &step, blocks_of(model->hidden_size));

        step.norm = layer->mlp_norm, step.matrix = &layer->gate, step.activations = &pass->hidden;
        pool_run(pool, norm_piece, &step, step.rows);
        pool_run(pool, inner_piece, &step, blocks_of(model->intermediate_size));

        step.matrix = &layer->down, step.activations = &pass->inner;
        pool_run(pool, add_piece, &step, blocks_of(model->hidden_size));
    }
    pool_run(pool, final_norm_piece, &step, step.rows);
}

static void quantize_piece(const void *context, int32_t row, int thread) {
    (void)thread;
    const struct product *product = context;
    int inputs = product->matrix->inputs;
    quantize_row(product->x + (int64_t)row * inputs, inputs, &product->activations, product->matrix->format,
                 product->rows, row);
}

static void product_piece(const void *context, int32_t block, int thread) {
    const struct product *product = context;
    int outputs = product->matrix->outputs, from = block * BLOCK;
    int width = outputs - from < BLOCK ? outputs - from : BLOCK;
    float *made = (float *)(product->scratch + thread * product->scratch_bytes);
    multiply_block(product->matrix, &product->activations, product->rows, block, made, BLOCK);
    for (int row = 0; row < product->rows; row++)
        memcpy(product->y + (int64_t)row * outputs + from, made + row * BLOCK, (size_t)width * sizeof *made);
}

static void multiply(struct pool *pool, const struct product *product) {
    pool_run(pool, quantize_piece, product, product->rows);
    pool_run(pool, product_piece, product, blocks_of(product->matrix->outputs));
}

const struct kernels KERNELS = {NAME, supported, forward, multiply};
