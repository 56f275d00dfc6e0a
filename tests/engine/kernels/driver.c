/* Runs the kernels of one instruction set on what standard input asks for, so that the same tests prove those
 * of every processor, under an emulator too. Without an argument: which kernels this processor has.
 *
 * A request is whole numbers of 32 bits (struct request), then matrices and rows as kernels.h has them; the
 * answer is the result's floats. All memory is as large as the kernels may use, and no byte larger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "thread_pool.h"

struct request {
    int32_t threads, rows, bits, outputs, inputs, has_bias;
};

static int round_up(int size) {
    return (size + BLOCK - 1) / BLOCK * BLOCK;
}

static void *room(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory == NULL) exit(2);
    memset(memory, 0xA5, bytes); /* no result may depend on it */
    return memory;
}

static void *received(size_t bytes) {
    void *memory = room(bytes);
    if (fread(memory, 1, bytes, stdin) != bytes) exit(2);
    return memory;
}

static void answer(const struct kernels *kernels, const struct request *request) {
    int outputs = round_up(request->outputs), groups = round_up(request->inputs) / GROUP;
    size_t rows = (size_t)request->rows, quantized = rows * (size_t)groups;
    size_t block = request->bits == 8 ? sizeof(struct int8_block) : sizeof(struct int4_block);
    float *scales = NULL, *bias = NULL;
    void *blocks = received((size_t)(outputs / BLOCK * groups) * block);
    if (request->bits == 8) scales = received((size_t)outputs * sizeof *scales);
    if (request->has_bias) bias = received((size_t)outputs * sizeof *bias);
    float *x = received(rows * (size_t)request->inputs * sizeof *x);
    float *y = room(rows * (size_t)request->outputs * sizeof *y);
    struct matrix matrix = {blocks, scales, bias, request->outputs, request->inputs, request->bits};
    struct activations activations = {room(quantized * GROUP * sizeof(int16_t)),
                                      room(quantized * sizeof(float)), room(quantized * sizeof(int32_t)),
                                      groups};
    struct pool *pool = pool_open(request->threads);
    if (pool == NULL) exit(2);
    size_t scratch = rows * BLOCK * sizeof(float);
    struct product product = {&matrix, x, y, activations, NULL, (int64_t)scratch, request->rows};
    product.scratch = room((size_t)pool_threads(pool) * scratch);
    kernels->multiply(pool, &product);
    pool_close(pool);
    fwrite(y, sizeof *y, rows * (size_t)request->outputs, stdout);
    fflush(stdout);
    void *all[] = {blocks, scales, bias, x, y, activations.codes, activations.scales, activations.corrections,
                   product.scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int main(int count, char **arguments) {
    for (const struct kernels *const *each = kernels_all(); *each != NULL; each++) {
        if (count == 1 && (*each)->supported()) puts((*each)->name);
        if (count == 1 || strcmp((*each)->name, arguments[1]) != 0) continue;
        struct request request;
        while (fread(&request, sizeof request, 1, stdin) == 1) answer(*each, &request);
        return 0;
    }
    return count == 1 ? 0 : 1;
}
