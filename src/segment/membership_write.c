/* SPDX-License-Identifier: Apache-2.0 */
/* membership_write.c - the members of a partition into a run, profile by profile; see membership.h.
 *
 * A partition may have millions of entries, of a few segments, times and three statuses: these are
 * kept as codes from the start. All columns of the unit have the levels of the entries; most of the
 * bookkeeping is the same in every row.
 */
#include "segment/membership.h"

#include "codec/hash.h"

/* Leaves in the order of the shape: the unit's, then the bookkeeping's. */
enum {
    NAMESPACE,
    SEGMENT,
    TIME,
    STATUS,
    KEY,
    OWN_NAMESPACE,
    OWN_ID,
    UPDATED,
    INGESTED,
    BATCH,
    LEAVES
};

/* Texts, each once, numbered as they come. */
typedef struct names {
    tr_str *at;      /* [slot_count / 2] */
    uint32_t *slots; /* [slot_count] a number + 1, or 0 */
    uint32_t count, slot_count;
} names;

struct tr_membership_writer {
    tr_arena arena;
    tr_shape shape;
    names known;     /* segment ids */
    uint32_t *codes; /* [code_cap] of those in the run's table; 0: not used yet */
    tr_str *used;    /* [code_cap] the table, in the order of their first use */
    uint32_t code_cap, used_count;
    names times; /* words, as texts of 8 bytes: evaluations give many members the same */
    uint64_t last_word;
    uint32_t last_time;                    /* its code; 0: none yet */
    uint32_t *segments, *statuses, *since; /* [entry_cap] codes */
    uint8_t *rep;                          /* [entry_cap] */
    uint32_t entry_count, entry_cap;
    uint8_t (*keys)[16]; /* [row_cap] */
    uint32_t *row_start; /* [row_cap + 1] */
    uint32_t rows, row_cap;
    int64_t now_us;
    char batch[32];
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a membership");
}

static tr_code make_shape(tr_membership_writer *w, tr_err *err)
{
    tr_arena *arena = &w->arena;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *map = tr_type_make(arena, TR_KIND_MAP, tr_str_of("segmentMembership"));
    tr_type *inner = tr_type_make(arena, TR_KIND_MAP, tr_str_of("value"));
    tr_type *item = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of("value"));
    tr_type *time = tr_type_make(arena, TR_KIND_TIMESTAMP, tr_str_of("lastQualificationTime"));
    tr_type *status = tr_type_make(arena, TR_KIND_STRING, tr_str_of("status"));
    if (root == NULL || map == NULL || inner == NULL || item == NULL || time == NULL ||
        status == NULL || !tr_type_add(arena, item, time) || !tr_type_add(arena, item, status) ||
        !tr_type_add(arena, inner, item) || !tr_type_add(arena, map, inner) ||
        !tr_type_add(arena, root, map) || tr_run_add_bookkeeping(arena, root) == NULL)
        return no_memory(err);
    return tr_shape_make(arena, root, &w->shape, err);
}

tr_code tr_membership_writer_open(int64_t now_us, const char *batch, tr_membership_writer **out,
                                  tr_err *err)
{
    tr_membership_writer *w = tr_alloc_zeroed(1, sizeof *w);
    if (w == NULL)
        return no_memory(err);
    w->now_us = now_us;
    const size_t len = strlen(batch) < sizeof w->batch ? strlen(batch) : sizeof w->batch - 1;
    memcpy(w->batch, batch, len);
    const tr_code code = make_shape(w, err);
    if (code == TR_OK)
        *out = w;
    else
        tr_membership_writer_close(w);
    return code;
}

void tr_membership_writer_close(tr_membership_writer *w)
{
    if (w == NULL)
        return;
    tr_free(w->known.at);
    tr_free(w->known.slots);
    tr_free(w->times.at);
    tr_free(w->times.slots);
    tr_free(w->codes);
    tr_free(w->used);
    tr_free(w->segments);
    tr_free(w->statuses);
    tr_free(w->since);
    tr_free(w->rep);
    tr_free(w->keys);
    tr_free(w->row_start);
    tr_arena_free(&w->arena);
    tr_free(w);
}

/* ---- tables */

/* Where a text is, or would be. */
static uint32_t *slot_of(const names *n, tr_str text)
{
    uint64_t at = tr_hash64_of(text) & (n->slot_count - 1);
    while (n->slots[at] != 0 && !tr_str_equal(n->at[n->slots[at] - 1], text))
        at = (at + 1) & (n->slot_count - 1);
    return &n->slots[at];
}

/* Keeps half of the slots free. */
static bool grow_names(names *n)
{
    const uint32_t slot_count = n->slot_count == 0 ? 256 : n->slot_count * 2;
    if (n->count < n->slot_count / 2)
        return true;
    uint32_t *slots = tr_alloc_zeroed(slot_count, sizeof *slots);
    if (slots == NULL || !tr_resize_array(&n->at, slot_count / 2, sizeof *n->at)) {
        tr_free(slots);
        return false;
    }
    tr_free(n->slots);
    n->slots = slots;
    n->slot_count = slot_count;
    for (uint32_t i = 0; i < n->count; i++)
        *slot_of(n, n->at[i]) = i + 1;
    return true;
}

