/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c - groups the rows of a partition by key: all runs' sorted keys walked together.
 *
 * Few runs: at each step look at every run's head. Writing a row number and moving on are then done
 * without a branch (the number is always stored, the count grows by 0 or 1), which is what makes it
 * fast: whether a run has the next profile is as random as a coin, and no processor predicts coins.
 * Many runs: a heap, whose cost grows with the logarithm of their number.
 * Some runs LEAD: only profiles with a row in one of them are asked for. The others are searched for
 * each such key, in strides that double, from where they were left.
 */
#include "base/check.h"
#include "store/rows.h"

#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 key128;

enum { HEADS_MAX = 24 };

typedef struct head {
    const key128 *keys; /* ends with KEY_END */
    uint32_t number;    /* of the row of *keys */
    uint32_t left;      /* keys before the end */
    bool leads;
} head;

static const key128 KEY_END = ~(key128)0;

typedef struct walker {
    head *heads; /* records first, then events */
    uint32_t record_count, count;
    tr_groups records, events;
    uint8_t (*keys)[16]; /* of the profiles; NULL: nobody asks */
    uint32_t record_rows, event_rows; /* filled so far */
    bool with_events, with_event_only; /* with_events: their rows are listed */
} walker;

static key128 key_of(const uint8_t bytes[16])
{
    uint64_t high, low;
    memcpy(&high, bytes, 8);
    memcpy(&low, bytes + 8, 8);
    return (key128)__builtin_bswap64(high) << 64 | __builtin_bswap64(low);
}

static void put_key(uint8_t bytes[16], key128 key)
{
    const uint64_t high = __builtin_bswap64((uint64_t)(key >> 64)), low = __builtin_bswap64((uint64_t)key);
    memcpy(bytes, &high, 8);
    memcpy(bytes + 8, &low, 8);
}

/* The keys of a slice, into the place of its rows' first. *count: fewer than rows when a key that is repeated
 * need not be read again, and nobody counts rows. */
static tr_code read_slice(const tr_run *run, const tr_slice *slice, bool is_by_key, tr_arena *arena,
                          uint8_t (*bytes)[16], uint32_t *count, tr_err *err)
{
    *count = slice->rows;
    if (slice->from == 0 && slice->rows == tr_parquet_group_rows(run->file, slice->group))
        return is_by_key ? tr_parquet_read_keys_once(run->file, slice->group, run->key_leaf, bytes, count, err)
                         : tr_parquet_read_keys(run->file, slice->group, run->key_leaf, bytes, err);
    tr_column column;
    TR_TRY(tr_parquet_read(run->file, slice->group, run->key_leaf, slice->from, slice->rows, arena, &column, err));
    for (uint32_t i = 0; i < slice->rows; i++)
        if (column.codes[i] == 0)
            return TR_FAIL(err, TR_CORRUPT, "run %s: a row has no key", run->id);
        else
            memcpy(bytes[i], column.values.keys[column.codes[i] - 1], 16);
    return TR_OK;
}

/* Reads a run's keys, leaves out rows without an identity, and checks the order, because everything
 * after this relies on it. is_by_key: each key once, and `number` is that of no row. */
