/* Tiles of ARM's instruction sets. Four outputs by half a group are multiplied at once: four quads of weights
 * that lie a row of the block apart, and 16 activations of each row.
 *
 * Before this header: neon.h, and of such a half's products for `rows` rows
 *   arrange(rows, x)              the activations, as `add_products` wants them
 *   begin(rows, corrections, sum) the sums of four outputs before the first product
 *   add_products(rows, weights, x, sum)
 *   whole(rows, sum)              the sums as they are wanted: for each row a vector of four outputs */

/* Half a group of each row's activations. */
TILE void load_rows(int rows, const int8_t *codes, int half, int8x16_t *into) {
    codes += half * (GROUP / HALVES);
    UNROLL for (int row = 0; row < rows; row++) into[row] = vld1q_s8(codes + row * GROUP);
    arrange(rows, into);
}

/* A number of each row, four in a vector, from which instructions take them by their place. */
TILE void load_row_floats(int rows, const float *from, float32x4_t *into) {
    into[0] = vdupq_n_f32(from[0]);
    if (rows == 2) into[0] = vsetq_lane_f32(from[1], into[0], 1);
    UNROLL for (int row = 0; row + LANES <= rows; row += LANES) into[row / LANES] = vld1q_f32(from + row);
}

TILE void load_row_ints(int rows, const int32_t *from, int32x4_t *into) {
    into[0] = vdupq_n_s32(from[0]);
    if (rows == 2) into[0] = vsetq_lane_s32(from[1], into[0], 1);
    UNROLL for (int row = 0; row + LANES <= rows; row += LANES) into[row / LANES] = vld1q_s32(from + row);
}

/* `total` holds sums of outputs by rows, from `first` on. */
TILE void load_totals(int rows, const float *sums, int stride, float32x4_t *total) {
    UNROLL for (int i = 0; i < SUMS; i++) total[i] = vld1q_f32(sums + i % rows * stride + i / rows * LANES);
}

TILE void store_totals(int rows, const float32x4_t *total, float *sums, int stride) {
    UNROLL for (int i = 0; i < SUMS; i++) vst1q_f32(sums + i % rows * stride + i / rows * LANES, total[i]);
}

TILE void tile_int8(int rows, const struct int8_block *blocks, struct view x, int groups,
                    struct ahead *ahead, float *sums, int stride) {
    const int outputs = OUTPUTS(rows), vectors = outputs / LANES;
    const int32x4_t nothing[SUMS / LANES] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    for (int first = 0; first < BLOCK; first += outputs) {
        float32x4_t total[SUMS];
        load_totals(rows, sums + first, stride, total);
        struct view at = x;
        for (int group = 0; group < groups; group++, next_group(&at)) {
            float32x4_t scales[SUMS / LANES];
            int32x4_t sum[SUMS];
            UNROLL for (int o = 0; o < vectors; o++) begin(rows, nothing, sum + o * rows);
            fetch(ahead);
            UNROLL for (int half = 0; half < HALVES; half++) {
                int8x16_t some[SUMS];
                load_rows(rows, at.codes, half, some);
                UNROLL for (int o = 0; o < vectors; o++) {
                    int8x16_t weights[HALF_QUADS];
                    UNROLL for (int quad = 0; quad < HALF_QUADS; quad++)
                        weights[quad] =
                            vld1q_s8(blocks[group].codes[half * HALF_QUADS + quad][first + LANES * o]);
                    add_products(rows, weights, some, sum + o * rows);
                }
            }
            UNROLL for (int o = 0; o < vectors; o++) whole(rows, sum + o * rows);
            load_row_floats(rows, at.scales, scales);
            UNROLL for (int i = 0; i < SUMS; i++) {
                float scale = scales[i % rows / LANES][i % rows % LANES];
                total[i] = vfmaq_n_f32(total[i], vcvtq_f32_s32(sum[i]), scale);
            }
        }
        store_totals(rows, total, sums + first, stride);
    }
}
