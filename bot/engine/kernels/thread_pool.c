#include "thread_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("isb" ::: "memory") /* `yield` returns at once on most processors */
#else
#define PAUSE() ((void)0)
#endif

/* Looks before a thread sleeps: about as long as waking it would take, so that waiting costs at most twice
 * what the better choice would have (Karlin et al., 1991), and a busy neighbour gets the processor. */
enum { SPINS = 2000 };

/* What is left of a stretch of pieces, in one word so that a claim is one atomic step: in the upper half
 * where the stretch ends, in the lower half its next piece. Each has a cache line of its own. */
struct stretch {
    _Alignas(64) _Atomic uint64_t left;
};

enum { END_AT = 32 };

struct pool {
    struct stretch *stretches; /* of each thread; where its own has nothing left, it takes from the others' */
    _Alignas(64) _Atomic int32_t done;
    _Atomic int32_t pieces; /* whoever was last in a step may look when the next has begun */
    int count; /* of stretches */
    _Alignas(64) atomic_int sleeping; /* threads that wait for a step */
    atomic_bool caller_sleeps;
    atomic_bool closing;
    piece_fn *run; /* of this step; written while no piece is claimed */
    const void *context;
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    int threads;
    struct member {
        struct pool *pool;
        pthread_t id;
        int number;
    } *members;
};

static bool has_piece(uint64_t left) {
    return (uint32_t)left < left >> END_AT;
}

static bool has_work(struct pool *pool) {
    for (int i = 0; i < pool->count; i++)
        if (has_piece(atomic_load(&pool->stretches[i].left))) return true;
    return false;
}

/* Do pieces until none is left to claim: a thread's own stretch in order, as memory likes it, then the
 * others'. They are counted at the end, once, for the count is what threads pass to and fro; before that the
 * step cannot end, nor the next begin. */
static void do_pieces(struct pool *pool, int thread) {
    int32_t count = 0;
    for (int i = 0; i < pool->count; i++) {
        _Atomic uint64_t *stretch = &pool->stretches[(thread + i) % pool->count].left;
        while (has_piece(atomic_load(stretch))) {
            uint64_t claim = atomic_fetch_add(stretch, 1);
            if (!has_piece(claim)) break;
            pool->run(pool->context, (int32_t)(uint32_t)claim, thread);
            count++;
        }
    }
    if (count == 0) return;
    if (atomic_fetch_add(&pool->done, count) + count == pool->pieces && atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void sleep_until_work(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleeping, 1); /* before the look, as `pool_run` looks after it has published */
    while (!has_work(pool) && !atomic_load(&pool->closing))
        pthread_cond_wait(&pool->work, &pool->lock);
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *serve(void *argument) {
    struct member *self = argument;
    struct pool *pool = self->pool;
    while (!atomic_load(&pool->closing)) {
        for (int spins = 0; spins < SPINS && !has_work(pool); spins++) PAUSE();
        if (!has_work(pool)) sleep_until_work(pool);
        do_pieces(pool, self->number);
    }
    return NULL;
}

static void free_pool(struct pool *pool) {
    free(pool->stretches);
    free(pool->members);
    free(pool);
}

struct pool *pool_open(int threads) {
    struct pool *pool = aligned_alloc(64, sizeof *pool);
    if (pool == NULL) return NULL;
    *pool = (struct pool){.threads = 1, .count = threads};
    pool->members = calloc((size_t)threads, sizeof *pool->members);
    pool->stretches = aligned_alloc(64, (size_t)threads * sizeof *pool->stretches);
    if (pool->members == NULL || pool->stretches == NULL) {
        free_pool(pool);
        return NULL;
    }
    for (int i = 0; i < threads; i++) atomic_init(&pool->stretches[i].left, 0);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    for (int number = 1; number < threads; number++) {
        struct member *member = &pool->members[number];
        *member = (struct member){.pool = pool, .number = number};
        if (pthread_create(&member->id, NULL, serve, member)) break; /* a control group's limit */
        pool->threads = number + 1;
    }
    return pool;
}

int pool_threads(const struct pool *pool) {
    return pool->threads;
}

void pool_close(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->closing, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (int number = 1; number < pool->threads; number++) pthread_join(pool->members[number].id, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free_pool(pool);
}

static void wait_until_done(struct pool *pool, int32_t pieces) {
    for (int spins = 0; spins < SPINS; spins++) {
        if (atomic_load(&pool->done) == pieces) return;
        PAUSE();
    }
    /* Whoever has the last piece may be waiting for this very processor. */
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->done) != pieces) pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

void pool_run(struct pool *pool, piece_fn *run, const void *context, int32_t pieces) {
    if (pieces == 1 || pool->threads == 1) { /* not worth telling the others */
        for (int32_t piece = 0; piece < pieces; piece++) run(context, piece, 0);
        return;
    }
    if (pieces == 0) return;
    pool->run = run;
    pool->context = context;
    pool->pieces = pieces;
    atomic_store(&pool->done, 0);
    for (int64_t i = 0, count = pool->count; i < count; i++)
        atomic_store(&pool->stretches[i].left,
                     (uint64_t)((i + 1) * pieces / count) << END_AT | (uint64_t)(i * pieces / count));
    if (atomic_load(&pool->sleeping)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->work);
        pthread_mutex_unlock(&pool->lock);
    }
    do_pieces(pool, 0);
    wait_until_done(pool, pieces);
}
