/* Tiles of x86's instruction sets that multiply bytes without a sign by bytes with one.
 *
 * A vector holds a quad of each of LANES outputs; a quad of a row's activations stands beside all of them:
 *
 *   weights      o0: w0 w1 w2 w3 | o1: w0 w1 w2 w3 | ...
 *   activations      x0 x1 x2 x3 |     x0 x1 x2 x3 | ...
 *   sum          += the four products of each              in 32 bits
 *
 * Before this header: vectors (x86_256.h's, or avx512_vnni.c's); OUTPUTS(rows), how many outputs are
 * multiplied at once so that all sums stay in registers; and of a group's products with weights of 8 bits
 * begin_int8(correction) and dot_int8(sum, weights, activations). */

/* `total` holds sums of rows by outputs, from `first` on. */
TILE void load_totals(int rows, int outputs, const float *sums, int stride, floats *total) {
    UNROLL for (int row = 0; row < rows; row++)
        UNROLL for (int o = 0; o < outputs / LANES; o++)
            total[row * (outputs / LANES) + o] = load_floats(sums + row * stride + LANES * o);
}

TILE void store_totals(int rows, int outputs, const floats *total, float *sums, int stride) {
    UNROLL for (int row = 0; row < rows; row++)
        UNROLL for (int o = 0; o < outputs / LANES; o++)
            store_floats(sums + row * stride + LANES * o, total[row * (outputs / LANES) + o]);
}

TILE void tile_int8(int rows, const struct int8_block *blocks, struct view x, int groups,
                    struct ahead *ahead, float *sums, int stride) {
    const int outputs = OUTPUTS(rows), vectors = outputs / LANES;
    for (int first = 0; first < BLOCK; first += outputs) {
        floats total[MOST_SUMS];
        load_totals(rows, outputs, sums + first, stride, total);
        struct view at = x;
        for (int group = 0; group < groups; group++, next_group(&at)) {
            const int8_t *codes = at.codes;
            ints sum[MOST_SUMS];
            UNROLL for (int row = 0; row < rows; row++)
                UNROLL for (int o = 0; o < vectors; o++)
                    sum[row * vectors + o] = begin_int8(at.corrections[row]);
            fetch(ahead);
            UNROLL for (int quad = 0; quad < QUADS; quad++) {
                UNROLL for (int o = 0; o < vectors; o++) {
                    ints weights = load(blocks[group].codes[quad][first + LANES * o]);
                    UNROLL for (int row = 0; row < rows; row++) {
                        ints quads = broadcast_quad(codes + row * GROUP + quad * QUAD);
                        sum[row * vectors + o] = dot_int8(sum[row * vectors + o], weights, quads);
                    }
                }
            }
            UNROLL for (int row = 0; row < rows; row++) {
                floats scale = broadcast_float(at.scales[row]);
                UNROLL for (int o = 0; o < vectors; o++) {
                    int i = row * vectors + o;
                    total[i] = multiply_add(to_floats(sum[i]), scale, total[i]);
                }
            }
        }
        store_totals(rows, outputs, total, sums + first, stride);
    }
}
