/* SPDX-License-Identifier: Apache-2.0 */
/* live_cache.c - see live_cache.h. */
#include "sql/live_cache.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/os.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { WAIT_MS = 100 };

typedef struct entry {
    struct entry *next;
    int64_t tenant;
    char key[33];
    char policy[64];
    json_t *columns;
    bool is_columns_only;
    bool is_made; /* false: somebody is at it */
    bool is_void; /* forgotten meanwhile: who makes it makes it again */
    char *folder;
    json_t *files;
    uint64_t bytes;
    int64_t used_us;
} entry;

struct tr_live_cache {
    tr_live_cache_parts parts;
    char folder[4096], empty[4160];
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* an entry was made, or given up */
    entry *entries;
    uint64_t bytes;
    _Atomic uint64_t count; /* of names given */
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for live profiles");
}

static void drop_folder(const char *folder)
{
    tr_err err = {0};
    if (folder != NULL && tr_dir_remove(folder, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "sql", "scratch_kept", "reason=\"%s\"", err.text);
}

static void free_entries(entry *gone)
{
    while (gone != NULL) {
        entry *next = gone->next;
        drop_folder(gone->folder);
        json_decref(gone->columns);
        json_decref(gone->files);
        tr_free(gone->folder);
        tr_free(gone);
        gone = next;
    }
}

tr_code tr_live_cache_open(const tr_live_cache_parts *parts, tr_live_cache **out, tr_err *err)
{
    static _Atomic uint32_t caches;
    tr_file file = TR_FILE_NONE;
    tr_live_cache *cache = tr_alloc_zeroed(1, sizeof *cache);
    if (cache == NULL)
        return no_memory(err);
    cache->parts = *parts;
    if (cache->parts.bytes_max == 0)
        cache->parts.bytes_max = TR_LIVE_BYTES_MAX;
    (void)pthread_mutex_init(&cache->lock, NULL);
    (void)pthread_cond_init(&cache->changed, NULL);
    const int len = snprintf(cache->folder, sizeof cache->folder, "%s/live-%d-%u",
                             parts->scratch_folder, getpid(), atomic_fetch_add(&caches, 1));
    tr_code code = len < (int)sizeof cache->folder - 64
                       ? tr_dir_make(cache->folder, err)
                       : TR_FAIL(err, TR_LIMIT, "the scratch folder's name is too long");
    (void)snprintf(cache->empty, sizeof cache->empty, "%s/empty.json", cache->folder);
    if (code == TR_OK)
        code = tr_file_replace(cache->empty, &file, err);
    tr_file_close(&file);
    if (code == TR_OK)
        *out = cache;
    else
        tr_live_cache_close(cache);
    return code;
}

void tr_live_cache_close(tr_live_cache *cache)
{
    if (cache == NULL)
        return;
    free_entries(cache->entries);
    drop_folder(cache->folder);
    (void)pthread_cond_destroy(&cache->changed);
    (void)pthread_mutex_destroy(&cache->lock);
    tr_free(cache);
}

const char *tr_live_cache_empty(const tr_live_cache *cache)
{
    return cache->empty;
}

tr_code tr_live_cache_file(tr_live_cache *cache, const char *end, char out[4096], tr_err *err)
{
    const uint64_t number = atomic_fetch_add(&cache->count, 1);
    const int len =
        snprintf(out, 4096, "%s/%llu%s", cache->folder, (unsigned long long)number, end);
    return len < 4096 ? TR_OK : TR_FAIL(err, TR_LIMIT, "the scratch folder's name is too long");
}

static tr_code check_patience(const tr_query_patience *patience, tr_err *err)
{
    return tr_query_check_patience(
        patience, "stopped: merging the profiles took longer than the limit", err);
}

/* Making -------------------------------------------------------------------------------------- */

typedef struct making {
    tr_live_cache *cache;
    const tr_live *live;
    const tr_query_patience *patience;
    const char *folder;
    uint64_t *profiles; /* by partition */
    _Atomic uint64_t bytes;
} making;

typedef struct part {
    making *of;
    tr_file file;
} part;

static tr_code write_part(void *ctx, tr_str bytes, tr_err *err)
{
    part *p = ctx;
    const uint64_t all = atomic_fetch_add(&p->of->bytes, bytes.len) + bytes.len;
    if (all > p->of->cache->parts.bytes_max)
        return TR_FAIL(err, TR_LIMIT, "the profiles take more than %llu bytes of scratch",
                       (unsigned long long)p->of->cache->parts.bytes_max);
    return tr_file_write(&p->file, bytes, err);
}

static tr_code name_part(const char *folder, uint32_t index, char out[4096], tr_err *err)
{
    const int len = snprintf(out, 4096, "%s/part-%05u.parquet", folder, index);
    return len < 4096 ? TR_OK : TR_FAIL(err, TR_LIMIT, "the scratch folder's name is too long");
}

/* Of a partition without profiles the file goes, but the first stays for its columns. */
static tr_code make_part(void *ctx, uint32_t index, tr_err *err)
{
    making *m = ctx;
    char path[4096];
    part p = {.of = m, .file = TR_FILE_NONE};
    TR_TRY(check_patience(m->patience, err));
    TR_TRY(name_part(m->folder, index, path, err));
    TR_TRY(tr_file_create(path, &p.file, err));
    tr_code code = tr_live_write(m->live, index, (tr_sink){write_part, &p}, m->patience->cancel,
                                 &m->profiles[index], err);
    tr_file_close(&p.file);
    if (code == TR_OK && m->profiles[index] == 0 && index > 0)
        code = tr_file_remove(path, err);
    return code;
}

static tr_code list_parts(const making *m, uint32_t count, json_t **out, tr_err *err)
{
    json_t *files = json_array();
    tr_code code = files == NULL ? no_memory(err) : TR_OK;
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        char path[4096];
        if (m->profiles != NULL && m->profiles[i] == 0 && i > 0)
            continue;
        code = name_part(m->folder, i, path, err);
        if (code == TR_OK && json_array_append_new(files, json_string(path)) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK)
        *out = files;
    else
        json_decref(files);
    return code;
}

static tr_code make_columns(making *m, tr_live *live, tr_err *err)
{
    char path[4096];
    part p = {.of = m, .file = TR_FILE_NONE};
    TR_TRY(name_part(m->folder, 0, path, err));
    TR_TRY(tr_file_create(path, &p.file, err));
    const tr_code code = tr_live_write_columns(live, (tr_sink){write_part, &p}, err);
    tr_file_close(&p.file);
    return code;
}

static tr_code make_rows(making *m, tr_live *live, uint32_t *count, tr_err *err)
{
    TR_TRY(tr_live_begin(live, err));
    *count = tr_live_partitions(live);
    m->profiles = tr_alloc_zeroed(*count, sizeof *m->profiles);
    if (m->profiles == NULL)
        return no_memory(err);
    return tr_compute_run(m->cache->parts.compute, *count, make_part, m, m->patience->cancel, err);
}

/* The files of an entry that nobody else touches yet. */
static tr_code make(tr_live_cache *cache, tr_live *live, const tr_query_patience *patience,
                    entry *e, json_t **files, uint64_t *bytes, tr_err *err)
{
    uint32_t count = 1;
    making m = {.cache = cache, .live = live, .patience = patience, .folder = e->folder};
    const int64_t begin_us = tr_time_monotonic_us();
    TR_TRY(tr_dir_make(e->folder, err));
    tr_code code =
        e->is_columns_only ? make_columns(&m, live, err) : make_rows(&m, live, &count, err);
    if (code == TR_OK)
        code = list_parts(&m, count, files, err);
    if (code == TR_OK && !e->is_columns_only)
        tr_log(TR_LOG_INFO, "sql", "profiles_merged", "partitions=%u bytes=%llu ms=%lld", count,
               (unsigned long long)m.bytes,
               (long long)((tr_time_monotonic_us() - begin_us) / 1000));
    *bytes = m.bytes;
    tr_free(m.profiles);
    return code;
}

/* Finding ------------------------------------------------------------------------------------- */

static bool has_column(const json_t *columns, const json_t *wanted)
{
    size_t i;
    const json_t *column;
    json_array_foreach(columns, i, column) if (json_equal(column, wanted)) return true;
    return false;
}

/* The same profiles, and all the columns; columns without rows are only those very ones. */
static bool covers(const entry *e, const tr_tenant *tenant, const tr_live *live,
                   bool is_columns_only)
{
    size_t i;
    const json_t *column, *wanted = tr_live_columns(live);
    if (e->tenant != tenant->id || e->is_columns_only != is_columns_only)
        return false;
    if (is_columns_only)
        return strcmp(e->policy, tr_live_policy(live)) == 0 && json_equal(e->columns, wanted);
    if (strcmp(e->key, tr_live_key(live)) != 0)
        return false;
    json_array_foreach(wanted, i, column) if (!has_column(e->columns, column)) return false;
    return true;
}

/* Takes a made entry out of the list. The lock is held. */
static entry *take(tr_live_cache *cache, entry **at, entry *gone)
{
    entry *e = *at;
    *at = e->next;
    e->next = gone;
    cache->bytes -= e->bytes;
    return e;
}

/* What a new entry makes old, and the least used while there is too much. The lock is held; the
 * answer is to be freed without it. */
static entry *take_old(tr_live_cache *cache, const entry *newest)
{
    entry *gone = NULL;
    for (entry **at = &cache->entries; *at != NULL;) {
        const entry *e = *at;
        const bool is_old = e != newest && e->is_made && e->tenant == newest->tenant &&
                            e->is_columns_only == newest->is_columns_only &&
                            strcmp(e->policy, newest->policy) == 0 &&
                            strcmp(e->key, newest->key) != 0;
        if (is_old)
            gone = take(cache, at, gone);
        else
            at = &(*at)->next;
    }
    while (cache->bytes > cache->parts.bytes_max) {
        entry **least = NULL;
        for (entry **at = &cache->entries; *at != NULL; at = &(*at)->next)
            if (*at != newest && (*at)->is_made &&
                (least == NULL || (*at)->used_us < (*least)->used_us))
                least = at;
        if (least == NULL)
            break;
        gone = take(cache, least, gone);
    }
    return gone;
}

static tr_code new_entry(tr_live_cache *cache, const tr_tenant *tenant, const tr_live *live,
                         bool is_columns_only, entry **out, tr_err *err)
{
    char path[4096];
    entry *e = tr_alloc_zeroed(1, sizeof *e);
    if (e == NULL)
        return no_memory(err);
    e->tenant = tenant->id;
    e->is_columns_only = is_columns_only;
    (void)snprintf(e->key, sizeof e->key, "%s", is_columns_only ? "" : tr_live_key(live));
    (void)snprintf(e->policy, sizeof e->policy, "%s", tr_live_policy(live));
    e->columns = json_deep_copy(tr_live_columns(live));
    tr_code code = tr_live_cache_file(cache, "", path, err);
    if (code == TR_OK)
        e->folder = tr_copy_text(tr_str_of(path));
    if (code == TR_OK && (e->folder == NULL || e->columns == NULL))
        code = no_memory(err);
    if (code == TR_OK)
        *out = e;
    else
        free_entries(e);
    return code;
}

/* Makes what is not there. The lock is held before and after, not meanwhile. */
static tr_code make_entry(tr_live_cache *cache, const tr_tenant *tenant, tr_live *live,
                          bool is_columns_only, const tr_query_patience *patience, json_t **out,
                          tr_err *err)
{
    entry *e = NULL, *gone = NULL;
    json_t *files = NULL;
    uint64_t bytes = 0;
    TR_TRY(new_entry(cache, tenant, live, is_columns_only, &e, err));
    e->next = cache->entries;
    cache->entries = e;
    (void)pthread_mutex_unlock(&cache->lock);
    tr_code code = make(cache, live, patience, e, &files, &bytes, err);
    (void)pthread_mutex_lock(&cache->lock);
    if (code == TR_OK && e->is_void) {
        json_decref(files);
        code = TR_FAIL(err, TR_NOT_FOUND, "data was taken back while it was merged");
    }
    if (code == TR_OK) {
        e->is_made = true;
        e->files = files;
        e->bytes = bytes;
        e->used_us = tr_time_monotonic_us();
        cache->bytes += bytes;
        gone = take_old(cache, e);
        *out = json_incref(files);
    } else {
        entry **at = &cache->entries;
        while (*at != e)
            at = &(*at)->next;
        gone = take(cache, at, NULL);
    }
    (void)pthread_cond_broadcast(&cache->changed);
    (void)pthread_mutex_unlock(&cache->lock);
    free_entries(gone);
    (void)pthread_mutex_lock(&cache->lock);
    return code;
}

static void wait_a_little(tr_live_cache *cache)
{
    const struct timespec until = tr_time_in_ms(WAIT_MS);
    (void)pthread_cond_timedwait(&cache->changed, &cache->lock, &until);
}

static tr_code find(tr_live_cache *cache, const tr_tenant *tenant, tr_live *live,
                    bool is_columns_only, const tr_query_patience *patience, json_t **out,
                    tr_err *err)
{
    for (;;) {
        entry *e = cache->entries;
        TR_TRY(check_patience(patience, err));
        while (e != NULL && !covers(e, tenant, live, is_columns_only))
            e = e->next;
        if (e == NULL)
            return make_entry(cache, tenant, live, is_columns_only, patience, out, err);
        if (e->is_made) {
            e->used_us = tr_time_monotonic_us();
            *out = json_incref(e->files);
            return TR_OK;
        }
        wait_a_little(cache);
    }
}

tr_code tr_live_cache_files(tr_live_cache *cache, const tr_tenant *tenant,
                            const tr_live_question *question, const tr_query_patience *patience,
                            json_t **out, tr_err *err)
{
    tr_code code = TR_NOT_FOUND;
    /* runs may go before they are open */
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++) {
        tr_live *live = NULL;
        TR_TRY(tr_live_open(cache->parts.export, tenant, question->policy_id, &live, err));
        code = question->is_columns_only ? TR_OK : tr_live_name(live, err);
        if (code == TR_OK && question->wants != NULL)
            code = tr_live_narrow(live, question->wants, question->ctx, err);
        if (code == TR_OK) {
            (void)pthread_mutex_lock(&cache->lock);
            code = find(cache, tenant, live, question->is_columns_only, patience, out, err);
            (void)pthread_mutex_unlock(&cache->lock);
        }
        tr_live_close(live);
    }
    return code;
}

void tr_live_cache_forget(tr_live_cache *cache, const tr_tenant *tenant)
{
    entry *gone = NULL;
    (void)pthread_mutex_lock(&cache->lock);
    for (entry **at = &cache->entries; *at != NULL;) {
        const bool is_its = (*at)->tenant == tenant->id;
        if (is_its && (*at)->is_made) {
            gone = take(cache, at, gone);
            continue;
        }
        (*at)->is_void = (*at)->is_void || is_its;
        at = &(*at)->next;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    free_entries(gone);
}
