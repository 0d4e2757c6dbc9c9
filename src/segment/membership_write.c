/* SPDX-License-Identifier: Apache-2.0 */
/* membership_write.c - the members of a partition into a run, entry by entry; see membership.h. */
#include "segment/membership.h"

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

struct tr_membership_writer {
    tr_arena arena;
    tr_shape shape;
    tr_column_builder *builders[LEAVES];
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
    tr_arena_free(&w->arena);
    tr_free(w);
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
    TR_TRY(tr_column_add_string(w->builders[SEGMENT], rep, segment, err));
    TR_TRY(tr_column_add_word(w->builders[TIME], rep, (uint64_t)member.since_us, err));
    return tr_column_add_string(w->builders[STATUS], rep, tr_str_of(tr_status_name(member.status)),
                                err);
}

uint32_t tr_membership_writer_rows(const tr_membership_writer *w)
{
    return w->rows;
}

tr_code tr_membership_write(tr_membership_writer *w, uint8_t bits, tr_sink sink, tr_err *err)
{
    tr_column columns[LEAVES];
    for (uint32_t i = 0; i < LEAVES; i++)
        TR_TRY(tr_column_builder_view(w->builders[i], &columns[i], err));
    const tr_run_rows rows = {
        .shape = &w->shape, .columns = columns, .rows = w->rows, .bits_min = bits};
    return tr_run_write(&rows, sink, err);
}
