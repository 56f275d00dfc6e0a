/* What the processor that this runs on has. */
#ifndef PROCESSOR_H
#define PROCESSOR_H

enum feature { AVX2, AVX_VNNI, AVX512_VNNI, DOT_PRODUCT, INT8_MATRIX };

int processor_has(enum feature);

#endif
