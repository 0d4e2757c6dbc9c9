/* SPDX-License-Identifier: Apache-2.0 */
/* membership_write.c - the members of a partition into a run, entry by entry; see membership.h.
 *
 * A partition may have millions of entries, of a few segments and three statuses: these are kept
 * as codes from the start. Levels are those of the times, which have an entry wherever the others
 * have.
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

/* Segment ids, each once. */
typedef struct names {
    tr_str *ids;     /* [slot_count / 2] */
    uint32_t *slots; /* [slot_count] a code, or 0 */
    uint32_t count, slot_count;
} names;

struct tr_membership_writer {
    tr_arena arena;
    tr_shape shape;
    tr_column_builder *builders[LEAVES]; /* NULL: SEGMENT and STATUS */
    names names;
    uint32_t *segments, *statuses; /* [entry_cap] codes */
    uint32_t entry_count, entry_cap;
    int64_t now_us;
    char batch[32];
    uint8_t last[16];
    uint32_t rows;
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
    tr_code code = make_shape(w, err);
    for (uint32_t i = 0; i < LEAVES && code == TR_OK; i++)
        if (i != SEGMENT && i != STATUS)
            code = tr_column_builder_open(&w->shape.leaves[i], &w->builders[i], err);
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
    for (uint32_t i = 0; i < LEAVES; i++)
        if (w->builders[i] != NULL)
            tr_column_builder_close(w->builders[i]);
    tr_free(w->names.ids);
    tr_free(w->names.slots);
    tr_free(w->segments);
    tr_free(w->statuses);
    tr_arena_free(&w->arena);
    tr_free(w);
}

/* Where an id is, or would be. */
static uint32_t *slot_of(const names *n, tr_str id)
{
    uint64_t at = tr_hash64_of(id) & (n->slot_count - 1);
    while (n->slots[at] != 0 && !tr_str_equal(n->ids[n->slots[at] - 1], id))
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
    tr_str *ids = slots == NULL ? NULL : tr_grow_array(n->ids, slot_count / 2, sizeof *ids);
    if (ids == NULL) {
        tr_free(slots);
        return false;
    }
    tr_free(n->slots);
    n->ids = ids;
    n->slots = slots;
    n->slot_count = slot_count;
    for (uint32_t i = 0; i < n->count; i++)
        *slot_of(n, ids[i]) = i + 1;
    return true;
}

static tr_code code_of(tr_membership_writer *w, tr_str id, uint32_t *out, tr_err *err)
{
    names *n = &w->names;
    if (!grow_names(n))
        return no_memory(err);
    uint32_t *slot = slot_of(n, id);
    if (*slot == 0) {
        n->ids[n->count] = tr_arena_copy(&w->arena, id);
        if (n->ids[n->count].at == NULL)
            return no_memory(err);
        *slot = ++n->count;
    }
    *out = *slot;
    return TR_OK;
}

static bool grow_entries(tr_membership_writer *w)
{
    if (w->entry_count < w->entry_cap)
        return true;
    if (w->entry_cap > UINT32_MAX / 4)
        return false;
    const uint32_t cap = w->entry_cap * 2 + 1024;
    uint32_t *segments = tr_grow_array(w->segments, cap, sizeof *segments);
    if (segments == NULL)
        return false;
    w->segments = segments;
    uint32_t *statuses = tr_grow_array(w->statuses, cap, sizeof *statuses);
    if (statuses == NULL)
        return false;
    w->statuses = statuses;
    w->entry_cap = cap;
    return true;
}

static tr_code begin_row(tr_membership_writer *w, const uint8_t key[16], tr_err *err)
{
    TR_TRY(tr_column_add_string(w->builders[NAMESPACE], 0, tr_str_of("ups"), err));
    TR_TRY(tr_column_add_key(w->builders[KEY], key, err));
    TR_TRY(tr_column_add_null(w->builders[OWN_NAMESPACE], 0, 0, err));
    TR_TRY(tr_column_add_null(w->builders[OWN_ID], 0, 0, err));
    TR_TRY(tr_column_add_word(w->builders[UPDATED], 0, (uint64_t)w->now_us, err));
    TR_TRY(tr_column_add_word(w->builders[INGESTED], 0, (uint64_t)w->now_us, err));
    TR_TRY(tr_column_add_string(w->builders[BATCH], 0, tr_str_of(w->batch), err));
    memcpy(w->last, key, sizeof w->last);
    w->rows++;
    return TR_OK;
}

tr_code tr_membership_add(tr_membership_writer *w, const uint8_t key[16], tr_str segment,
                          tr_member member, tr_err *err)
{
    const bool is_new = w->rows == 0 || memcmp(w->last, key, sizeof w->last) != 0;
    const uint8_t rep = is_new ? 0 : 2; /* 2: another entry of the inner map */
    if (is_new)
        TR_TRY(begin_row(w, key, err));
    if (!grow_entries(w))
        return no_memory(err);
    TR_TRY(code_of(w, segment, &w->segments[w->entry_count], err));
    w->statuses[w->entry_count++] = (uint32_t)member.status; /* TR_REALIZED is 1 */
    return tr_column_add_word(w->builders[TIME], rep, (uint64_t)member.since_us, err);
}

uint32_t tr_membership_writer_rows(const tr_membership_writer *w)
{
    return w->rows;
}

/* A column of codes at the times' entries. */
static tr_code view_codes(tr_membership_writer *w, uint32_t leaf, const uint32_t *codes,
                          const tr_values *values, const tr_column *times, tr_column *out,
                          tr_err *err)
{
    const tr_leaf *own = &w->shape.leaves[leaf];
    const uint8_t full = (uint8_t)(own->def_max - w->shape.units[own->unit].base_def);
    uint8_t *def = tr_arena_alloc(&w->arena, (size_t)w->entry_count + 1);
    if (def == NULL)
        return no_memory(err);
    memset(def, full, w->entry_count);
    *out = *times;
    out->leaf = own;
    out->codes = codes;
    out->def = def;
    out->values = *values;
    return TR_OK;
}

tr_code tr_membership_write(tr_membership_writer *w, uint8_t bits, tr_sink sink, tr_err *err)
{
    tr_column columns[LEAVES];
    const tr_str statuses[] = {tr_str_of(tr_status_name(TR_REALIZED)),
                               tr_str_of(tr_status_name(TR_EXISTING)),
                               tr_str_of(tr_status_name(TR_EXITED))};
    const tr_values segments = {.storage = TR_STORAGE_STRING,
                                .is_distinct = true,
                                .count = w->names.count,
                                .strings = w->names.ids};
    const tr_values status = {
        .storage = TR_STORAGE_STRING, .is_distinct = true, .count = 3, .strings = statuses};
    for (uint32_t i = 0; i < LEAVES; i++)
        if (w->builders[i] != NULL)
            TR_TRY(tr_column_builder_view(w->builders[i], &columns[i], err));
    TR_TRY(view_codes(w, SEGMENT, w->segments, &segments, &columns[TIME], &columns[SEGMENT], err));
    TR_TRY(view_codes(w, STATUS, w->statuses, &status, &columns[TIME], &columns[STATUS], err));
    const tr_run_rows rows = {
        .shape = &w->shape, .columns = columns, .rows = w->rows, .bits_min = bits};
    return tr_run_write(&rows, sink, err);
}
