/* SPDX-License-Identifier: Apache-2.0 */
/* timetable.c - see timetable.h. */
#include "compute/timetable.h"

#include "base/memory.h"

#include <pthread.h>
#include <time.h>

struct tr_timetable {
    tr_timetable_look look;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the two below */
    pthread_cond_t changed;
    bool has_changed, is_closing;
    bool has_thread; /* not guarded: set once, before anybody else knows the timetable */
};

static void *run(void *ctx)
{
    enum { AGAIN_US = 60 * 1000000 };
    tr_timetable *t = ctx;
    int64_t after_us = tr_time_now_us();
    pthread_mutex_lock(&t->lock);
    while (!t->is_closing) {
        t->has_changed = false;
        pthread_mutex_unlock(&t->lock);
        const int64_t now_us = tr_time_now_us();
        const int64_t next_us = t->look(t->ctx, after_us, now_us);
        const int64_t wake_us = next_us == TR_TIME_NONE || next_us > now_us + AGAIN_US
                                    ? now_us + AGAIN_US
                                    : next_us;
        after_us = now_us;
        pthread_mutex_lock(&t->lock);
        const struct timespec until = {.tv_sec = wake_us / 1000000,
                                       .tv_nsec = wake_us % 1000000 * 1000 + 1000};
        int waited = 0;
        while (!t->is_closing && !t->has_changed && waited == 0)
            waited = pthread_cond_timedwait(&t->changed, &t->lock, &until);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

tr_code tr_timetable_open(tr_timetable_look look, void *ctx, tr_timetable **out, tr_err *err)
{
    tr_timetable *t = tr_alloc_zeroed(1, sizeof *t);
    if (t == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a timetable");
    t->look = look;
    t->ctx = ctx;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    *out = t; /* before the thread looks: what it calls may wake it */
    if (pthread_create(&t->thread, NULL, run, t) != 0) {
        *out = NULL;
        tr_timetable_close(t);
        return TR_FAIL(err, TR_NO_MEMORY, "no thread for schedules");
    }
    t->has_thread = true;
    return TR_OK;
}

void tr_timetable_close(tr_timetable *t)
{
    if (t == NULL)
        return;
    if (t->has_thread) {
        pthread_mutex_lock(&t->lock);
        t->is_closing = true;
        pthread_cond_signal(&t->changed);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->thread, NULL);
    }
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    tr_free(t);
}

void tr_timetable_wake(tr_timetable *t)
{
    pthread_mutex_lock(&t->lock);
    t->has_changed = true;
    pthread_cond_signal(&t->changed);
    pthread_mutex_unlock(&t->lock);
}
