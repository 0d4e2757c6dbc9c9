/* SPDX-License-Identifier: Apache-2.0 */
/* http_workers.c - threads for requests that may be slow: all but GET and HEAD, and some of them.
 *
 * An event thread serves many connections, so a handler that waits (for a disk to sync, for a
 * lock, for a query) would hold them all up. Such a request is suspended in MHD, handled here,
 * and its event thread woken. Reads are answered on the event thread: two thread switches would
 * cost more than they do; but those that the handler puts off come here, too. They may be many and
 * wait for each other (for columns that one of them decodes), so half of the threads stay
 * with the rest.
 */
#include "http/http_internal.h"

static tr_connection *pop(tr_work_queue *queue)
{
    tr_connection *c = queue->first;
    queue->first = c->queued;
    return c;
}

/* The lock is held. NULL: nothing that this thread may take now. */
static tr_connection *next_of(tr_workers *workers, bool *is_put_off)
{
    *is_put_off = workers->queue.first == NULL;
    if (!*is_put_off)
        return pop(&workers->queue);
    if (workers->put_off.first == NULL || workers->put_off_running >= workers->put_off_max)
        return NULL;
    workers->put_off_running++;
    return pop(&workers->put_off);
}

static bool is_over(const tr_workers *workers)
{
    return workers->is_closing && workers->queue.first == NULL && workers->put_off.first == NULL;
}

static void *work(void *ctx)
{
    tr_workers *workers = ctx;
    bool is_put_off = false;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        tr_connection *c = next_of(workers, &is_put_off);
        if (c == NULL && is_over(workers))
            break;
        if (c == NULL) {
            pthread_cond_wait(&workers->wake, &workers->lock);
            continue;
        }
        pthread_mutex_unlock(&workers->lock);
        (void)tr_http_handle(c, false);
        tr_phase_enter(c, TR_PHASE_ANSWERED, 0);
        MHD_resume_connection(c->mhd); /* from here on it is the event thread's */
        pthread_mutex_lock(&workers->lock);
        if (is_put_off)
            workers->put_off_running--;
        if (workers->is_closing)
            pthread_cond_broadcast(&workers->wake);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

tr_code tr_workers_start(tr_workers *workers, uint32_t count, tr_err *err)
{
    workers->threads = tr_alloc_array(count, sizeof *workers->threads);
    if (workers->threads == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u threads", count);
    workers->put_off_max = count < 4 ? 1 : count / 2;
    for (uint32_t i = 0; i < count; i++) {
        const int cause = pthread_create(&workers->threads[i], NULL, work, workers);
        if (cause != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "start a thread: %s", strerror(cause));
        workers->thread_count++;
    }
    return TR_OK;
}

bool tr_workers_push(tr_workers *workers, tr_connection *c, bool is_put_off)
{
    c->queued = NULL;
    pthread_mutex_lock(&workers->lock);
    tr_work_queue *queue = is_put_off ? &workers->put_off : &workers->queue;
    const bool is_open = !workers->is_closing;
    if (is_open) {
        *(queue->first == NULL ? &queue->first : &queue->last->queued) = c;
        queue->last = c;
        pthread_cond_signal(&workers->wake);
    }
    pthread_mutex_unlock(&workers->lock);
    return is_open;
}

void tr_workers_stop(tr_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->is_closing = true;
    pthread_cond_broadcast(&workers->wake);
    pthread_mutex_unlock(&workers->lock);
    for (uint32_t i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    tr_free(workers->threads);
    workers->threads = NULL;
    workers->thread_count = 0;
}
