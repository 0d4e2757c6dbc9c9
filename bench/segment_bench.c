/* SPDX-License-Identifier: Apache-2.0 */
/* segment_bench.c - what segments cost, without server, catalog or lake.
 *
 *     segment_bench evaluate DIR --out DIR2 --segments FILE
 *         who is in the segments: membership runs, as a segment job writes them
 *     segment_bench export DIR --out DIR2 [--members DIR3] [--keys 1]
 *         an export of all leaves; only of those who are in "s0" of an evaluation; with
 *         bookkeeping, so that others can tell who is who
 *     segment_bench merge DIR --out DIR2
 *         DIR2/merged.parquet: the merged run that a server keeps (room materialized)
 *
 *     FILE         expressions, one a line: "s0", "s1", ...
 *     --threads T  2
 *     --everybody 1  profiles that are only events, too, as a server's job looks at them
 *     --merged DIR2  of "merge": what is read in place of the fragments
 *
 * DIR is what "merge_bench generate" made, with events; they are read only when an expression asks
 * for them. "alone" is the processor's time of the expressions, over columns in memory.
 */
#include "bench_world.h"
#include "merge/merge.h"
#include "os/os.h"
#include "pql/check.h"
#include "pql/pql.h"
#include "pql/program.h"
#include "segment/mask_rows.h"
#include "segment/membership.h"
#include "segment/select.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64, RUNS_MAX = 4096, SEGMENTS_MAX = 1000 };

#define NOW_US INT64_C(1710504000000000)

typedef struct options {
    const char *dir, *out, *segments, *members, *keys, *merged, *everybody;
    uint32_t threads;
} options;

typedef struct runs {
    tr_map maps[RUNS_MAX];
    tr_run *runs[RUNS_MAX];
    uint32_t count;
} runs;

/* Shared by the threads of one measurement. */
typedef struct bench {
    const options *options;
    tr_arena arena;
    tr_shape shape; /* of profiles, with their events */
    tr_pql_program *program;
    tr_str ids[SEGMENTS_MAX];
    bool *wanted; /* per leaf of the shape */
    tr_selection selection;
    tr_shape probe; /* of the selection */
    const tr_merge_plan *plan;
    uint8_t bits; /* of its partitions */
    atomic_uint next;
    atomic_ullong profiles, members, bytes, alone_ns;
} bench;

static void add_run(runs *list, const char *dir, const char *file, const char *id)
{
    char path[512];
    tr_err err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    if (list->count == RUNS_MAX || tr_map_open(path, &list->maps[list->count], &err) != TR_OK ||
        tr_run_open(list->maps[list->count].bytes, id, id, &list->runs[list->count], &err) != TR_OK)
        tr_bench_fail(path, &err);
    list->count++;
}

/* Sorted by dataset id, as a snapshot has them. */
static void open_sources(const options *o, bool with_events, runs *list)
{
    static const char *const names[] = {"crm", "events", "loyalty", "mobile", "shop", "web"};
    char file[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], "events") == 0 && !with_events)
            continue;
        (void)snprintf(file, sizeof file, "%s.parquet", names[i]);
        add_run(list, o->dir, file, names[i]);
    }
}

static void close_runs(runs *list)
{
    for (uint32_t r = 0; r < list->count; r++) {
        tr_run_close(list->runs[r]);
        tr_map_close(&list->maps[r]);
    }
}

/* ---- evaluating */

static void compile(bench *b)
{
    tr_err err = {0};
    static char line[4096];
    const tr_pql_schema schema = {.profile = b->shape.root};
    FILE *file = fopen(b->options->segments, "r");
    tr_code code = tr_pql_program_open(&b->shape, NULL, &b->program, &err);
    while (code == TR_OK && file != NULL && fgets(line, sizeof line, file) != NULL) {
        tr_pql_node *tree = NULL;
        char id[16];
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(id, sizeof id, "s%u", tr_pql_program_count(b->program));
        if (tr_pql_program_count(b->program) == SEGMENTS_MAX)
            exit(2);
        const char *text = tr_arena_text(&b->arena, tr_str_of(line));
        code = tr_pql_parse(tr_str_of(text), &b->arena, &tree, &err);
        if (code == TR_OK)
            code = tr_pql_check(tree, &schema, &b->arena, &err);
        const uint32_t number = tr_pql_program_count(b->program);
        b->ids[number] = tr_arena_copy(&b->arena, tr_str_of(id));
        if (code == TR_OK)
            code = tr_pql_program_add(b->program, b->ids[number], tree, &err);
    }
    if (code != TR_OK || file == NULL)
        tr_bench_fail(b->options->segments, &err);
    (void)fclose(file);
    b->wanted = tr_arena_array(&b->arena, b->shape.leaf_count, sizeof *b->wanted);
    for (uint32_t leaf = 0; b->wanted != NULL && leaf < b->shape.leaf_count; leaf++)
        b->wanted[leaf] = tr_pql_program_reads(b->program, TR_PQL_PROFILES, leaf);
}