/* The number of a text, which is copied when it is new. */
static tr_code number_of(names *n, tr_str text, tr_arena *arena, uint32_t *out, tr_err *err)
{
    if (!grow_names(n))
        return no_memory(err);
    uint32_t *slot = slot_of(n, text);
    if (*slot == 0) {
        n->at[n->count] = tr_arena_copy(arena, text);
        if (n->at[n->count].at == NULL)
            return no_memory(err);
        *slot = ++n->count;
    }
    *out = *slot - 1;
    return TR_OK;
}

tr_code tr_membership_segment(tr_membership_writer *w, tr_str id, uint32_t *out, tr_err *err)
{
    uint32_t number;
    TR_TRY(number_of(&w->known, id, &w->arena, &number, err));
    if (number >= w->code_cap) {
        const uint32_t cap = number * 2 + 64;
        if (!tr_resize_array(&w->codes, cap, sizeof *w->codes) ||
            !tr_resize_array(&w->used, cap, sizeof *w->used))
            return no_memory(err);
        memset(w->codes + w->code_cap, 0, (cap - w->code_cap) * sizeof *w->codes);
        w->code_cap = cap;
    }
    *out = number;
    return TR_OK;
}

static uint32_t code_of_segment(tr_membership_writer *w, uint32_t segment)
{
    if (w->codes[segment] == 0) {
        w->used[w->used_count++] = w->known.at[segment];
        w->codes[segment] = w->used_count;
    }
    return w->codes[segment];
}

static tr_code code_of_time(tr_membership_writer *w, uint64_t word, uint32_t *out, tr_err *err)
{
    if (w->last_time == 0 || word != w->last_word) {
        uint8_t bytes[sizeof word];
        uint32_t number;
        memcpy(bytes, &word, sizeof word);
        TR_TRY(number_of(&w->times, (tr_str){bytes, sizeof bytes}, &w->arena, &number, err));
        w->last_word = word;
        w->last_time = number + 1;
    }
    *out = w->last_time;
    return TR_OK;
}

/* ---- rows */

static bool reserve_entries(tr_membership_writer *w, uint32_t count)
{
    if (count <= w->entry_cap - w->entry_count)
        return true;
    if (w->entry_cap > UINT32_MAX / 8 || count > UINT32_MAX / 8)
        return false;
    const uint32_t cap = w->entry_cap * 4 + count + 4096; /* copying costs more than room */
    if (!tr_resize_array(&w->segments, cap, sizeof *w->segments) ||
        !tr_resize_array(&w->statuses, cap, sizeof *w->statuses) ||
        !tr_resize_array(&w->since, cap, sizeof *w->since) || !tr_resize_array(&w->rep, cap, 1))
        return false;
    w->entry_cap = cap;
    return true;
}

static bool reserve_row(tr_membership_writer *w)
{
    if (w->rows < w->row_cap)
        return true;
    const uint32_t cap = w->row_cap * 2 + 256;
    if (!tr_resize_array(&w->keys, cap, sizeof *w->keys) ||
        !tr_resize_array(&w->row_start, cap + 1, sizeof *w->row_start))
        return false;
    w->row_cap = cap;
    return true;
}

tr_code tr_membership_add(tr_membership_writer *w, const uint8_t key[16],
                          const tr_membership_entry *entries, uint32_t count, tr_err *err)
{
    if (count == 0)
        return TR_OK;
    if (!reserve_entries(w, count) || !reserve_row(w))
        return no_memory(err);
    const uint32_t from = w->entry_count;
    for (uint32_t i = 0; i < count; i++) {
        const tr_member *member = &entries[i].member;
        TR_TRY(code_of_time(w, (uint64_t)member->since_us, &w->since[from + i], err));
        w->segments[from + i] = code_of_segment(w, entries[i].segment);
        w->statuses[from + i] = (uint32_t)member->status; /* TR_REALIZED is 1 */
        w->rep[from + i] = 2;                             /* another entry of the inner map */
    }
    w->rep[from] = 0;
    memcpy(w->keys[w->rows], key, 16);
    w->row_start[w->rows++] = from;
    w->entry_count += count;
    return TR_OK;
}

uint32_t tr_membership_writer_rows(const tr_membership_writer *w)
{
    return w->rows;
}

/* ---- columns */

/* What several columns share. */
typedef struct shared {
    uint32_t *ones, *zeros, *numbers; /* [rows] codes: the first value, none, each row its own */
    uint8_t *def, *rep;               /* of one entry a row; def: a byte per level of the unit */
    uint32_t *row_start;
} shared;

