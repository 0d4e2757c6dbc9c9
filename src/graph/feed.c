/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c - the row groups of many files as sheets, read ahead by a few threads and handed out in
 * order.
 *
 *     cursor (file, group) --> slot 0  slot 1  slot 2 ...      a ring: readers fill, the one
 *     consumer
 *                                ^ taken next                   takes them in the order of the
 *                                cursor
 *
 * A file is opened when the cursor comes to it and closed when its last sheet was taken, because
 * ids point into its mapping. Little work is done by the consumer itself, without threads.
 */
#include "graph/graph_internal.h"
#include "os/os.h"

#include <unistd.h>

enum { THREADS_MAX = 8, SLOTS_PER_THREAD = 2, SLOTS_MAX = THREADS_MAX * SLOTS_PER_THREAD };
enum { THREADED_ROWS_MIN = 20000 };

typedef struct opened {
    tr_map map;
    tr_run *run;
    uint32_t sheets_left; /* to be taken */
} opened;

typedef struct slot {
    tr_sheet sheet;
    opened *file;
    uint32_t file_index, group;
    bool is_ready;
    tr_code code;
    tr_err err;
} slot;

struct tr_feed {
    tr_feed_spec spec;
    pthread_mutex_t mutex; /* all below */
    pthread_cond_t changed;
    slot slots[SLOTS_MAX];
    uint32_t slot_count;
    uint64_t given, taken; /* slots handed to readers; taken by the consumer */
    opened *file;          /* at the cursor; NULL: the next one is to be opened */
    uint32_t next_file, next_group;
    bool is_over; /* nothing more is given: all is, or a file failed, or the feed closes */
    bool is_held; /* the slot `taken` is with the consumer */
    pthread_t threads[THREADS_MAX];
    uint32_t thread_count;
};

static void close_file(opened *file)
{
    if (file == NULL)
        return;
    tr_run_close(file->run);
    tr_map_close(&file->map);
    tr_free(file);
}

static tr_code open_file(const tr_feed *feed, const tr_graph_file *entry, opened **out, tr_err *err)
{
    opened *file = tr_alloc_zeroed(1, sizeof *file);
    if (file == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open file %s", entry->id);
    tr_code code = tr_lake_map(feed->spec.lake, feed->spec.tenant, entry->dataset, entry->batch,
                               entry->name, &file->map, err);
    if (code == TR_OK)
        code = tr_run_open(file->map.bytes, entry->id, entry->dataset, &file->run, err);
    if (code == TR_OK && (file->run->rows != entry->rows || file->map.bytes.len != entry->bytes))
        code = TR_FAIL(err, TR_CORRUPT, "it is not what the catalog knows: %llu rows, not %llu",
                       (unsigned long long)file->run->rows, (unsigned long long)entry->rows);
    if (code != TR_OK) {
        close_file(file);
        tr_err_context(err, "file %s", entry->id);
        return code;
    }
    file->sheets_left = tr_parquet_group_count(file->run->file);
    *out = file;
    return TR_OK;
}

/* Brings the cursor to the next row group there is. The mutex is held. */
static tr_code seek(tr_feed *feed, tr_err *err)
{
    while (feed->file == NULL && feed->next_file < feed->spec.file_count) {
        TR_TRY(open_file(feed, &feed->spec.files[feed->next_file], &feed->file, err));
        feed->next_group = 0;
        if (feed->file->sheets_left > 0)
            return TR_OK;
        close_file(feed->file);
        feed->file = NULL;
        feed->next_file++;
    }
    feed->is_over = feed->file == NULL;
    return TR_OK;
}

/* Hands out the slot of the next row group; NULL: there is none. The mutex is held, a slot free. */
static slot *give(tr_feed *feed)
{
    slot *to = &feed->slots[feed->given % feed->slot_count];
    to->code = seek(feed, &to->err);
    if (feed->is_over)
        return NULL;
    feed->given++;
    to->file_index = feed->next_file;
    to->file = feed->file;
    to->group = feed->next_group;
    to->is_ready = to->code != TR_OK;
    feed->is_over = to->code != TR_OK;
    if (to->code == TR_OK && ++feed->next_group == tr_parquet_group_count(feed->file->run->file)) {
        feed->file = NULL;
        feed->next_file++;
    }
    return to;
}

static void fill(const tr_feed *feed, slot *to)
{
    const tr_graph_file *entry = &feed->spec.files[to->file_index];
    const tr_sheet_source source = {.run = to->file->run,
                                    .file = entry,
                                    .classes = feed->spec.classes,
                                    .secret = feed->spec.secret};
    to->code = tr_sheet_read(&source, to->group, &to->sheet, &to->err);
    if (to->code != TR_OK)
        tr_err_context(&to->err, "file %s", entry->id);
}

/* The mutex is held, and again at the end. False: nothing more will be given. */
static bool read_one(tr_feed *feed)
{
    slot *to = feed->is_over ? NULL : give(feed);
    if (to != NULL && !to->is_ready) {
        (void)pthread_mutex_unlock(&feed->mutex);
        fill(feed, to);
        (void)pthread_mutex_lock(&feed->mutex);
        to->is_ready = true;
    }
    (void)pthread_cond_broadcast(&feed->changed);
    return to != NULL;
}

static void *read_all(void *ctx)
{
    tr_feed *feed = ctx;
    (void)pthread_mutex_lock(&feed->mutex);
    do {
        while (!feed->is_over && feed->given - feed->taken == feed->slot_count)
            (void)pthread_cond_wait(&feed->changed, &feed->mutex);
    } while (read_one(feed));
    (void)pthread_mutex_unlock(&feed->mutex);
    return NULL;
}

static uint32_t threads_for(const tr_feed_spec *spec)
{
    uint64_t rows = 0;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint32_t i = 0; i < spec->file_count; i++)
        rows += spec->files[i].rows;
    if (rows < THREADED_ROWS_MIN || cores < 2)
        return 0;
    return cores > THREADS_MAX ? THREADS_MAX : (uint32_t)cores;
}

