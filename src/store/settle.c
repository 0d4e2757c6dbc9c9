/* SPDX-License-Identifier: Apache-2.0 */
/* settle.c - see settle.h. */
#include "store/settle.h"
#include "codec/hash.h"
#include "store/sort.h"

#include <string.h>

enum { FEW_ROWS = 16 };

static uint32_t member_leaf(const tr_shape *shape, const char *name, tr_kind kind)
{
    const tr_type *member = tr_type_member(shape->root, tr_str_of(name));
    return member == NULL || member->kind != kind ? UINT32_MAX : member->first_leaf;
}

tr_event_leaves tr_event_leaves_of(const tr_shape *shape)
{
    return (tr_event_leaves){.id = member_leaf(shape, "_id", TR_KIND_STRING),
                             .time = member_leaf(shape, "timestamp", TR_KIND_TIMESTAMP)};
}

static tr_code no_memory(uint32_t events, tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", events);
}

static void note_ids(const tr_column *column, const uint8_t *known, tr_str *ids, uint64_t *hashes)
{
    for (uint32_t i = 0; i < column->rows; i++) {
        if (known != NULL && known[i] == 0)
            continue;
        if (column->codes[i] != 0)
            ids[i] = tr_column_string(column, i);
        hashes[i] = tr_hash64_of(ids[i]);
    }
}

static void note_times(const tr_column *column, int64_t *times)
{
    for (uint32_t i = 0; i < column->rows; i++)
        if (column->codes[i] != 0)
            times[i] = (int64_t)tr_column_word(column, i);
}

/* The known rows of a slice are in [*from, *to): whatever is not in it need not be read. */
static void bound(const uint8_t *known, const tr_slice *slice, uint32_t *from, uint32_t *to)
{
    *from = 0;
    *to = slice->rows;
    if (known == NULL)
        return;
    known += slice->base;
    const uint8_t *first = memchr(known, 1, slice->rows);
    *from = first == NULL ? slice->rows : (uint32_t)(first - known);
    while (*to > *from && known[*to - 1] == 0)
        --*to;
}

/* One of an event's leaves on its way out of the slices. */
typedef struct reading {
    const tr_rows *rows;
    const uint8_t *known;
    tr_arena *arena;
    int64_t *times; /* NULL: ids and hashes are read */
    tr_str *ids;
    uint64_t *hashes;
} reading;

static tr_code read_slice(const reading *r, const tr_slice *slice, tr_err *err)
{
    const tr_run *run = r->rows->runs[slice->run];
    const tr_event_leaves leaves = tr_event_leaves_of(tr_parquet_shape(run->file));
    const uint32_t leaf = r->times != NULL ? leaves.time : leaves.id;
    uint32_t from, to;
    tr_column column;
    bound(r->known, slice, &from, &to);
    if (from == to || leaf == UINT32_MAX)
        return TR_OK;
    const uint32_t at = slice->base + from;
    if (r->times != NULL)
        tr_arena_reset(r->arena);
    TR_TRY(tr_parquet_read(run->file, slice->group, leaf, slice->from + from, to - from, r->arena,
                           &column, err));
    if (r->times != NULL)
        note_times(&column, r->times + at);
    else
        note_ids(&column, r->known == NULL ? NULL : r->known + at, r->ids + at, r->hashes + at);
    return TR_OK;
}

static tr_code read_slices(const reading *r, tr_err *err)
{
    for (uint32_t s = 0; s < r->rows->slice_count; s++)
        TR_TRY(read_slice(r, &r->rows->slices[s], err));
    return TR_OK;
}

static tr_code read_times(const tr_rows *rows, const uint8_t *known, int64_t *times, tr_err *err)
{
    tr_arena scratch = {0};
    const reading r = {.rows = rows, .known = known, .arena = &scratch, .times = times};
    const tr_code code = read_slices(&r, err);
    tr_arena_free(&scratch);
    return code;
}

tr_code tr_event_times(const tr_rows *rows, tr_arena *arena, const int64_t **out, tr_err *err)
{
    int64_t *times = tr_arena_array(arena, rows->end, sizeof *times);
    if (times == NULL)
        return no_memory(rows->end, err);
    TR_TRY(read_times(rows, NULL, times, err));
    *out = times;
    return TR_OK;
}

