/* SPDX-License-Identifier: Apache-2.0 */
/* materialized.c - see materialized.h. */
#include "materialized/materialized.h"

#include "base/clock.h"
#include "base/log.h"
#include "codec/hash.h"
#include "codec/json.h"
#include "os/os.h"
#include "store/stitched.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FORMAT = 1, WANTED_MAX = 64, HOPELESS_MAX = 64, LOWEST_PRIORITY = 19, PLACE_BYTES = 80 };
enum { LOOK_US = 1000 * 1000 };
#define FOLDER "merged" /* stands for a dataset in the lake */
#define SOURCE FOLDER "-"

/* What is to be made. */
typedef struct wanted {
    struct wanted *next;
    tr_tenant tenant;
    tr_merge_policy policy;
    json_t *runs;    /* ids, all that the snapshot has */
    char source[48]; /* the rule's name: of one (and a graph) there is one run at a time */
    char digest[33];
    char place[PLACE_BYTES]; /* tenant and rule */
    tr_arena arena;          /* the policy's order */
} wanted;

struct tr_materialized {
    tr_materialized_parts parts;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all of the rest */
    pthread_cond_t is_more;
    wanted *first; /* in the order of asking */
    uint32_t count;
    wanted *now;        /* being made; NULL: nothing */
    atomic_bool cancel; /* it is of use no more, or the server stops */
    bool is_stopping;
    /* digests, or places, of what could not be made; the oldest are written over */
    char hopeless[HOPELESS_MAX][PLACE_BYTES];
    uint32_t hopeless_next;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to keep merged profiles");
}

/* ---- names */

static tr_code name_rule(const tr_merge_policy *policy, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_format(out, err, "%d %s\n", FORMAT, policy->is_precedence ? "order" : "time"));
    for (uint32_t i = 0; policy->is_precedence && i < policy->order_count; i++)
        TR_TRY(tr_buf_format(out, err, "%s\n", policy->order[i]));
    return TR_OK;
}

static bool is_record(const tr_run *run)
{
    return !run->is_event && !run->is_members && !run->is_membership && run->rows > 0;
}

static bool has_stitched_records(const tr_snapshot *snapshot)
{
    for (uint32_t r = 0; r < snapshot->run_count; r++)
        if (is_record(snapshot->runs[r]) && snapshot->runs[r]->identity_key_leaf != UINT32_MAX)
            return true;
    return false;
}

/* Of what the rows depend on: the rule, the runs of records in their order, and which of them fill
 * the gaps of others. A rule over clusters has another place than the same rule without: policies
 * of both graphs are used in turns, and must not drive each other's runs away. */
static tr_code name_rows(const tr_snapshot *snapshot, const tr_merge_policy *policy,
                         char source[48], char digest[33], uint64_t *rows, tr_err *err)
{
    tr_buf text = {0};
    char rule[33];
    tr_code code = name_rule(policy, &text, err);
    if (code == TR_OK && has_stitched_records(snapshot))
        code = tr_buf_format(&text, err, "stitched\n");
    if (code == TR_OK)
        tr_hash128_text(tr_hash128_of(tr_buf_str(&text)), rule);
    *rows = 0;
    for (uint32_t r = 0; r < snapshot->run_count && code == TR_OK; r++) {
        const tr_run *run = snapshot->runs[r];
        if (!is_record(run))
            continue;
        *rows += run->rows;
        code = tr_buf_format(&text, err, "%s %s %d\n", run->id, run->dataset, (int)run->is_upsert);
    }
    if (code == TR_OK) {
        (void)snprintf(source, 48, SOURCE "%s", rule);
        tr_hash128_text(tr_hash128_of(tr_buf_str(&text)), digest);
    }
    tr_buf_free(&text);
    return code;
}

/* ---- wanting */

static void free_wanted(wanted *w)
{
    json_decref(w->runs);
    tr_arena_free(&w->arena);
    tr_free(w);
}

