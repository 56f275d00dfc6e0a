/* Many steps, mostly tiny: every piece must run once, before its step ends, on a thread that there is. */
#include <stdio.h>
#include <stdlib.h>

#include "thread_pool.h"

enum { MOST = 300 };

struct step {
    int times[MOST]; /* plain, so that two threads at one piece are a data race */
    int threads;
    volatile int work;
};

static void piece(const void *context, int32_t number, int thread) {
    struct step *step = (struct step *)context;
    if (thread < 0 || thread >= step->threads) abort();
    for (int i = 0; i < number % 7 * 50; i++) (void)step->work;
    step->times[number]++;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    struct pool *pool = pool_open(atoi(arguments[1]));
    struct step step = {{0}, pool_threads(pool), 0};
    int expected[MOST] = {0}, steps = atoi(arguments[2]);
    for (int i = 0; i < steps; i++) {
        int32_t pieces = i % 11 == 0 ? MOST : i % 10; /* none, too */
        pool_run(pool, piece, &step, pieces);
        for (int at = 0; at < MOST; at++) {
            expected[at] += at < pieces;
            if (step.times[at] == expected[at]) continue;
            printf("step %d of %d pieces: piece %d ran %d times, not %d\n", i, pieces, at, step.times[at],
                   expected[at]);
            return 1;
        }
    }
    pool_close(pool);
    return 0;
}