tr_code tr_event_facts_read(const tr_rows *rows, const uint8_t *known, tr_arena *arena,
                            tr_event_facts *out, tr_err *err)
{
    tr_str *ids = tr_arena_array(arena, rows->end, sizeof *ids);
    uint64_t *hashes = tr_arena_array(arena, rows->end, sizeof *hashes);
    int64_t *times = tr_arena_array(arena, rows->end, sizeof *times);
    if (ids == NULL || hashes == NULL || times == NULL)
        return no_memory(rows->end, err);
    const reading named = {
        .rows = rows, .known = known, .arena = arena, .ids = ids, .hashes = hashes};
    TR_TRY(read_times(rows, known, times, err));
    TR_TRY(read_slices(&named, err));
    *out = (tr_event_facts){.ids = ids, .hashes = hashes, .times = times, .known = known};
    return TR_OK;
}

tr_code tr_event_facts_of(const tr_shape *shape, const tr_column *columns, uint32_t rows,
                          tr_arena *arena, tr_event_facts *out, tr_err *err)
{
    const tr_event_leaves leaves = tr_event_leaves_of(shape);
    tr_str *ids = tr_arena_array(arena, rows, sizeof *ids);
    uint64_t *hashes = tr_arena_array(arena, rows, sizeof *hashes);
    int64_t *times = tr_arena_array(arena, rows, sizeof *times);
    if (ids == NULL || hashes == NULL || times == NULL)
        return no_memory(rows, err);
    if (leaves.id != UINT32_MAX)
        note_ids(&columns[leaves.id], NULL, ids, hashes);
    if (leaves.time != UINT32_MAX)
        note_times(&columns[leaves.time], times);
    *out = (tr_event_facts){.ids = ids, .hashes = hashes, .times = times};
    return TR_OK;
}

static int compare_hashes(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_event_facts *facts = ctx;
    if (facts->hashes[a] != facts->hashes[b])
        return facts->hashes[a] < facts->hashes[b] ? -1 : 1;
    return tr_str_compare(facts->ids[a], facts->ids[b]);
}

bool tr_events_repeat(const tr_event_facts *facts, const uint32_t *rows, uint32_t *spare,
                      uint32_t count)
{
    if (count <= FEW_ROWS) {
        for (uint32_t i = 1; i < count; i++)
            for (uint32_t j = 0; j < i; j++)
                if (tr_event_is_same(facts, rows[i], rows[j]))
                    return true;
        return false;
    }
    memcpy(spare, rows, count * sizeof *rows);
    tr_sort_rows(spare, spare + count, count, compare_hashes, facts);
    for (uint32_t i = 1; i < count; i++)
        if (tr_event_is_same(facts, spare[i - 1], spare[i]))
            return true;
    return false;
}

static int compare_events(const void *ctx, uint32_t a, uint32_t b)
{
    return tr_event_compare(ctx, a, b);
}

bool tr_events_settle(const tr_event_facts *facts, uint32_t *rows, uint32_t *spare, uint32_t count)
{
    if (count < 2)
        return true;
    if (tr_events_repeat(facts, rows, spare, count))
        return false;
    tr_sort_rows(rows, spare, count, compare_events, facts);
    return true;
}

/* Whether a partition's events are of one run that says that they are settled. */
static bool are_settled(const tr_rows *rows)
{
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        const bool *settled = rows->runs[slice->run]->group_settled;
        if (slice->run != rows->slices[0].run || settled == NULL || !settled[slice->group])
            return false;
    }
    return true;
}

/* Whether rows of a group, ascending, are of one run and settled in it. *slice: of one before */
static bool is_settled(const tr_rows *rows, const uint32_t *own, uint32_t count, uint32_t *slice)
{
    const tr_slice *at = &rows->slices[*slice];
    if (own[0] - at->base >= at->rows) {
        *slice = tr_rows_slice(rows, own[0]);
        at = &rows->slices[*slice];
    }
    const bool *settled = rows->runs[at->run]->group_settled;
    if (count == 1)
        return true;
    if (settled == NULL || !settled[at->group])
        return false;
    return own[count - 1] - at->base < at->rows ||
           rows->slices[tr_rows_slice(rows, own[count - 1])].run == at->run;
}

