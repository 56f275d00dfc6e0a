/* Tiles of ARM's instruction sets for blocks of a GGUF file, as those of neon_tiles.h are: half a group at
 * a time, which is what has a scale of its own where a format has two. Before this: that and unpack.h. */

/* What the sums of some inputs of a file's codes begin with: corrections for the offset of the format. */
TILE void offset_corrections(int rows, int format, struct view x, int half, int32x4_t *into) {
    int32x4_t second[SUMS / LANES];
    load_row_ints(rows, x.corrections, into);
    load_row_ints(rows, x.corrections + x.width, second);
    UNROLL for (int i = 0; i < SUMS / LANES && i * LANES < rows; i++) {
        if (halves_of(format) == 2) into[i] = half ? second[i] : vsubq_s32(into[i], second[i]);
        into[i] = vmulq_n_s32(into[i], offset_of(format));
    }
}

TILE void tile_unpacked(int rows, int format, const struct unpacked *unpacked, struct view x, int groups,
                        float *sums, int stride) {
    const int outputs = OUTPUTS(rows), vectors = outputs / LANES, parts = halves_of(format);
    for (int first = 0; first < BLOCK; first += outputs) {
        float32x4_t total[SUMS];
        load_totals(rows, sums + first, stride, total);
        struct view at = x;
        for (int group = 0; group < groups; group++, next_group(&at)) {
            const struct unpacked *own = unpacked + group;
            float32x4_t scales[SUMS / LANES];
            load_row_floats(rows, at.scales, scales);
            UNROLL for (int part = 0; part < parts; part++) {
                int32x4_t corrections[SUMS / LANES], sum[SUMS];
                offset_corrections(rows, format, at, part, corrections);
                UNROLL for (int o = 0; o < vectors; o++) begin(rows, corrections, sum + o * rows);
                UNROLL for (int half = part; half < HALVES; half += parts) {
                    int8x16_t some[SUMS];
                    load_rows(rows, at.codes, half, some);
                    UNROLL for (int o = 0; o < vectors; o++) {
                        int8x16_t weights[HALF_QUADS];
                        UNROLL for (int quad = 0; quad < HALF_QUADS; quad++)
                            weights[quad] = vreinterpretq_s8_u32(
                                vld1q_u32(&own->codes[half * HALF_QUADS + quad][first + LANES * o]));
                        add_products(rows, weights, some, sum + o * rows);
                    }
                }
                UNROLL for (int o = 0; o < vectors; o++) {
                    float32x4_t weight_scales = vld1q_f32(&own->scales[part][first + LANES * o]);
                    whole(rows, sum + o * rows);
                    UNROLL for (int row = 0; row < rows; row++) {
                        int i = o * rows + row;
                        float32x4_t scale = vmulq_n_f32(weight_scales, scales[row / LANES][row % LANES]);
                        total[i] = vfmaq_f32(total[i], vcvtq_f32_s32(sum[i]), scale);
                    }
                }
            }
            if (!has_mins(format)) continue;
            UNROLL for (int row = 0; row < rows; row++) {
                float less = at.scales[row] * (float)at.corrections[row];
                UNROLL for (int o = 0; o < vectors; o++) {
                    int i = o * rows + row;
                    total[i] = vfmaq_n_f32(total[i], vld1q_f32(&own->mins[first + LANES * o]), less);
                }
            }
        }
        store_totals(rows, total, sums + first, stride);
    }
}

/* One row and one block, whose scales are unpacked. */
TILE void tile_packed(int format, const void *block, struct unpacked *unpacked, struct view x, float *sums) {
    unpack_codes(format, block, unpacked);
    tile_unpacked(1, format, unpacked, x, block_groups_of(format), sums, 0);
}
