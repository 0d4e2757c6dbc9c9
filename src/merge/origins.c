/* SPDX-License-Identifier: Apache-2.0 */
/* origins.c - where the profiles that a keeper sees come from: datasets, fragments, events. */
#include "base/check.h"
#include "merge/merge_internal.h"

#include <string.h>

typedef struct origins {
    const tr_merge_work *work;
    const uint32_t *record_dataset, *event_dataset; /* per run: its number */
    uint32_t *seen; /* the first row of every fragment of one profile and behaviour */
    tr_merge_origin *profiles;
    uint64_t *sets;
    uint32_t words;
    const int64_t *times; /* by number of an event's row */
} origins;

static tr_code no_memory(uint32_t profiles, tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the origins of %u profiles", profiles);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The ids of the datasets that take part, ascending and once each. */
static tr_code list_datasets(const tr_merge_plan *plan, tr_arena *arena, tr_merge_origins *out,
                             tr_err *err)
{
    const uint32_t runs = plan->records.run_count + plan->events.run_count;
    const char **names = tr_arena_array(arena, (size_t)runs + 1, sizeof *names);
    if (names == NULL)
        return no_memory(0, err);
    for (uint32_t i = 0; i < runs; i++)
        names[i] = i < plan->records.run_count
                       ? plan->records.runs[i]->dataset
                       : plan->events.runs[i - plan->records.run_count]->dataset;
    qsort(names, runs, sizeof *names, compare_names);
    for (uint32_t i = 0; i < runs; i++)
        if (out->dataset_count == 0 || strcmp(names[out->dataset_count - 1], names[i]) != 0)
            names[out->dataset_count++] = names[i];
    out->datasets = names;
    out->words = (out->dataset_count + 63) / 64;
    return TR_OK;
}

static const uint32_t *number_runs(const tr_merge_side *side, const tr_merge_origins *of,
                                   tr_arena *arena)
{
    uint32_t *numbers = tr_arena_array(arena, (size_t)side->run_count + 1, sizeof *numbers);
    for (uint32_t i = 0; numbers != NULL && i < side->run_count; i++)
        while (strcmp(of->datasets[numbers[i]], side->runs[i]->dataset) != 0)
            numbers[i]++;
    return numbers;
}

/* Notes the rows of a profile: a fragment is a dataset's rows of one identity. */
static void note_rows(const origins *o, uint32_t profile, const tr_groups *groups,
                      const tr_fold *fold, const uint32_t *dataset)
{
    uint32_t seen = 0;
    for (uint32_t i = groups->start[profile]; i < groups->start[profile + 1]; i++) {
        const uint32_t row = groups->rows[i], number = dataset[fold->run_of[row]];
        uint32_t at = 0;
        while (at < seen &&
               (dataset[fold->run_of[o->seen[at]]] != number ||
                (fold->owners != NULL && !tr_owners_are_same(fold->owners, o->seen[at], row))))
            at++;
        if (at < seen)
            continue;
        o->seen[seen++] = row;
        o->sets[(size_t)profile * o->words + number / 64] |= UINT64_C(1) << number % 64;
    }
    o->profiles[profile].fragments += seen;
}

static void note_events(const origins *o, uint32_t profile)
{
    const tr_groups *events = &o->work->event_groups;
    tr_merge_origin *own = &o->profiles[profile];
    own->events = events->start[profile + 1] - events->start[profile];
    for (uint32_t i = events->start[profile]; i < events->start[profile + 1]; i++) {
        const int64_t time = o->times[events->rows[i]];
        if (own->newest_event_us == TR_TIME_NONE || time > own->newest_event_us)
            own->newest_event_us = time;
    }
}

static tr_code weigh_events(tr_merge_work *work, tr_arena *arena, const int64_t **times,
                            tr_err *err)
{
    TR_TRY(tr_merge_fold_events(work, err));
    TR_TRY(tr_merge_weigh_events(work, err));
    return tr_event_times(&work->events, arena, times, err);
}

tr_code tr_merge_work_origins(tr_merge_work *work, tr_arena *arena, tr_merge_origins *out,
                              tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    const uint32_t count = work->record_groups.count;
    const bool with_events = tr_merge_reads_events(plan);
    const int64_t *times = NULL;
    TR_ASSERT(plan->spec.with_origins);
    *out = (tr_merge_origins){0};
    TR_TRY(tr_merge_rank(work, err));
    TR_TRY(list_datasets(plan, arena, out, err));
    if (with_events)
        TR_TRY(weigh_events(work, arena, &times, err));
    const uint32_t rows =
        work->records.end > work->events.end ? work->records.end : work->events.end;
    origins o = {.work = work,
                 .record_dataset = number_runs(&plan->records, out, arena),
                 .event_dataset = number_runs(&plan->events, out, arena),
                 .seen = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *o.seen),
                 .profiles = tr_arena_array(arena, (size_t)count + 1, sizeof *o.profiles),
                 .sets = tr_arena_array(arena, (size_t)count * out->words + 1, sizeof *o.sets),
                 .words = out->words,
                 .times = times};
    if (o.record_dataset == NULL || o.event_dataset == NULL || o.seen == NULL ||
        o.profiles == NULL || o.sets == NULL)
        return no_memory(count, err);
    for (uint32_t profile = 0; profile < count; profile++) {
        note_rows(&o, profile, &work->record_groups, &work->record_fold, o.record_dataset);
        o.profiles[profile].newest_event_us = TR_TIME_NONE;
        if (!with_events)
            continue;
        note_rows(&o, profile, &work->event_groups, &work->event_fold, o.event_dataset);
        note_events(&o, profile);
    }
    out->profiles = o.profiles;
    out->sets = o.sets;
    return TR_OK;
}