tr_code tr_unsettled_find(const tr_rows *rows, const tr_groups *groups, bool is_joined,
                          tr_arena *arena, tr_unsettled *out, tr_err *err)
{
    *out = (tr_unsettled){.count = 0};
    if (!is_joined && are_settled(rows))
        return TR_OK;
    out->groups = tr_arena_array(arena, groups->count, sizeof *out->groups);
    out->rows = tr_arena_array(arena, rows->end, sizeof *out->rows);
    if (out->groups == NULL || out->rows == NULL)
        return no_memory(rows->end, err);
    uint32_t slice = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t *own = groups->rows + groups->start[g],
                       count = groups->start[g + 1] - groups->start[g];
        if (count == 0 || (!is_joined && is_settled(rows, own, count, &slice)))
            continue;
        out->groups[g] = true;
        out->count++;
        for (uint32_t i = 0; i < count; i++)
            out->rows[own[i]] = 1;
    }
    return TR_OK;
}

/* ---- verifying */

typedef struct verifier {
    const tr_run *run;
    tr_arena arena;
    tr_rows rows;
    const uint8_t (*keys)[16];
    tr_event_facts facts;
} verifier;

static tr_code fail(const verifier *v, uint32_t number, const char *what, tr_err *err)
{
    const tr_slice *slice = &v->rows.slices[tr_rows_slice(&v->rows, number)];
    return TR_FAIL(err, TR_CORRUPT, "row %u of row group %u: %s", number - slice->base,
                   slice->group, what);
}

static tr_code check_keys(const verifier *v, tr_err *err)
{
    for (uint32_t s = 0; s < v->rows.slice_count; s++) {
        const tr_slice *slice = &v->rows.slices[s];
        for (uint32_t row = slice->base; row < slice->base + slice->rows; row++) {
            if (row > 1 && memcmp(v->keys[row - 1], v->keys[row], sizeof *v->keys) > 0)
                return fail(v, row, "its key is smaller than the one before", err);
            if (tr_key_partition(v->keys[row], v->run->partition_bits) !=
                v->run->group_partition[slice->group])
                return fail(v, row, "its key is of another partition", err);
        }
    }
    return TR_OK;
}

/* The rows [from, to) are those of a profile. */
static tr_code check_profile(const verifier *v, uint32_t from, uint32_t to, uint32_t *spare,
                             tr_err *err)
{
    bool is_said = false;
    for (uint32_t row = from; row < to && !is_said; row++)
        is_said = v->run->group_settled[v->rows.slices[tr_rows_slice(&v->rows, row)].group];
    if (!is_said)
        return TR_OK;
    for (uint32_t row = from; row < to; row++)
        spare[row - from] = row;
    if (tr_events_repeat(&v->facts, spare, spare + (to - from), to - from))
        return fail(v, from, "a profile has an _id twice, and the run says that it has not", err);
    for (uint32_t row = from + 1; row < to; row++)
        if (tr_event_compare(&v->facts, row - 1, row) > 0)
            return fail(v, row, "a profile's events are not in the order that the run says", err);
    return TR_OK;
}

static tr_code check_settled(verifier *v, tr_err *err)
{
    static const uint8_t nobody[16];
    TR_TRY(tr_event_facts_read(&v->rows, NULL, &v->arena, &v->facts, err));
    uint32_t *spare = tr_arena_alloc(&v->arena, 3 * (size_t)v->rows.end * sizeof *spare);
    if (spare == NULL)
        return no_memory(v->rows.end, err);
    for (uint32_t from = 1, to; from < v->rows.end; from = to) {
        to = from + 1;
        while (to < v->rows.end && memcmp(v->keys[from], v->keys[to], sizeof *v->keys) == 0)
            to++;
        if (memcmp(v->keys[from], nobody, sizeof nobody) != 0)
            TR_TRY(check_profile(v, from, to, spare, err));
    }
    return TR_OK;
}

static tr_code verify(verifier *v, uint32_t partition, tr_err *err)
{
    const tr_run *const runs[] = {v->run};
    tr_borders borders;
    tr_arena_reset(&v->arena);
    TR_TRY(tr_borders_make(runs, 1, v->run->partition_bits, &v->arena, &borders, err));
    TR_TRY(tr_rows_of(&borders, partition, &v->arena, &v->rows, err));
    if (v->rows.end == 1)
        return TR_OK;
    TR_TRY(tr_rows_keys(&v->rows, &v->arena, &v->keys, err));
    TR_TRY(check_keys(v, err));
    return v->run->group_settled == NULL ? TR_OK : check_settled(v, err);
}

tr_code tr_run_verify(const tr_run *run, tr_err *err)
{
    verifier v = {.run = run};
    tr_code code = TR_OK;
    for (uint32_t p = 0; p < 1u << run->partition_bits && code == TR_OK; p++)
        code = verify(&v, p, err);
    tr_arena_free(&v.arena);
    return code;
}