static tr_code open_head(const tr_rows *rows, uint32_t r, bool is_by_key, tr_arena *arena, head *out,
                         tr_err *err)
{
    const tr_run *run = rows->runs[r];
    const uint32_t first = rows->first_slice[r], last = rows->first_slice[r + 1];
    uint32_t total = 0;
    for (uint32_t s = first; s < last; s++)
        total += rows->slices[s].rows;
    key128 *keys = tr_arena_alloc(arena, ((size_t)total + 1) * sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", total);
    uint8_t(*bytes)[16] = (uint8_t(*)[16])(void *)keys;
    total = 0;
    for (uint32_t s = first, count; s < last; s++, total += count)
        TR_TRY(read_slice(run, &rows->slices[s], is_by_key, arena, bytes + total, &count, err));
    key128 before = 0;
    uint32_t without = 0, kept = 0;
    for (uint32_t i = 0; i < total; i++) {
        const key128 key = key_of(bytes[i]);
        if (key < before || key == KEY_END)
            return TR_FAIL(err, TR_CORRUPT, "run %s: a key is out of order", run->id);
        without += key == 0;
        kept += !is_by_key || key != before || i == 0; /* one that is repeated is written over */
        keys[kept - 1] = before = key;
    }
    without = is_by_key && without > 0 ? 1 : without;
    keys[kept] = KEY_END;
    *out = (head){.keys = keys + without,
                  .number = first < last ? rows->slices[first].base + without : 0,
                  .left = kept - without};
    return TR_OK;
}

static tr_code make_groups(uint32_t profiles_max, uint32_t rows, tr_arena *arena, tr_groups *out, tr_err *err)
{
    out->start = tr_arena_alloc(arena, ((size_t)profiles_max + 1) * sizeof *out->start);
    out->rows = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *out->rows); /* the walk stores one past */
    if (out->start == NULL || out->rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", profiles_max);
    out->start[0] = 0;
    return TR_OK;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Ends a profile: keeps what was collected, or forgets it. is_mixed: its records may not be ascending. */
static void end_profile(walker *w, key128 key, bool is_mixed)
{
    const uint32_t p = w->records.count;
    const uint32_t records = w->record_rows - w->records.start[p];
    if (records == 0 && !w->with_event_only) {
        if (w->with_events)
            w->event_rows = w->events.start[p];
        return;
    }
    if (is_mixed)
        qsort(w->records.rows + w->records.start[p], records, sizeof(uint32_t), compare_numbers);
    if (w->keys != NULL)
        put_key(w->keys[p], key);
    w->records.start[++w->records.count] = w->record_rows;
    if (w->with_events)
        w->events.start[++w->events.count] = w->event_rows;
}

/* Takes a row of `key` from every run of records that has one; returns the smallest key that follows. */
static inline key128 take_records(walker *w, key128 key)
{
    key128 next = KEY_END;
    uint32_t count = w->record_rows;
    uint32_t *rows = w->records.rows;
    for (uint32_t i = 0; i < w->record_count; i++) {
        head *h = &w->heads[i];
        const uint32_t is_its = *h->keys == key;
        rows[count] = h->number;
        count += is_its;
        h->number += is_its;
        h->keys += is_its;
        next = *h->keys < next ? *h->keys : next;
    }
    w->record_rows = count;
    return next;
}

/* Takes all events of `key`: several are the rule here. */
static key128 take_events(walker *w, key128 key)
{
    key128 next = KEY_END;
    for (uint32_t i = w->record_count; i < w->count; i++) {
        head *h = &w->heads[i];
        for (; *h->keys == key; h->keys++)
            w->events.rows[w->event_rows++] = h->number++;
        next = *h->keys < next ? *h->keys : next;
    }
    return next;
}

/* Of events it is only asked who has any: each head has every key once. */
static key128 pass_events(walker *w, key128 key)
{
    key128 next = KEY_END;
    for (uint32_t i = w->record_count; i < w->count; i++) {
        head *h = &w->heads[i];
        h->keys += *h->keys == key;
        next = *h->keys < next ? *h->keys : next;
    }
    return next;
}

static void walk_heads(walker *w)
{
    key128 key = KEY_END;
    for (uint32_t i = 0; i < w->count; i++)
        key = *w->heads[i].keys < key ? *w->heads[i].keys : key;
    while (key != KEY_END) {
        bool is_mixed = false;
        key128 next = take_records(w, key);
        while (next == key) { /* a run has more rows of this key */
            is_mixed = true;
            next = take_records(w, key);
        }
        const key128 event = w->with_events ? take_events(w, key) : pass_events(w, key);
        end_profile(w, key, is_mixed);
        key = event < next ? event : next;
    }
}

static bool is_before(const walker *w, uint32_t a, uint32_t b)
{
    const key128 left = *w->heads[a].keys, right = *w->heads[b].keys;
    return left < right || (left == right && a < b);
}

static void sift_down(const walker *w, uint32_t *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        const uint32_t left = 2 * at + 1, right = left + 1;
        if (left < count && is_before(w, heap[left], heap[least]))
            least = left;
        if (right < count && is_before(w, heap[right], heap[least]))
            least = right;
        if (least == at)
            return;
        const uint32_t moved = heap[at];
        heap[at] = heap[least];
        heap[least] = moved;
        at = least;
    }
}

static void walk_heap(walker *w, uint32_t *heap)
{
    for (uint32_t i = 0; i < w->count; i++)
        heap[i] = i;
    for (uint32_t i = w->count; i-- > 0;)
        sift_down(w, heap, w->count, i);
    while (*w->heads[heap[0]].keys != KEY_END) {
        const key128 key = *w->heads[heap[0]].keys;
        while (*w->heads[heap[0]].keys == key) {
            head *h = &w->heads[heap[0]];
            if (heap[0] < w->record_count)
                w->records.rows[w->record_rows++] = h->number;
            else if (w->with_events)
                w->events.rows[w->event_rows++] = h->number;
            h->number++;
            h->keys++;
            sift_down(w, heap, w->count, 0);
        }
        end_profile(w, key, false);
    }
}

/* To the first row whose key is not before `key`. */
static void seek(head *h, key128 key)
{
    uint32_t low = 0, step = 1; /* every key before `low` is before `key` */
    while (low + step <= h->left && h->keys[low + step - 1] < key) {
        low += step;
        step *= 2;
    }
    uint32_t high = low + step <= h->left ? low + step - 1 : h->left;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (h->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    h->keys += low;
    h->number += low;
    h->left -= low;
}

/* All rows of `key` among some heads, by head, then by row; returns how many. */
static uint32_t take_all(head *heads, uint32_t count, key128 key, uint32_t *rows)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++) {
        head *h = &heads[i];
        if (!h->leads)
            seek(h, key);
        for (; *h->keys == key; h->keys++, h->left--)
            rows[taken++] = h->number++;
    }
    return taken;
}