tr_code tr_feed_open(const tr_feed_spec *spec, tr_feed **out, tr_err *err)
{
    tr_feed *feed = tr_alloc_zeroed(1, sizeof *feed);
    if (feed == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read the files of a graph");
    feed->spec = *spec;
    (void)pthread_mutex_init(&feed->mutex, NULL);
    (void)pthread_cond_init(&feed->changed, NULL);
    const uint32_t wanted = threads_for(spec);
    feed->slot_count = wanted == 0 ? 1 : wanted * SLOTS_PER_THREAD;
    while (feed->thread_count < wanted &&
           pthread_create(&feed->threads[feed->thread_count], NULL, read_all, feed) == 0)
        feed->thread_count++;
    *out = feed;
    return TR_OK;
}

/* The slot with the consumer is free again. The mutex is held. */
static void release(tr_feed *feed)
{
    slot *own = &feed->slots[feed->taken % feed->slot_count];
    tr_sheet_free(&own->sheet);
    if (own->file != NULL && --own->file->sheets_left == 0)
        close_file(own->file);
    own->file = NULL;
    own->is_ready = false;
    feed->taken++;
    feed->is_held = false;
    (void)pthread_cond_broadcast(&feed->changed);
}

tr_code tr_feed_next(tr_feed *feed, const tr_sheet **sheet, uint32_t *file, tr_err *err)
{
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&feed->mutex);
    if (feed->is_held)
        release(feed);
    if (feed->thread_count == 0)
        (void)read_one(feed);
    slot *own = &feed->slots[feed->taken % feed->slot_count];
    while (!own->is_ready && (!feed->is_over || feed->given > feed->taken))
        (void)pthread_cond_wait(&feed->changed, &feed->mutex);
    if (own->is_ready) {
        feed->is_held = true;
        code = own->code;
        if (code != TR_OK && err != NULL)
            *err = own->err;
    }
    if (code == TR_OK) {
        *sheet = own->is_ready ? &own->sheet : NULL;
        *file = own->is_ready ? own->file_index : feed->spec.file_count;
    }
    (void)pthread_mutex_unlock(&feed->mutex);
    return code;
}

void tr_feed_close(tr_feed *feed)
{
    if (feed == NULL)
        return;
    (void)pthread_mutex_lock(&feed->mutex);
    feed->is_over = true;
    (void)pthread_cond_broadcast(&feed->changed);
    (void)pthread_mutex_unlock(&feed->mutex);
    for (uint32_t i = 0; i < feed->thread_count; i++)
        (void)pthread_join(feed->threads[i], NULL);
    /* A file at the cursor has sheets that nobody will take. */
    if (feed->file != NULL)
        feed->file->sheets_left -= tr_parquet_group_count(feed->file->run->file) - feed->next_group;
    if (feed->file != NULL && feed->file->sheets_left == 0)
        close_file(feed->file);
    while (feed->taken < feed->given)
        release(feed);
    (void)pthread_cond_destroy(&feed->changed);
    (void)pthread_mutex_destroy(&feed->mutex);
    tr_free(feed);
}
