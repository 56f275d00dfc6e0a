/* Threads that share a machine: a step is cut into pieces, and whoever is free claims the next. */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include <stdint.h>

struct pool;

/* One piece of a step, on the thread with this number (0: the caller's). */
typedef void piece_fn(const void *context, int32_t piece, int thread);

/* A pool of `threads`, the caller's among them, or of as many as the system allows; NULL: no memory. */
struct pool *pool_open(int threads);
int pool_threads(const struct pool *);
void pool_close(struct pool *);

/* Run pieces 0 .. pieces - 1, in any order; return when all are done. One caller at a time. */
void pool_run(struct pool *, piece_fn *, const void *context, int32_t pieces);

#endif