static void walk_leading(walker *w)
{
    for (;;) {
        key128 key = KEY_END;
        for (uint32_t i = 0; i < w->count; i++)
            if (w->heads[i].leads && *w->heads[i].keys < key)
                key = *w->heads[i].keys;
        if (key == KEY_END)
            return;
        w->record_rows +=
            take_all(w->heads, w->record_count, key, w->records.rows + w->record_rows);
        if (w->with_events)
            w->event_rows += take_all(w->heads + w->record_count, w->count - w->record_count, key,
                                      w->events.rows + w->event_rows);
        end_profile(w, key, false);
    }
}

/* Whether a run that leads has rows here: else nobody is asked for, and no key need be read. */
static bool is_any_led(const tr_rows *rows, const bool *leads)
{
    for (uint32_t r = 0; rows != NULL && r < rows->run_count; r++)
        if (leads[r] && rows->first_slice[r] < rows->first_slice[r + 1])
            return true;
    return false;
}

static tr_code open_heads(const tr_walk *walk, walker *w, tr_arena *scratch, tr_err *err)
{
    w->heads = tr_arena_array(scratch, (size_t)w->count + 1, sizeof *w->heads);
    if (w->heads == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to walk %u runs", w->count);
    for (uint32_t i = 0; i < w->count; i++)
        TR_TRY(i < w->record_count
                   ? open_head(walk->records, i, false, scratch, &w->heads[i], err)
                   : open_head(walk->events, i - w->record_count, walk->is_by_key, scratch,
                               &w->heads[i], err));
    for (uint32_t i = 0; i < w->count && walk->leads != NULL; i++)
        w->heads[i].leads = walk->leads[i];
    return TR_OK;
}

tr_code tr_walk_profiles(const tr_walk *walk, tr_arena *arena, tr_groups *record_groups,
                         tr_groups *event_groups, tr_err *err)
{
    uint32_t *heap = NULL;
    const uint32_t record_rows = walk->records->end;
    const uint32_t event_rows = walk->events == NULL ? 0 : walk->events->end;
    const uint64_t profiles_max = (uint64_t)record_rows + (walk->with_event_only ? event_rows : 0);
    walker w = {.record_count = walk->records->run_count,
                .with_events = walk->events != NULL && !walk->is_by_key,
                .with_event_only = walk->with_event_only};
    w.count = w.record_count + (walk->events != NULL ? walk->events->run_count : 0);
    TR_ASSERT(!walk->is_by_key || walk->leads == NULL);
    if (profiles_max > UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 rows");
    tr_arena_reset(walk->scratch);
    tr_code code = make_groups((uint32_t)profiles_max, record_rows, arena, &w.records, err);
    if (code == TR_OK && w.with_events)
        code = make_groups((uint32_t)profiles_max, event_rows, arena, &w.events, err);
    if (code == TR_OK && walk->keys != NULL) {
        w.keys = tr_arena_alloc(arena, (size_t)profiles_max * sizeof *w.keys + 1);
        if (w.keys == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u profiles", (uint32_t)profiles_max);
    }
    if (walk->leads != NULL && !is_any_led(walk->records, walk->leads) &&
        !is_any_led(walk->events, walk->leads + w.record_count))
        w.count = w.record_count = 0;
    if (code == TR_OK)
        code = open_heads(walk, &w, walk->scratch, err);
    if (code == TR_OK && walk->leads != NULL) {
        walk_leading(&w);
    } else if (code == TR_OK && w.count > HEADS_MAX) {
        heap = tr_alloc_array(w.count, sizeof *heap);
        if (heap == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to walk %u runs", w.count);
        else
            walk_heap(&w, heap);
    } else if (code == TR_OK) {
        walk_heads(&w);
    }
    tr_free(heap);
    if (code == TR_OK) {
        if (walk->keys != NULL)
            *walk->keys = w.keys;
        *record_groups = w.records;
        if (w.with_events)
            *event_groups = w.events;
    }
    return code;
}