static json_t *record_ids(const tr_snapshot *snapshot)
{
    json_t *ids = json_array();
    for (uint32_t r = 0; ids != NULL && r < snapshot->run_count; r++)
        if (is_record(snapshot->runs[r]) &&
            json_array_append_new(ids, json_string(snapshot->runs[r]->id)) != 0) {
            json_decref(ids);
            return NULL;
        }
    return ids;
}

/* NULL: no memory. */
static wanted *new_wanted(const tr_tenant *tenant, const tr_snapshot *snapshot,
                          const tr_merge_policy *policy)
{
    wanted *w = tr_alloc_zeroed(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->tenant = *tenant;
    w->policy.is_precedence = policy->is_precedence;
    w->runs = record_ids(snapshot);
    const char **order = tr_arena_array(&w->arena, (size_t)policy->order_count + 1, sizeof *order);
    bool is_good = w->runs != NULL && order != NULL;
    for (uint32_t i = 0; is_good && policy->is_precedence && i < policy->order_count; i++) {
        order[i] = tr_arena_text(&w->arena, tr_str_of(policy->order[i]));
        is_good = order[i] != NULL;
        w->policy.order_count++;
    }
    w->policy.order = order;
    if (is_good)
        return w;
    free_wanted(w);
    return NULL;
}

static bool is_same_place(const wanted *a, const wanted *b)
{
    return strcmp(a->place, b->place) == 0;
}

static bool is_hopeless(const tr_materialized *m, const wanted *w)
{
    for (size_t i = 0; i < HOPELESS_MAX; i++)
        if (strcmp(m->hopeless[i], w->digest) == 0 || strcmp(m->hopeless[i], w->place) == 0)
            return true;
    return false;
}

/* Takes the place of what was wanted of older runs. w is taken. The lock is held. */
static void enqueue(tr_materialized *m, wanted *w)
{
    bool is_known = is_hopeless(m, w) || m->is_stopping;
    if (m->now != NULL && is_same_place(m->now, w)) {
        is_known = is_known || strcmp(m->now->digest, w->digest) == 0;
        if (!is_known)
            atomic_store(&m->cancel, true);
    }
    for (wanted **at = &m->first; *at != NULL && !is_known;) {
        wanted *other = *at;
        if (!is_same_place(other, w)) {
            at = &other->next;
            continue;
        }
        *at = other->next;
        m->count--;
        free_wanted(other);
    }
    if (is_known || m->count == WANTED_MAX) {
        free_wanted(w);
        return;
    }
    wanted **last = &m->first;
    while (*last != NULL)
        last = &(*last)->next;
    *last = w;
    m->count++;
    (void)pthread_cond_signal(&m->is_more);
}

static void want(tr_materialized *m, const tr_tenant *tenant, const tr_snapshot *snapshot,
                 const tr_merge_policy *policy, const char *source, const char *digest)
{
    wanted *w = new_wanted(tenant, snapshot, policy);
    if (w == NULL)
        return; /* the next plan asks again */
    (void)snprintf(w->source, sizeof w->source, "%s", source);
    (void)snprintf(w->digest, sizeof w->digest, "%s", digest);
    (void)snprintf(w->place, sizeof w->place, "%lld/%s", (long long)tenant->id, source);
    (void)pthread_mutex_lock(&m->lock);
    enqueue(m, w);
    (void)pthread_mutex_unlock(&m->lock);
}

void tr_materialized_forget(tr_materialized *m, const tr_tenant *tenant)
{
    (void)pthread_mutex_lock(&m->lock);
    if (m->now != NULL && m->now->tenant.id == tenant->id)
        atomic_store(&m->cancel, true);
    for (wanted **at = &m->first; *at != NULL;) {
        wanted *own = *at;
        if (own->tenant.id != tenant->id) {
            at = &own->next;
            continue;
        }
        *at = own->next;
        m->count--;
        free_wanted(own);
    }
    (void)pthread_mutex_unlock(&m->lock);
}

/* ---- taking */

static tr_code hold(const tr_materialized *m, const tr_tenant *tenant, tr_materialized_run *out,
                    tr_err *err)
{
    json_t *ids = json_pack("[s]", out->id);
    if (ids == NULL)
        return no_memory(err);
    const tr_code code = tr_store_snapshot_of(m->parts.store, tenant, ids, &out->at, err);
    json_decref(ids);
    return code;
}

/* One that cannot be opened is as none. */
static tr_code take_named(tr_materialized *m, const tr_tenant *tenant, const char *named,
                          tr_materialized_run *out, tr_err *err)
{
    if (named[0] == '\0')
        return TR_OK;
    if (m == NULL || m->parts.bytes_max == 0)
        return TR_FAIL(err, TR_NOT_FOUND, "merged run %s is not read any more", named);
    (void)snprintf(out->id, sizeof out->id, "%s", named);
    const tr_code code = hold(m, tenant, out, err);
    if (code != TR_CORRUPT)
        return code;
    tr_materialized_drop(m, tenant, named);
    return TR_FAIL(err, TR_NOT_FOUND, "merged run %s was damaged", named);
}

tr_code tr_materialized_take(tr_materialized *m, const tr_tenant *tenant,
                             const tr_snapshot *snapshot, const tr_merge_policy *policy,
                             const char *named, tr_materialized_run *out, tr_err *err)
{
    char source[48], digest[33], id[48];
    uint64_t rows;
    *out = (tr_materialized_run){0};
    if (named != NULL)
        return take_named(m, tenant, named, out, err);
    if (m == NULL || m->parts.bytes_max == 0)
        return TR_OK;
    TR_TRY(name_rows(snapshot, policy, source, digest, &rows, err));
    if (rows == 0 || rows < m->parts.rows_min)
        return TR_OK;
    tr_code code = tr_stitched_find(m->parts.store, tenant, source, digest, id, err);
    if (code == TR_OK)
        code = take_named(m, tenant, id, out, err);
    if (code == TR_OK)
        tr_log(TR_LOG_DEBUG, "materialized", "merged_run_read", "run=%s", id);
    if (code != TR_NOT_FOUND)
        return code;
    *out = (tr_materialized_run){0};
    want(m, tenant, snapshot, policy, source, digest);
    return TR_OK;
}

static void remove_run(const tr_materialized *m, const tr_tenant *tenant, const char *id,
                       const char *reason)
{
    tr_err err = {0};
    tr_log(TR_LOG_INFO, "materialized", "merged_run_removed", "run=%s reason=%s", id, reason);
    if (tr_stitched_remove(m->parts.store, tenant, id, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "materialized", "merged_run_kept", "run=%s reason=\"%s\"", id,
               err.text);
}

void tr_materialized_drop(tr_materialized *m, const tr_tenant *tenant, const char *id)
{
    if (m != NULL)
        remove_run(m, tenant, id, "damaged");
}

/* ---- making, on the thread */

typedef struct making {
    const tr_materialized *m;
    const tr_snapshot *snapshot;
    const wanted *of;
    tr_sink sink;
    uint64_t bytes;
    int64_t looked_us; /* monotonic: when its runs were looked for last */
} making;

/* Data that is taken back must not lie in a stage for as long as it takes to end a large run. */
static tr_code check_live(making *w, tr_err *err)
{
    bool are_live = false;
    const int64_t now_us = tr_time_monotonic_us();
    if (now_us - w->looked_us < LOOK_US)
        return TR_OK;
    w->looked_us = now_us;
    TR_TRY(tr_stitched_are_live(w->m->parts.store, &w->of->tenant, w->of->runs, &are_live, err));
    return are_live ? TR_OK : TR_FAIL(err, TR_NOT_FOUND, "the data has changed");
}

static tr_code write_bytes(void *ctx, tr_str bytes, tr_err *err)
{
    making *w = ctx;
    w->bytes += bytes.len;
    if (w->bytes > w->m->parts.bytes_max)
        return TR_FAIL(err, TR_LIMIT, "it takes more than the %llu bytes that all may take",
                       (unsigned long long)w->m->parts.bytes_max);
    TR_TRY(check_live(w, err));
    return w->sink.write(w->sink.ctx, bytes, err);
}

static tr_code write_rows(void *ctx, tr_sink sink, uint64_t *rows, tr_err *err)
{
    making *w = ctx;
    tr_merged_run made;
    w->sink = sink;
    TR_TRY(tr_merge_write_run(w->snapshot, &w->of->policy, (tr_sink){write_bytes, w}, &w->m->cancel,
                              &made, err));
    *rows = made.rows;
    return TR_OK;
}

static tr_code make_run(tr_materialized *m, const wanted *w, char id[48], tr_err *err)
{
    tr_snapshot *snapshot = NULL;
    TR_TRY(tr_store_snapshot_of(m->parts.store, &w->tenant, w->runs, &snapshot, err));
    making work = {.m = m, .snapshot = snapshot, .of = w, .looked_us = tr_time_monotonic_us()};
    const tr_stitched_new of = {.source = w->source,
                                .source_kind = "",
                                .digest = w->digest,
                                .dataset = FOLDER,
                                .name = "merged.parquet",
                                .behavior = "merged",
                                .runs = w->runs};
    const tr_code code =
        tr_stitched_make(m->parts.store, &w->tenant, &of, write_rows, &work, id, err);
    tr_store_release(m->parts.store, snapshot);
    return code;
}

typedef struct kept {
    tr_tenant tenant;
    char id[48], digest[33], source[48];
    uint64_t bytes;
    int64_t created_ms;
} kept;
typedef struct kept_list {
    kept *at;
    uint32_t count, cap;
    uint64_t bytes;
} kept_list;

static tr_code list_one(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    kept_list *list = ctx;
    if (strncmp(object->parent, SOURCE, sizeof SOURCE - 1) != 0)
        return TR_OK;
    if (list->count == list->cap) {
        const uint32_t cap = list->cap == 0 ? 16 : 2 * list->cap;
        kept *at = tr_grow_array(list->at, cap, sizeof *at);
        if (at == NULL)
            return no_memory(err);
        list->at = at;
        list->cap = cap;
    }
    kept *own = &list->at[list->count++];
    *own = (kept){.tenant = *tenant,
                  .bytes = (uint64_t)tr_json_int(object->doc, "bytes", 0),
                  .created_ms = object->created_ms};
    (void)snprintf(own->id, sizeof own->id, "%s", object->id);
    (void)snprintf(own->source, sizeof own->source, "%s", object->parent);
    (void)snprintf(own->digest, sizeof own->digest, "%s", tr_json_text(object->doc, "digest", ""));
    list->bytes += own->bytes;
    return TR_OK;
}

/* The oldest, but for the newest of all; NULL: none. */
static kept *oldest_of(const kept_list *list, const char *but)
{
    kept *oldest = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        kept *own = &list->at[i];
        if (own->id[0] != '\0' && strcmp(own->id, but) != 0 &&
            (oldest == NULL || own->created_ms < oldest->created_ms))
            oldest = own;
    }
    return oldest;
}

/* Makes room: what `id` stands in place of goes, then the oldest. */
static void make_room(const tr_materialized *m, const wanted *w, const char *id)
{
    kept_list list = {0};
    if (tr_catalog_scan(m->parts.catalog, "stitched", NULL, list_one, &list, NULL) != TR_OK) {
        tr_free(list.at);
        return; /* the next one looks again */
    }
    for (uint32_t i = 0; i < list.count; i++) {
        kept *own = &list.at[i];
        if (own->tenant.id != w->tenant.id || strcmp(own->source, w->source) != 0 ||
            strcmp(own->digest, w->digest) == 0)
            continue;
        remove_run(m, &own->tenant, own->id, "superseded");
        list.bytes -= own->bytes;
        own->id[0] = '\0';
    }
    for (kept *own; list.bytes > m->parts.bytes_max && (own = oldest_of(&list, id)) != NULL;) {
        remove_run(m, &own->tenant, own->id, "full");
        list.bytes -= own->bytes;
        own->id[0] = '\0';
    }
    tr_free(list.at);
}

static void note_hopeless(tr_materialized *m, const char *name)
{
    (void)pthread_mutex_lock(&m->lock);
    (void)snprintf(m->hopeless[m->hopeless_next], sizeof *m->hopeless, "%s", name);
    m->hopeless_next = (m->hopeless_next + 1) % HOPELESS_MAX;
    (void)pthread_mutex_unlock(&m->lock);
}

static void make(tr_materialized *m, const wanted *w)
{
    tr_err err = {0};
    char id[48] = "";
    bool are_live = false;
    const int64_t begin_us = tr_time_monotonic_us();
    tr_code code = tr_stitched_are_live(m->parts.store, &w->tenant, w->runs, &are_live, &err);
    if (code == TR_OK && !are_live)
        return; /* the data has changed: nobody asks for it again */
    if (code == TR_OK &&
        tr_stitched_find(m->parts.store, &w->tenant, w->source, w->digest, id, NULL) == TR_OK)
        return; /* two plans asked, one after the other */
    if (code == TR_OK)
        code = make_run(m, w, id, &err);
    if (code == TR_OK) {
        tr_log(TR_LOG_INFO, "materialized", "merged_run_made", "run=%s ms=%lld", id,
               (long long)((tr_time_monotonic_us() - begin_us) / 1000));
        make_room(m, w, id);
        return;
    }
    if (code == TR_CANCELLED || code == TR_NOT_FOUND)
        return;
    /* with other data it is as large, more or less */
    note_hopeless(m, code == TR_LIMIT ? w->place : w->digest);
    tr_log(TR_LOG_WARN, "materialized", "merged_run_failed", "reason=\"%s\"", err.text);
}

static void *run_thread(void *ctx)
{
    tr_materialized *m = ctx;
    /* of this thread alone; if it cannot be, it is as others are */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOWEST_PRIORITY);
    (void)pthread_mutex_lock(&m->lock);
    for (;;) {
        while (m->first == NULL && !m->is_stopping)
            (void)pthread_cond_wait(&m->is_more, &m->lock);
        if (m->is_stopping)
            break;
        m->now = m->first;
        m->first = m->now->next;
        m->count--;
        atomic_store(&m->cancel, false);
        (void)pthread_mutex_unlock(&m->lock);
        make(m, m->now);
        (void)pthread_mutex_lock(&m->lock);
        free_wanted(m->now);
        m->now = NULL;
    }
    (void)pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* ---- opening and closing */

tr_code tr_materialized_open(const tr_materialized_parts *parts, tr_materialized **out, tr_err *err)
{
    tr_materialized *m = tr_alloc_zeroed(1, sizeof *m);
    if (m == NULL)
        return no_memory(err);
    m->parts = *parts;
    (void)pthread_mutex_init(&m->lock, NULL);
    (void)pthread_cond_init(&m->is_more, NULL);
    if (parts->bytes_max > 0 && pthread_create(&m->thread, NULL, run_thread, m) != 0) {
        m->parts.bytes_max = 0;
        tr_materialized_close(m);
        return TR_FAIL(err, TR_NO_MEMORY, "no thread to keep merged profiles");
    }
    *out = m;
    return TR_OK;
}

void tr_materialized_close(tr_materialized *m)
{
    if (m == NULL)
        return;
    (void)pthread_mutex_lock(&m->lock);
    m->is_stopping = true;
    atomic_store(&m->cancel, true);
    (void)pthread_cond_signal(&m->is_more);
    (void)pthread_mutex_unlock(&m->lock);
    if (m->parts.bytes_max > 0)
        (void)pthread_join(m->thread, NULL);
    while (m->first != NULL) {
        wanted *next = m->first->next;
        free_wanted(m->first);
        m->first = next;
    }
    (void)pthread_cond_destroy(&m->is_more);
    (void)pthread_mutex_destroy(&m->lock);
    tr_free(m);
}
