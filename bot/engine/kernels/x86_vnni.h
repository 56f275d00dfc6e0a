/* What both instruction sets with VNNI have in common: four products of bytes without a sign by bytes with one
 * are added in 32 bits by `dot`. No sum comes near 2^31: 32 products of 255 * 127, and a correction of
 * 128 * 32 * 127. */

TILE ints begin_int8(int32_t correction) { return broadcast_int(correction); }
TILE ints dot_int8(ints sum, ints weights, ints x) { return dot(sum, without_sign(weights), x); }

/* Codes of a file's formats have no sign, those of 8 bits neither once they are unpacked. */
#define RUN(format, quads) (quads)
TILE ints begin_part(ints sum) { return sum; }
TILE ints dot_part(int format, ints part, ints weights, ints x) { return (void)format, dot(part, weights, x); }
TILE ints end_part(ints sum, ints part) { return (void)sum, part; }
