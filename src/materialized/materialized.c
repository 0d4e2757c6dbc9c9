/* SPDX-License-Identifier: Apache-2.0 */
/* materialized.c - what plans ask for, and the thread that makes it; see materialized.h. */
#include "materialized/materialized_internal.h"

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

enum { FORMAT = 1, WANTED_MAX = 64, LOWEST_PRIORITY = 19 };
enum { LOOK_US = 1000 * 1000 };
/* The disk's share that merged runs leave to others, and the most that this is. */
enum { SPACE_LEFT_OF = 50 };
#define SPACE_LEFT_BYTES_MAX (UINT64_C(1) << 30)

/* What is to be made. */
typedef struct wanted {
    struct wanted *next;
    tr_tenant tenant;
    tr_merge_policy policy;
    json_t *runs; /* ids, all that the snapshot has */
    tr_merged_inputs of;
    tr_arena arena; /* the policy's order */
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
    tr_rests rests; /* what could not be made */
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
static tr_code name_inputs(const tr_tenant *tenant, const tr_snapshot *snapshot,
                           const tr_merge_policy *policy, tr_merged_inputs *out, tr_err *err)
{
    tr_buf text = {0};
    char rule[33];
    tr_code code = name_rule(policy, &text, err);
    *out = (tr_merged_inputs){0};
    if (code == TR_OK && has_stitched_records(snapshot))
        code = tr_buf_format(&text, err, "stitched\n");
    if (code == TR_OK)
        tr_hash128_text(tr_hash128_of(tr_buf_str(&text)), rule);
    for (uint32_t r = 0; r < snapshot->run_count && code == TR_OK; r++) {
        const tr_run *run = snapshot->runs[r];
        if (!is_record(run))
            continue;
        out->rows += run->rows;
        out->bytes += run->bytes;
        code = tr_buf_format(&text, err, "%s %s %d\n", run->id, run->dataset, (int)run->is_upsert);
    }
    if (code == TR_OK) {
        (void)snprintf(out->source, sizeof out->source, TR_MERGED_SOURCE "%s", rule);
        tr_hash128_text(tr_hash128_of(tr_buf_str(&text)), out->digest);
        (void)snprintf(out->place, sizeof out->place, "%lld/%s", (long long)tenant->id,
                       out->source);
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

static bool is_of_tenant(const wanted *w, const void *tenant_id)
{
    return w->tenant.id == *(const int64_t *)tenant_id;
}

static bool is_of_place(const wanted *w, const void *place)
{
    return strcmp(w->of.place, place) == 0;
}

/* Takes out of the list what is such. The lock is held. */
static void drop_wanted(tr_materialized *m, bool (*is_such)(const wanted *, const void *),
                        const void *ctx)
{
    for (wanted **at = &m->first; *at != NULL;) {
        wanted *own = *at;
        if (!is_such(own, ctx)) {
            at = &own->next;
            continue;
        }
        *at = own->next;
        m->count--;
        free_wanted(own);
    }
}

/* Takes the place of what was wanted of older runs. w is taken. The lock is held. */
static void enqueue(tr_materialized *m, wanted *w)
{
    bool is_known = m->is_stopping || tr_rests_has(&m->rests, &w->of, tr_time_monotonic_us());
    if (m->now != NULL && is_of_place(m->now, w->of.place)) {
        is_known = is_known || strcmp(m->now->of.digest, w->of.digest) == 0 ||
                   tr_merged_is_older(w->runs, m->now->runs);
        if (!is_known)
            atomic_store(&m->cancel, true);
    }
    if (!is_known)
        drop_wanted(m, is_of_place, w->of.place);
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
                 const tr_merge_policy *policy, const tr_merged_inputs *of)
{
    wanted *w = new_wanted(tenant, snapshot, policy);
    if (w == NULL)
        return; /* the next plan asks again */
    w->of = *of;
    (void)pthread_mutex_lock(&m->lock);
    enqueue(m, w);
    (void)pthread_mutex_unlock(&m->lock);
}

void tr_materialized_forget(tr_materialized *m, const tr_tenant *tenant)
{
    (void)pthread_mutex_lock(&m->lock);
    if (m->now != NULL && is_of_tenant(m->now, &tenant->id))
        atomic_store(&m->cancel, true);
    drop_wanted(m, is_of_tenant, &tenant->id);
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

/* What the disk or memory may be to blame for: the file itself may be whole. */
static bool is_passing(tr_code code)
{
    return code == TR_NOT_FOUND || code == TR_IO || code == TR_NO_SPACE || code == TR_NO_MEMORY ||
           code == TR_BUSY || code == TR_CANCELLED;
}

/* One that cannot be opened is as none: nobody fails because of what is kept. */
static tr_code take_named(tr_materialized *m, const tr_tenant *tenant, const char *named,
                          tr_materialized_run *out, tr_err *err)
{
    tr_err why = {0};
    if (named[0] == '\0')
        return TR_OK;
    if (m == NULL || m->parts.bytes_max == 0)
        return TR_FAIL(err, TR_NOT_FOUND, "merged run %s is not read any more", named);
    (void)snprintf(out->id, sizeof out->id, "%s", named);
    const tr_code code = hold(m, tenant, out, &why);
    if (code == TR_OK)
        return TR_OK;
    if (!is_passing(code))
        tr_materialized_drop(m, tenant, named);
    return TR_FAIL(err, TR_NOT_FOUND, "merged run %s cannot be read: %s", named, why.text);
}

tr_code tr_materialized_take(tr_materialized *m, const tr_tenant *tenant,
                             const tr_snapshot *snapshot, const tr_merge_policy *policy,
                             const char *named, tr_materialized_run *out, tr_err *err)
{
    tr_merged_inputs of;
    char id[48];
    tr_err why = {0};
    *out = (tr_materialized_run){0};
    if (named != NULL)
        return take_named(m, tenant, named, out, err);
    if (m == NULL || m->parts.bytes_max == 0)
        return TR_OK;
    TR_TRY(name_inputs(tenant, snapshot, policy, &of, err));
    if (of.rows == 0 || of.rows < m->parts.rows_min)
        return TR_OK;
    tr_code code = tr_stitched_find(m->parts.store, tenant, of.source, of.digest, id, &why);
    if (code == TR_OK)
        code = take_named(m, tenant, id, out, &why);
    if (code == TR_OK) {
        tr_log(TR_LOG_DEBUG, "materialized", "merged_run_read", "run=%s", id);
        return TR_OK;
    }
    *out = (tr_materialized_run){0};
    if (code != TR_NOT_FOUND)
        tr_log(TR_LOG_WARN, "materialized", "merged_run_unread", "reason=\"%s\"", why.text);
    want(m, tenant, snapshot, policy, &of);
    return TR_OK;
}

void tr_materialized_drop(tr_materialized *m, const tr_tenant *tenant, const char *id)
{
    if (m != NULL)
        tr_kept_remove(&m->parts, tenant, id, "damaged");
}

/* ---- making, on the thread */

typedef struct making {
    const tr_materialized *m;
    const tr_snapshot *snapshot;
    const wanted *of;
    tr_sink sink;
    uint64_t bytes;
    int64_t looked_us; /* monotonic: when its runs, and the disk, were looked at last */
    bool is_too_large;
} making;

/* Ingest and exports need the disk's last bytes more than what only saves time. */
static tr_code check_space(const tr_materialized *m, tr_err *err)
{
    uint64_t left = 0, all = 0;
    TR_TRY(tr_lake_space(m->parts.lake, &left, &all, err));
    const uint64_t share = all / SPACE_LEFT_OF;
    if (left >= (share < SPACE_LEFT_BYTES_MAX ? share : SPACE_LEFT_BYTES_MAX))
        return TR_OK;
    return TR_FAIL(err, TR_NO_SPACE, "the disk has %llu bytes left, which others may need",
                   (unsigned long long)left);
}

/* Data that is taken back must not lie in a stage for as long as it takes to end a large run. */
static tr_code look_around(making *w, tr_err *err)
{
    bool are_live = false;
    const int64_t now_us = tr_time_monotonic_us();
    if (now_us - w->looked_us < LOOK_US)
        return TR_OK;
    w->looked_us = now_us;
    TR_TRY(check_space(w->m, err));
    TR_TRY(tr_stitched_are_live(w->m->parts.store, &w->of->tenant, w->of->runs, &are_live, err));
    return are_live ? TR_OK : TR_FAIL(err, TR_NOT_FOUND, "the data has changed");
}

static tr_code write_bytes(void *ctx, tr_str bytes, tr_err *err)
{
    making *w = ctx;
    w->bytes += bytes.len;
    w->is_too_large = w->bytes > w->m->parts.bytes_max;
    if (w->is_too_large)
        return TR_FAIL(err, TR_LIMIT, "it takes more than the %llu bytes that all may take",
                       (unsigned long long)w->m->parts.bytes_max);
    TR_TRY(look_around(w, err));
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

static tr_code make_run(const tr_materialized *m, const wanted *w, char id[48], bool *is_too_large,
                        tr_err *err)
{
    tr_snapshot *snapshot = NULL;
    TR_TRY(check_space(m, err));
    TR_TRY(tr_store_snapshot_of(m->parts.store, &w->tenant, w->runs, &snapshot, err));
    making work = {.m = m, .snapshot = snapshot, .of = w, .looked_us = tr_time_monotonic_us()};
    const tr_stitched_new of = {.source = w->of.source,
                                .source_kind = "",
                                .digest = w->of.digest,
                                .dataset = TR_MERGED_FOLDER,
                                .name = "merged.parquet",
                                .behavior = "merged",
                                .runs = w->runs};
    const tr_code code =
        tr_stitched_make(m->parts.store, &w->tenant, &of, write_rows, &work, id, err);
    tr_store_release(m->parts.store, snapshot);
    *is_too_large = work.is_too_large;
    return code;
}

/* Of what could not be made the one before is of no use either: newer data is in place. */
static void note_failure(tr_materialized *m, const wanted *w, tr_merged_failure why,
                         int64_t begin_us)
{
    const int64_t now_us = tr_time_monotonic_us();
    (void)pthread_mutex_lock(&m->lock);
    tr_rests_begin(&m->rests, &w->of, why, now_us - begin_us, now_us);
    (void)pthread_mutex_unlock(&m->lock);
    if (why != TR_MERGED_PASSING)
        tr_kept_supersede(&m->parts, &w->tenant, &w->of);
}

static void note_made(tr_materialized *m, const wanted *w, const char *id, int64_t begin_us)
{
    tr_log(TR_LOG_INFO, "materialized", "merged_run_made", "run=%s ms=%lld", id,
           (long long)((tr_time_monotonic_us() - begin_us) / 1000));
    (void)pthread_mutex_lock(&m->lock);
    tr_rests_end(&m->rests, &w->of);
    (void)pthread_mutex_unlock(&m->lock);
    tr_kept_supersede(&m->parts, &w->tenant, &w->of);
    tr_kept_trim(&m->parts, id);
}

static void make(tr_materialized *m, const wanted *w)
{
    tr_err err = {0};
    char id[48] = "";
    bool are_live = false, is_too_large = false;
    const int64_t begin_us = tr_time_monotonic_us();
    tr_code code = tr_stitched_are_live(m->parts.store, &w->tenant, w->runs, &are_live, &err);
    if (code == TR_OK && !are_live)
        return; /* the data has changed: nobody asks for it again */
    if (code == TR_OK &&
        tr_stitched_find(m->parts.store, &w->tenant, w->of.source, w->of.digest, id, NULL) == TR_OK)
        return; /* two plans asked, one after the other */
    if (code == TR_OK && tr_kept_has_newer(&m->parts, &w->tenant, &w->of, w->runs))
        return; /* a plan of before: it must not drive away what those to come read */
    if (code == TR_OK)
        code = make_run(m, w, id, &is_too_large, &err);
    if (code == TR_OK) {
        note_made(m, w, id, begin_us);
        return;
    }
    if (code == TR_CANCELLED || code == TR_NOT_FOUND)
        return;
    tr_log(TR_LOG_WARN, "materialized", "merged_run_failed", "reason=\"%s\"", err.text);
    note_failure(m, w,
                 is_too_large       ? TR_MERGED_TOO_LARGE
                 : is_passing(code) ? TR_MERGED_PASSING
                                    : TR_MERGED_UNFIT,
                 begin_us);
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

void tr_materialized_trim(tr_materialized *m)
{
    tr_kept_trim(&m->parts, "");
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