static uint64_t processor_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

typedef struct reading {
    const bench *bench;
    uint64_t reading_ns; /* of columns */
    tr_merge_view *view;
    tr_arena arena;
    tr_column **units;
} reading;

static tr_code read_column(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                           tr_err *err)
{
    reading *r = ctx;
    const tr_shape *shape = &r->bench->shape;
    const uint32_t at = shape->leaves[leaf].unit;
    const tr_unit *unit = &shape->units[at];
    (void)table;
    if (r->units[at] == NULL) {
        const uint64_t start_ns = processor_ns();
        r->units[at] = tr_arena_array(&r->arena, unit->leaf_count, sizeof(tr_column));
        if (r->units[at] == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for columns");
        TR_TRY(tr_merge_view_unit(r->view, at, r->bench->wanted, &r->arena, r->units[at], err));
        r->reading_ns += processor_ns() - start_ns;
    }
    *out = &r->units[at][leaf - unit->first_leaf];
    return TR_OK;
}

static tr_code add_members(const bench *b, tr_membership_writer *writer, reading *r,
                           const uint8_t *const *masks, uint64_t *members, tr_err *err)
{
    const uint8_t(*keys)[16];
    const uint32_t profiles = tr_merge_view_count(r->view),
                   count = tr_pql_program_count(b->program);
    tr_membership_entry *all = tr_arena_array(&r->arena, count, sizeof *all);
    tr_membership_entry *own = tr_arena_array(&r->arena, count, sizeof *own);
    if (all == NULL || own == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for members");
    for (uint32_t s = 0; s < count; s++) {
        TR_TRY(tr_membership_segment(writer, b->ids[s], &all[s].segment, err));
        all[s].member = (tr_member){TR_REALIZED, NOW_US};
    }
    TR_TRY(tr_merge_view_keys(r->view, &keys, err));
    tr_mask_rows rows;
    TR_TRY(tr_mask_rows_make(masks, count, profiles, &r->arena, &rows, err));
    for (uint32_t p = 0; p < profiles; p++) {
        uint32_t found = 0;
        for (uint32_t w = 0; w < rows.words; w++)
            for (uint64_t left = tr_mask_row(&rows, p)[w]; left != 0; left &= left - 1)
                own[found++] = all[w * 64 + (uint32_t)__builtin_ctzll(left)];
        if (found > 0)
            TR_TRY(tr_membership_add(writer, keys[p], own, found, err));
        *members += found;
    }
    return TR_OK;
}

static tr_code write_members(bench *b, uint32_t partition, reading *r, uint8_t **masks, tr_err *err)
{
    tr_membership_writer *writer = NULL;
    tr_file file = TR_FILE_NONE;
    char path[512];
    uint64_t members = 0;
    TR_TRY(tr_membership_writer_open(NOW_US, "bench", &writer, err));
    tr_code code = add_members(b, writer, r, (const uint8_t *const *)masks, &members, err);
    (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", b->options->out, partition);
    if (code == TR_OK)
        code = tr_file_replace(path, &file, err);
    if (code == TR_OK)
        code = tr_membership_write(writer, b->bits, (tr_sink){tr_bench_to_file, &file}, err);
    atomic_fetch_add(&b->members, members);
    atomic_fetch_add(&b->bytes, file.bytes);
    tr_file_close(&file);
    tr_membership_writer_close(writer);
    return code;
}

static tr_code evaluate(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep, tr_err *err)
{
    bench *b = ctx;
    reading r = {.bench = b, .view = view};
    const uint32_t profiles = tr_merge_view_count(view), count = tr_pql_program_count(b->program);
    tr_pql_run *run = NULL;
    uint8_t **masks = tr_arena_array(&r.arena, count, sizeof *masks);
    r.units = tr_arena_array(&r.arena, b->shape.unit_count, sizeof *r.units);
    for (uint32_t s = 0; s < count; s++) {
        masks[s] = tr_arena_alloc(&r.arena, profiles);
        if (masks[s] == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for masks");
    }
    const tr_pql_input input = {.profiles = profiles, .column = read_column, .ctx = &r};
    (void)keep;
    tr_code code = tr_pql_run_open(b->program, NOW_US, &run, err);
    const uint64_t start_ns = processor_ns();
    if (code == TR_OK)
        code = tr_pql_run_masks(run, &input, masks, err);
    atomic_fetch_add(&b->alone_ns, processor_ns() - start_ns - r.reading_ns);
    if (code == TR_OK)
        code = write_members(b, partition, &r, masks, err);
    tr_pql_run_close(run);
    tr_arena_free(&r.arena);
    return code;
}

static void *look(void *ctx)
{
    bench *b = ctx;
    tr_err err = {0};
    for (uint32_t p; (p = atomic_fetch_add(&b->next, 1)) < tr_merge_partition_count(b->plan);) {
        tr_merge_stats stats;
        if (tr_merge_look(b->plan, p, NULL, &stats, &err) != TR_OK)
            tr_bench_fail("evaluate", &err);
        atomic_fetch_add(&b->profiles, stats.profiles);
    }
    return NULL;
}

/* ---- exporting */

static tr_code select_members(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep,
                              tr_err *err)
{
    const bench *b = ctx;
    (void)partition;
    return tr_selection_apply(&b->selection, UINT32_MAX, &b->probe, view, keep, err);
}

static void *merge_some(void *ctx)
{
    bench *b = ctx;
    tr_err err = {0};
    for (uint32_t p; (p = atomic_fetch_add(&b->next, 1)) < tr_merge_partition_count(b->plan);) {
        tr_merge_stats stats;
        tr_file file = TR_FILE_NONE;
        char path[512];
        (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", b->options->out, p);
        if (tr_file_replace(path, &file, &err) != TR_OK ||
            tr_merge_partition(b->plan, p, (tr_sink){tr_bench_to_file, &file}, NULL, NULL, NULL,
                               &stats, &err) != TR_OK)
            tr_bench_fail("export", &err);
        atomic_fetch_add(&b->bytes, file.bytes);
        tr_file_close(&file);
        atomic_fetch_add(&b->profiles, stats.profiles);
    }
    return NULL;
}

static void open_selection(bench *b)
{
    tr_err err = {0};
    json_t *json = json_pack("[{s:s, s:s}]", "segmentId", "s0", "segmentNs", "ups");
    tr_type *root = tr_selection_probe(&b->arena);
    if (root == NULL || tr_selection_read(json, &b->arena, &b->selection, &err) != TR_OK ||
        tr_shape_make(&b->arena, root, &b->probe, &err) != TR_OK)
        tr_bench_fail("selection", &err);
    b->selection.from_us = b->selection.until_us = TR_TIME_NONE;
    b->selection.now_us = NOW_US;
    json_decref(json);
}

static void open_members(const options *o, runs *members)
{
    char file[64], path[512];
    for (uint32_t p = 0;; p++) {
        (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", o->members, p);
        FILE *found = fopen(path, "r");
        if (found == NULL)
            return;
        (void)fclose(found);
        (void)snprintf(file, sizeof file, "part-%05u.parquet", p);
        add_run(members, o->members, file, file);
    }
}

/* ---- merging */

static void write_merged(const options *o, const tr_snapshot *snapshot)
{
    tr_err err = {0};
    tr_file file = TR_FILE_NONE;
    tr_merged_run made;
    char path[512];
    const tr_merge_policy by_time = {.is_precedence = false};
    const int64_t start_us = tr_time_monotonic_us();
    (void)snprintf(path, sizeof path, "%s/merged.parquet", o->out);
    if (tr_file_replace(path, &file, &err) != TR_OK ||
        tr_merge_write_run(snapshot, &by_time, (tr_sink){tr_bench_to_file, &file}, NULL, &made,
                           &err) != TR_OK)
        tr_bench_fail(path, &err);
    printf("merged %llu profiles, %.1f MB, %.3f s\n", (unsigned long long)made.rows,
           (double)file.bytes / 1e6, (double)(tr_time_monotonic_us() - start_us) / 1e6);
    tr_file_close(&file);
}

/* ---- all */

static void in_threads(bench *b, void *(*work)(void *))
{
    pthread_t ids[THREADS_MAX];
    for (uint32_t t = 0; t < b->options->threads; t++)
        if (pthread_create(&ids[t], NULL, work, b) != 0)
            exit(3);
    for (uint32_t t = 0; t < b->options->threads; t++)
        (void)pthread_join(ids[t], NULL);
}

static void add_bookkeeping(bench *b)
{
    tr_err err = {0};
    tr_type *root = tr_type_make(&b->arena, TR_KIND_OBJECT, tr_str_of(""));
    if (root == NULL)
        exit(3);
    for (uint32_t i = 0; i < b->shape.root->child_count; i++)
        if (!tr_type_add(&b->arena, root, b->shape.root->children[i]))
            exit(3);
    if (tr_run_add_bookkeeping(&b->arena, root) == NULL ||
        tr_shape_make(&b->arena, root, &b->shape, &err) != TR_OK)
        tr_bench_fail("shape", &err);
}

static bool asks_for_events(const bench *b)
{
    for (uint32_t leaf = 0; leaf < b->shape.leaf_count; leaf++)
        if (b->wanted[leaf] &&
            tr_str_is(b->shape.units[b->shape.leaves[leaf].unit].path, "timeSeriesEvents"))
            return true;
    return false;
}

static void run(const options *o, bool is_export)
{
    static runs sources, members, merged;
    static bench b;
    tr_err err = {0};
    tr_merge_plan *plan = NULL;
    const tr_bench_world world = {.profiles = 1, .copies = 1, .events = !is_export};
    const int64_t start_us = tr_time_monotonic_us();
    b.options = o;
    b.shape = tr_bench_output(&b.arena, &world, NULL);
    if (o->keys != NULL)
        add_bookkeeping(&b);
    tr_merge_spec spec = {.updated_after_us = TR_TIME_NONE,
                          .event_after_us = TR_TIME_NONE,
                          .event_before_us = TR_TIME_NONE,
                          .is_cut_by_keys = true,
                          .output = &b.shape,
                          .keep_ctx = &b};
    bool reads_events = false;
    if (!is_export) {
        compile(&b);
        spec.keep = evaluate;
        spec.probe = &b.shape;
        spec.with_probe_events = reads_events = asks_for_events(&b);
        spec.with_event_only = o->everybody != NULL;
    } else if (o->members != NULL) {
        open_selection(&b);
        open_members(o, &members);
        spec.keep = select_members;
        spec.probe = &b.probe;
        spec.members = (const tr_run *const *)members.runs;
        spec.member_count = members.count;
    }
    open_sources(o, reads_events || spec.with_event_only, &sources);
    const tr_snapshot snapshot = {(const tr_run *const *)sources.runs, sources.count};
    spec.snapshot = &snapshot;
    if (o->merged != NULL) {
        add_run(&merged, o->merged, "merged.parquet", "merged");
        spec.merged = merged.runs[0];
    }
    if (tr_merge_plan_open(&spec, &plan, &err) != TR_OK)
        tr_bench_fail("plan", &err);
    b.plan = plan;
    while (tr_merge_partition_count(plan) >> b.bits > 1)
        b.bits++;
    const int64_t planned_us = tr_time_monotonic_us();
    in_threads(&b, is_export ? merge_some : look);
    const int64_t done_us = tr_time_monotonic_us();
    printf("open %.3f s, work %.3f s, alone %.6f s, %u threads, %u partitions: %llu profiles, "
           "%llu members, %.1f MB\n",
           (double)(planned_us - start_us) / 1e6, (double)(done_us - planned_us) / 1e6,
           (double)atomic_load(&b.alone_ns) / 1e9, o->threads, tr_merge_partition_count(plan),
           atomic_load(&b.profiles), atomic_load(&b.members), (double)atomic_load(&b.bytes) / 1e6);
    tr_merge_plan_close(plan);
    tr_pql_program_close(b.program);
    close_runs(&sources);
    close_runs(&members);
    close_runs(&merged);
    tr_arena_free(&b.arena);
}

static void merge(const options *o)
{
    static runs sources;
    open_sources(o, false, &sources);
    const tr_snapshot snapshot = {(const tr_run *const *)sources.runs, sources.count};
    write_merged(o, &snapshot);
    close_runs(&sources);
}

int main(int argc, char **argv)
{
    tr_memory_keep_freed();
    options o = {.dir = argc > 2 ? argv[2] : NULL, .threads = 2};
    const struct {
        const char *name;
        const char **text;
    } known[] = {{"--out", &o.out},   {"--segments", &o.segments},   {"--members", &o.members},
                 {"--keys", &o.keys}, {"--everybody", &o.everybody}, {"--merged", &o.merged}};
    for (int i = 3; i + 1 < argc; i += 2) {
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            if (strcmp(argv[i], known[k].name) == 0)
                *known[k].text = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0)
            o.threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    const bool is_export = argc > 2 && strcmp(argv[1], "export") == 0;
    const bool is_merge = argc > 2 && strcmp(argv[1], "merge") == 0;
    if (argc < 3 || o.threads == 0 || o.threads > THREADS_MAX || o.out == NULL ||
        (!is_export && !is_merge && o.segments == NULL)) {
        (void)fprintf(stderr,
                      "usage: segment_bench evaluate|export|merge DIR --out DIR [--segments FILE] "
                      "[--members DIR] [--merged DIR] [--keys 1] [--threads T]\n");
        return 2;
    }
    if (is_merge)
        merge(&o);
    else
        run(&o, is_export);
    return 0;
}
