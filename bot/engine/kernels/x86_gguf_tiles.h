/* Tiles of x86's instruction sets for blocks of a GGUF file: vectors as in x86_tiles.h.
 *
 * Before this header, beside that and unpack.h: of `quads` quads that have one scale, RUN(format, quads) are
 * summed to a part before it is added to the sum of 32 bits:
 *   part = begin_part(sum), dot_part(format, part, weights, activations), sum = end_part(sum, part) */

/* Offsets are powers of two. */
TILE ints offset_sums(int format, ints sums) {
    switch (format) {
    case Q4_0: return shift_left(sums, 3);
    case Q5_0: return shift_left(sums, 4);
    case Q6_K: return shift_left(sums, 5);
    default: return INT8_OFFSET ? shift_left(sums, 7) : nothing();
    }
}

TILE ints halves_from(ints packed, int high) { return high ? high_halves(packed) : low_halves(packed); }

/* The codes of a quad of group `g` of a block, from output `first` on: see unpack.h. */
TILE ints packed_codes(int format, const void *from, int g, int quad, int first) {
    switch (format) {
    case Q4_0: return halves_from(load(&((const struct q4_0 *)from)->codes[quad % 4][first]), quad / 4);
    case Q5_0: {
        const struct q5_0 *block = from;
        ints bits = bits_and(shift_right(load(&block->high[first]), 4 * quad), broadcast_int(15));
        bits = bits_or(bits, shift_left(bits, 7));
        bits = bits_and(bits_or(bits, shift_left(bits, 14)), broadcast_int(0x01010101));
        return bits_or(halves_from(load(&block->codes[quad % 4][first]), quad / 4), shift_left(bits, 4));
    }
    case Q8_0: {
        ints codes = load(&((const struct q8_0 *)from)->codes[quad][first]);
        return INT8_OFFSET ? without_sign(codes) : codes;
    }
    case Q4_K: return halves_from(load(&((const struct q4_k *)from)->codes[g / 2][quad][first]), g % 2);
    case Q5_K: {
        const struct q5_k *block = from;
        ints bits = load(&block->high[quad][first]);
        bits = g < 4 ? shift_left(bits, 4 - g) : shift_right(bits, g - 4);
        bits = bits_and(bits, broadcast_int(0x10101010));
        return bits_or(halves_from(load(&block->codes[g / 2][quad][first]), g % 2), bits);
    }
    default: {
        const struct q6_k *block = from;
        ints bits = load(&block->high[g / 4][quad][first]);
        bits = g % 4 < 2 ? shift_left(bits, 4 - 2 * (g % 4)) : shift_right(bits, 2 * (g % 4) - 4);
        bits = bits_and(bits, broadcast_int(0x30303030));
        return bits_or(halves_from(load(&block->low[g / 4 * 2 + g % 2][quad][first]), g % 4 / 2), bits);
    }
    }
}

/* Adds a group's products to totals of rows by outputs, from `first` on. packed: the block whose group `g`
 * this is; NULL where its codes are unpacked, as the scales are. */
TILE void add_group(int rows, int format, const void *packed, int g, const struct unpacked *own,
                    struct view x, int first, floats *total) {
    const int vectors = OUTPUTS(rows) / LANES, halves = halves_of(format), quads = QUADS / halves;
    UNROLL for (int half = 0; half < halves; half++) {
        ints sum[MOST_SUMS];
        UNROLL for (int row = 0; row < rows; row++) {
            ints begin = nothing();
            if (!has_mins(format)) {
                begin = broadcast_int(x.corrections[row + half * x.width]);
                if (halves == 2 && half == 0)
                    begin = subtract(begin, broadcast_int(x.corrections[row + x.width]));
                begin = offset_sums(format, begin);
            }
            UNROLL for (int o = 0; o < vectors; o++) sum[row * vectors + o] = begin;
        }
        UNROLL for (int run = 0; run < quads; run += RUN(format, quads)) {
            ints part[MOST_SUMS];
            UNROLL for (int i = 0; i < rows * vectors; i++) part[i] = begin_part(sum[i]);
            for (int quad = half * quads + run; quad < half * quads + run + RUN(format, quads); quad++) {
                UNROLL for (int o = 0; o < vectors; o++) {
                    int output = first + LANES * o;
                    ints weights = packed ? packed_codes(format, packed, g, quad, output)
                                          : load(&own->codes[quad][output]);
                    UNROLL for (int row = 0; row < rows; row++) {
                        ints some = broadcast_quad(x.codes + row * GROUP + quad * QUAD);
                        int i = row * vectors + o;
                        part[i] = dot_part(format, part[i], weights, some);
                    }
                }
            }
            UNROLL for (int i = 0; i < rows * vectors; i++) sum[i] = end_part(sum[i], part[i]);
        }
        UNROLL for (int o = 0; o < vectors; o++) {
            floats scales = load_floats(&own->scales[half][first + LANES * o]);
            UNROLL for (int row = 0; row < rows; row++) {
                int i = row * vectors + o;
                floats scale = times(scales, broadcast_float(x.scales[row]));
                total[i] = multiply_add(to_floats(sum[i]), scale, total[i]);
            }
        }
    }
    if (!has_mins(format)) return;
    UNROLL for (int row = 0; row < rows; row++) {
        floats less = broadcast_float(x.scales[row] * (float)x.corrections[row]);
        UNROLL for (int o = 0; o < vectors; o++) {
            int i = row * vectors + o;
            total[i] = multiply_add(load_floats(&own->mins[first + LANES * o]), less, total[i]);
        }
    }
}

TILE void tile_unpacked(int rows, int format, const struct unpacked *unpacked, struct view x, int groups,
                        float *sums, int stride) {
    const int outputs = OUTPUTS(rows);
    for (int first = 0; first < BLOCK; first += outputs) {
        floats total[MOST_SUMS];
        load_totals(rows, outputs, sums + first, stride, total);
        struct view at = x;
        for (int group = 0; group < groups; group++, next_group(&at))
            add_group(rows, format, NULL, 0, unpacked + group, at, first, total);
        store_totals(rows, outputs, total, sums + first, stride);
    }
}

/* One row and one block. */
TILE void tile_packed(int format, const void *block, const struct unpacked *scales, struct view x,
                      float *sums) {
    floats total[MOST_SUMS];
    load_totals(1, BLOCK, sums, 0, total);
    UNROLL for (int g = 0; g < block_groups_of(format); g++, next_group(&x))
        add_group(1, format, block, g, scales + g, x, 0, total);
    store_totals(1, BLOCK, total, sums, 0);
}
