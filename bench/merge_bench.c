/* SPDX-License-Identifier: Apache-2.0 */
/* merge_bench.c - how long merging a snapshot takes, without server, catalog or lake.
 *
 *     merge_bench generate DIR [--profiles N] [--copies C] [--events M]
 *     merge_bench run DIR [--threads T] [--out DIR2] [--fields a,b] [--repeat R]
 *                         [--copies C] [--events M]
 *
 * The data: bench_world.h. A run with --events nests them.
 */
#include "base/clock.h"
#include "bench_world.h"
#include "merge/merge.h"
#include "os/os.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64 };

typedef struct bench_options {
    tr_bench_world world;
    uint32_t threads, repeat;
    const char *out, *fields; /* NULL: nowhere; all */
} bench_options;

typedef struct merging {
    const tr_merge_plan *plan;
    const char *out; /* NULL: nowhere */
    atomic_uint next;
    atomic_ullong bytes, profiles, fragments, events;
} merging;

static tr_code to_nowhere(void *ctx, tr_str bytes, tr_err *err)
{
    (void)err;
    atomic_fetch_add((atomic_ullong *)ctx, bytes.len);
    return TR_OK;
}

static void *merge_some(void *ctx)
{
    merging *m = ctx;
    tr_err err = {0};
    for (uint32_t p; (p = atomic_fetch_add(&m->next, 1)) < tr_merge_partition_count(m->plan);) {
        tr_merge_stats stats;
        tr_file file = TR_FILE_NONE;
        char path[512];
        if (m->out != NULL) {
            (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", m->out, p);
            if (tr_file_replace(path, &file, &err) != TR_OK)
                tr_bench_fail("part", &err);
        }
        const tr_sink sink = m->out == NULL ? (tr_sink){to_nowhere, &m->bytes}
                                            : (tr_sink){tr_bench_to_file, &file};
        if (tr_merge_partition(m->plan, p, sink, NULL, NULL, NULL, &stats, &err) != TR_OK)
            tr_bench_fail("merge", &err);
        if (m->out != NULL)
            atomic_fetch_add(&m->bytes, file.bytes);
        tr_file_close(&file);
        atomic_fetch_add(&m->profiles, stats.profiles);
        atomic_fetch_add(&m->fragments, stats.fragments);
        atomic_fetch_add(&m->events, stats.events);
    }
    return NULL;
}

/* Runs sorted by dataset id, as a snapshot has them. */
static uint32_t open_runs(const char *dir, bool has_events, tr_map *maps, tr_run **runs)
{
    static const uint32_t sorted[TR_BENCH_DATASETS] = {0, 5, 1, 4, 3, 2};
    tr_err err = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < TR_BENCH_DATASETS; i++) {
        const char *id = tr_bench_datasets[sorted[i]];
        char path[512];
        if (sorted[i] == TR_BENCH_DATASETS - 1 && !has_events)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s.parquet", dir, id);
        if (tr_map_open(path, &maps[count], &err) != TR_OK ||
            tr_run_open(maps[count].bytes, id, id, &runs[count], &err) != TR_OK)
            tr_bench_fail("open", &err);
        count++;
    }
    return count;
}

static void run(const char *dir, const bench_options *options)
{
    tr_err err = {0};
    tr_arena arena = {.bytes_max = (size_t)1 << 30};
    tr_map maps[TR_BENCH_DATASETS];
    tr_run *runs[TR_BENCH_DATASETS];
    pthread_t ids[THREADS_MAX];
    tr_merge_plan *plan = NULL;
    const int64_t start_us = tr_time_monotonic_us();
    const uint32_t count = open_runs(dir, options->world.events > 0, maps, runs);
    const tr_shape shape = tr_bench_output(&arena, &options->world, options->fields);
    const tr_snapshot snapshot = {(const tr_run *const *)runs, count};
    const tr_merge_spec spec = {.snapshot = &snapshot, .output = &shape,
                                .with_events = options->world.events > 0,
                                .updated_after_us = TR_TIME_NONE, .event_after_us = TR_TIME_NONE,
                                .event_before_us = TR_TIME_NONE};
    if (tr_merge_plan_open(&spec, &plan, &err) != TR_OK)
        tr_bench_fail("plan", &err);
    const int64_t planned_us = tr_time_monotonic_us();
    merging m = {.plan = plan, .out = options->out};
    tr_memory_reset_peak();
    for (uint32_t t = 0; t < options->threads; t++)
        if (pthread_create(&ids[t], NULL, merge_some, &m) != 0)
            exit(3);
    for (uint32_t t = 0; t < options->threads; t++)
        (void)pthread_join(ids[t], NULL);
    const int64_t done_us = tr_time_monotonic_us();
    printf("open %.3f s, merge %.3f s, %u threads, %u partitions: %llu profiles of %llu fragments, "
           "%llu events, %.1f MB, peak %.1f MB\n",
           (double)(planned_us - start_us) / 1e6, (double)(done_us - planned_us) / 1e6,
           options->threads, tr_merge_partition_count(plan), atomic_load(&m.profiles),
           atomic_load(&m.fragments), atomic_load(&m.events), (double)atomic_load(&m.bytes) / 1e6,
           (double)tr_memory_bytes_peak() / 1e6);
    tr_merge_plan_close(plan);
    for (uint32_t r = 0; r < count; r++) {
        tr_run_close(runs[r]);
        tr_map_close(&maps[r]);
    }
    tr_arena_free(&arena);
}

static bool read_options(bench_options *options, int argc, char **argv)
{
    const struct {
        const char *name;
        uint32_t *number;
        const char **text;
    } known[] = {{"--profiles", &options->world.profiles, NULL},
                 {"--copies", &options->world.copies, NULL},
                 {"--events", &options->world.events, NULL},
                 {"--threads", &options->threads, NULL},
                 {"--repeat", &options->repeat, NULL},
                 {"--out", NULL, &options->out},
                 {"--fields", NULL, &options->fields}};
    for (int i = 3; i + 1 < argc; i += 2)
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            int64_t number = 0;
            if (strcmp(argv[i], known[k].name) != 0)
                continue;
            if (known[k].text != NULL)
                *known[k].text = argv[i + 1];
            else if (!tr_str_to_i64(tr_str_of(argv[i + 1]), &number) || number < 0 ||
                     number > INT32_MAX)
                return false;
            else
                *known[k].number = (uint32_t)number;
        }
    return argc >= 3 && options->threads > 0 && options->threads <= THREADS_MAX &&
           options->world.copies > 0 && options->world.copies <= TR_BENCH_COPIES_MAX &&
           options->world.profiles > 0;
}

int main(int argc, char **argv)
{
    tr_memory_keep_freed();
    bench_options options = {.world = {.profiles = 2000000, .copies = 1},
                             .threads = 2, .repeat = 1};
    if (!read_options(&options, argc, argv)) {
        (void)fprintf(stderr, "usage: merge_bench generate|run DIR [--profiles N] [--copies C] "
                              "[--events M] [--threads T] [--out DIR] [--fields PATHS] "
                              "[--repeat R]\n");
        return 2;
    }
    if (strcmp(argv[1], "generate") == 0)
        tr_bench_generate(argv[2], &options.world);
    else
        for (uint32_t r = 0; r < options.repeat; r++)
            run(argv[2], &options);
    return 0;
}
