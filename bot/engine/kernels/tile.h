/* What the tiles of all instruction sets have in common. */
#ifndef TILE_H
#define TILE_H

#include "kernels.h"

/* A tile is inlined for each count of rows, and its loops over rows and vectors are then straight code. */
#define TILE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
/* Compilers would add the products of many quads to each other first, for which there are no registers. */
#if defined(__x86_64__)
#define ADDED(sum) __asm__("" : "+x"(sum))
#else
#define ADDED(sum) __asm__("" : "+w"(sum))
#endif

/* Some rows of activations from some group on. A group of all of them stands side by side; from group to
 * group it is `width` rows. */
struct view {
    const int8_t *codes;
    const float *scales;
    const int32_t *corrections;
    int64_t width;
};

TILE void next_group(struct view *x) {
    x->codes += x->width * GROUP;
    x->scales += x->width;
    x->corrections += x->width * 2;
}

/* What will be multiplied next, fetched into the second cache meanwhile, a few lines a group: memory would
 * otherwise rest while many rows are multiplied. */
struct ahead {
    const char *at, *end;
    int64_t step;
};

TILE void fetch(struct ahead *ahead) {
    if (ahead->at >= ahead->end) return;
    for (int64_t line = 0; line < ahead->step; line += 64) __builtin_prefetch(ahead->at + line, 0, 2);
    ahead->at += ahead->step;
}

#endif