static tr_code make_shared(tr_membership_writer *w, shared *out, tr_err *err)
{
    const size_t rows = (size_t)w->rows + 1;
    tr_arena *arena = &w->arena;
    *out = (shared){.ones = tr_arena_alloc(arena, rows * sizeof *out->ones),
                    .zeros = tr_arena_array(arena, rows, sizeof *out->zeros),
                    .numbers = tr_arena_alloc(arena, rows * sizeof *out->numbers),
                    .def = tr_arena_alloc(arena, rows),
                    .rep = tr_arena_array(arena, rows, 1),
                    .row_start = tr_arena_alloc(arena, rows * sizeof *out->row_start)};
    if (out->ones == NULL || out->zeros == NULL || out->numbers == NULL || out->def == NULL ||
        out->rep == NULL || out->row_start == NULL)
        return no_memory(err);
    for (uint32_t row = 0; row < rows; row++) {
        out->ones[row] = 1;
        out->numbers[row] = row + 1;
        out->row_start[row] = row;
    }
    return TR_OK;
}

/* The level at which a leaf of the unit has a value, from the unit. */
static uint8_t full_level(const tr_membership_writer *w, uint32_t leaf)
{
    const tr_leaf *own = &w->shape.leaves[leaf];
    return (uint8_t)(own->def_max - w->shape.units[own->unit].base_def);
}

/* A column of codes, one an entry. */
static tr_code of_entries(tr_membership_writer *w, uint32_t leaf, const uint32_t *codes,
                          tr_values values, tr_column *out, tr_err *err)
{
    uint8_t *def = tr_arena_alloc(&w->arena, (size_t)w->entry_count + 1);
    if (def == NULL)
        return no_memory(err);
    memset(def, full_level(w, leaf), w->entry_count);
    *out = (tr_column){.leaf = &w->shape.leaves[leaf],
                       .rows = w->rows,
                       .entries = w->entry_count,
                       .codes = codes,
                       .def = def,
                       .rep = w->rep,
                       .row_start = w->row_start,
                       .values = values};
    return TR_OK;
}

static tr_column of_rows(const tr_membership_writer *w, uint32_t leaf, const uint32_t *codes,
                         tr_values values)
{
    return (tr_column){.leaf = &w->shape.leaves[leaf],
                       .rows = w->rows,
                       .entries = w->rows,
                       .codes = codes,
                       .values = values};
}

static tr_values words(const uint64_t *table, uint32_t count)
{
    return (tr_values){
        .storage = TR_STORAGE_WORD, .is_distinct = true, .count = count, .words = table};
}

static tr_values strings(const tr_str *table, uint32_t count)
{
    return (tr_values){
        .storage = TR_STORAGE_STRING, .is_distinct = true, .count = count, .strings = table};
}

static tr_code make_columns(tr_membership_writer *w, const tr_str *texts, const uint64_t *now,
                            tr_column *columns, tr_err *err)
{
    shared s;
    uint64_t *times = tr_arena_array(&w->arena, w->times.count, sizeof *times);
    const tr_values none = strings(NULL, 0);
    TR_TRY(make_shared(w, &s, err));
    if (times == NULL || (w->row_start == NULL && !reserve_row(w))) /* no rows have a border, too */
        return no_memory(err);
    const tr_values keys = {
        .storage = TR_STORAGE_KEY, .count = w->rows, .keys = (const uint8_t(*)[16])w->keys};
    for (uint32_t i = 0; i < w->times.count; i++)
        memcpy(&times[i], w->times.at[i].at, sizeof *times);
    w->row_start[w->rows] = w->entry_count;
    TR_TRY(of_entries(w, SEGMENT, w->segments, strings(w->used, w->used_count), &columns[SEGMENT],
                      err));
    TR_TRY(of_entries(w, TIME, w->since, words(times, w->times.count), &columns[TIME], err));
    TR_TRY(of_entries(w, STATUS, w->statuses, strings(texts, 3), &columns[STATUS], err));
    columns[NAMESPACE] = of_rows(w, NAMESPACE, s.ones, strings(&texts[3], 1));
    memset(s.def, full_level(w, NAMESPACE), w->rows);
    columns[NAMESPACE].def = s.def;
    columns[NAMESPACE].rep = s.rep;
    columns[NAMESPACE].row_start = s.row_start;
    columns[KEY] = of_rows(w, KEY, s.numbers, keys);
    columns[OWN_NAMESPACE] = of_rows(w, OWN_NAMESPACE, s.zeros, none);
    columns[OWN_ID] = of_rows(w, OWN_ID, s.zeros, none);
    columns[UPDATED] = of_rows(w, UPDATED, s.ones, words(now, 1));
    columns[INGESTED] = of_rows(w, INGESTED, s.ones, words(now, 1));
    columns[BATCH] = of_rows(w, BATCH, s.ones, strings(&texts[4], 1));
    return TR_OK;
}

tr_code tr_membership_write(tr_membership_writer *w, uint8_t bits, tr_sink sink, tr_err *err)
{
    tr_column columns[LEAVES];
    const uint64_t now = (uint64_t)w->now_us;
    const tr_str texts[] = {
        tr_str_of(tr_status_name(TR_REALIZED)), tr_str_of(tr_status_name(TR_EXISTING)),
        tr_str_of(tr_status_name(TR_EXITED)), tr_str_of("ups"), tr_str_of(w->batch)};
    TR_TRY(make_columns(w, texts, &now, columns, err));
    const tr_run_rows rows = {
        .shape = &w->shape, .columns = columns, .rows = w->rows, .bits_min = bits};
    return tr_run_write(&rows, sink, err);
}
