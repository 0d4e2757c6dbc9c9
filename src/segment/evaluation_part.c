/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation_part.c - one partition of an evaluation: who matches, who was in, who is in now; see
 * evaluation.h.
 *
 * Segment ids of the old entries are looked up once per dictionary code, not once per entry.
 * Definitions are walked in the order of their ids, and only those that hold for a profile or did
 * before (mask_rows.h): their PLACE is their number in that order.
 */
#include "segment/evaluation_internal.h"
#include "segment/mask_rows.h"

#define ENTRY_CARRIED (UINT32_MAX - 1) /* another segment of this policy: it stays as it is */
#define ENTRY_ENDS UINT32_MAX          /* deleted, or of another policy */

typedef struct counts { /* of one definition */
    uint64_t by_status[4];
    uint64_t *by_namespace; /* per code of the namespaces' column */
    int64_t us;
} counts;

typedef struct place {            /* a definition in the order of ids, those left out not counted */
    uint32_t definition, segment; /* segment: its number in the writer */
    tr_str id;
} place;

typedef struct maker {
    const tr_evaluation *evaluation;
    const atomic_bool *cancel;
    tr_merge_view *view;
    tr_arena arena;
    uint32_t profiles, definitions;
    const uint8_t (*keys)[16];
    uint8_t **masks;
    int64_t *times;
    tr_column *members; /* of segmentMembership, the server's own alone */
    tr_membership_leaves leaves;
    uint32_t *meaning;           /* per segment code: a place, CARRIED or ENDS */
    uint32_t *carried;           /* per segment code that is carried: its number in the writer */
    const tr_column *namespaces; /* keys of identityMap; NULL: the schema has none */
    place *places;
    uint32_t place_count;
    tr_mask_rows rows;            /* bits of places: who matches; then, who matches or did */
    tr_member *before;            /* [place_count] of one profile */
    tr_membership_entry *entries; /* [entry_cap] of one profile, after the job */
    tr_str *ids;                  /* [entry_cap] theirs */
    uint32_t entry_cap, entry_count;
    counts *counts; /* [definitions] */
    tr_membership_writer *writer;
} maker;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate a partition");
}

static const char *id_of(const maker *m, uint32_t definition)
{
    return tr_json_text(json_array_get(m->evaluation->definitions, definition), "id", "");
}

/* ---- what was */

static uint32_t meaning_of(const maker *m, tr_str id)
{
    const json_t *carried = json_object_get(m->evaluation->json, "carried");
    for (uint32_t i = 0; i < m->place_count; i++)
        if (tr_str_equal(id, m->places[i].id))
            return i;
    for (uint32_t d = 0; d < m->definitions; d++) /* one that is left out */
        if (tr_str_is(id, id_of(m, d)))
            return ENTRY_CARRIED;
    for (size_t i = 0; i < json_array_size(carried); i++)
        if (tr_str_is(id, json_string_value(json_array_get(carried, i))))
            return ENTRY_CARRIED;
    return ENTRY_ENDS;
}

static tr_code read_members(maker *m, tr_err *err)
{
    const tr_shape *probe = tr_evaluator_probe(m->evaluation->evaluator);
    const uint32_t unit = tr_shape_unit(probe, tr_str_of("segmentMembership"));
    if (unit == UINT32_MAX)
        return TR_FAIL(err, TR_INVALID, "the profile schema has no segmentMembership");
    TR_TRY(tr_membership_find_leaves(probe, unit, &m->leaves, err));
    m->members = tr_arena_array(&m->arena, probe->units[unit].leaf_count, sizeof *m->members);
    if (m->members == NULL)
        return no_memory(err);
    TR_TRY(tr_merge_view_members(m->view, &m->arena, m->members, err));
    const tr_column *segments = &m->members[m->leaves.segment];
    m->meaning = tr_arena_array(&m->arena, (size_t)segments->values.count + 1, sizeof *m->meaning);
    m->carried = tr_arena_array(&m->arena, (size_t)segments->values.count + 1, sizeof *m->carried);
    if (m->meaning == NULL || m->carried == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < segments->values.count; i++) {
        const tr_str id = segments->values.strings[i];
        m->meaning[i + 1] = meaning_of(m, id);
        if (m->meaning[i + 1] == ENTRY_CARRIED)
            TR_TRY(tr_membership_segment(m->writer, id, &m->carried[i + 1], err));
    }
    m->entry_cap = m->definitions;
    for (uint32_t p = 0; p < m->profiles; p++) {
        const uint32_t own = segments->row_start[p + 1] - segments->row_start[p];
        m->entry_cap = own + m->definitions > m->entry_cap ? own + m->definitions : m->entry_cap;
    }
    return TR_OK;
}

/* Only members are counted: that nobody's events are read for the others. */
static tr_code want_members(maker *m, tr_err *err)
{
    bool *wanted = tr_arena_array(&m->arena, (size_t)m->profiles + 1, sizeof *wanted);
    if (wanted == NULL)
        return no_memory(err);
    for (uint32_t p = 0; p < m->profiles; p++)
        for (uint32_t word = 0; word < m->rows.words; word++)
            wanted[p] = wanted[p] || tr_mask_row(&m->rows, p)[word] != 0;
    tr_merge_view_want_identities(m->view, wanted);
    return TR_OK;
}

static tr_code read_namespaces(maker *m, tr_err *err)
{
    const tr_shape *probe = tr_evaluator_probe(m->evaluation->evaluator);
    const uint32_t unit = tr_shape_unit(probe, tr_str_of("identityMap"));
    uint32_t codes = 0;
    if (unit != UINT32_MAX && probe->units[unit].type->kind == TR_KIND_MAP) {
        tr_column *columns =
            tr_arena_array(&m->arena, probe->units[unit].leaf_count, sizeof *columns);
        bool *wanted = tr_arena_array(&m->arena, probe->leaf_count, sizeof *wanted);
        if (columns == NULL || wanted == NULL)
            return no_memory(err);
        wanted[probe->units[unit].first_leaf] = true; /* the namespaces */
        TR_TRY(want_members(m, err));
        TR_TRY(tr_merge_view_unit(m->view, unit, wanted, &m->arena, columns, err));
        m->namespaces = &columns[0];
        codes = columns[0].values.count;
    }
    for (uint32_t d = 0; d < m->definitions; d++) {
        m->counts[d].by_namespace =
            tr_arena_array(&m->arena, (size_t)codes + 1, sizeof *m->counts[d].by_namespace);
        if (m->counts[d].by_namespace == NULL)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code find_places(maker *m, tr_err *err)
{
    m->places = tr_arena_array(&m->arena, m->definitions, sizeof *m->places);
    if (m->places == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < m->definitions; i++) {
        const uint32_t d = m->evaluation->order[i];
        place *own = &m->places[m->place_count];
        if (!tr_evaluator_has(m->evaluation->evaluator, d))
            continue;
        own->definition = d;
        own->id = tr_str_of(id_of(m, d));
        TR_TRY(tr_membership_segment(m->writer, own->id, &own->segment, err));
        m->place_count++;
    }
    return TR_OK;
}

static tr_code turn_masks(maker *m, tr_err *err)
{
    const uint8_t **ordered = tr_arena_array(&m->arena, m->place_count, sizeof(uint8_t *));
    if (ordered == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < m->place_count; i++)
        ordered[i] = m->masks[m->places[i].definition];
    return tr_mask_rows_make(ordered, m->place_count, m->profiles, &m->arena, &m->rows, err);
}

static tr_code prepare(maker *m, tr_err *err)
{
    m->profiles = tr_merge_view_count(m->view);
    m->definitions = (uint32_t)json_array_size(m->evaluation->definitions);
    m->masks = tr_arena_array(&m->arena, m->definitions, sizeof *m->masks);
    m->times = tr_arena_array(&m->arena, m->definitions, sizeof *m->times);
    m->counts = tr_arena_array(&m->arena, m->definitions, sizeof *m->counts);
    m->before = tr_arena_array(&m->arena, m->definitions, sizeof *m->before);
    if (m->masks == NULL || m->times == NULL || m->counts == NULL || m->before == NULL)
        return no_memory(err);
    for (uint32_t d = 0; d < m->definitions; d++) {
        m->masks[d] = tr_arena_array(&m->arena, m->profiles, 1);
        if (m->masks[d] == NULL)
            return no_memory(err);
    }
    TR_TRY(tr_membership_writer_open(
        m->evaluation->now_us, tr_json_text(m->evaluation->json, "run", ""), &m->writer, err));
    TR_TRY(find_places(m, err));
    TR_TRY(tr_merge_view_keys(m->view, &m->keys, err));
    TR_TRY(tr_evaluate(m->evaluation->evaluator, m->view, m->masks, m->times, m->cancel, err));
    TR_TRY(turn_masks(m, err));
    TR_TRY(read_members(m, err));
    TR_TRY(read_namespaces(m, err));
    m->entries = tr_arena_array(&m->arena, m->entry_cap, sizeof *m->entries);
    m->ids = tr_arena_array(&m->arena, m->entry_cap, sizeof *m->ids);
    return m->entries == NULL || m->ids == NULL ? no_memory(err) : TR_OK;
}

/* ---- one profile */

/* Places come in order; only what is carried stands between them. */
static void add_entry(maker *m, tr_str id, uint32_t segment, tr_member member)
{
    uint32_t at = m->entry_count++;
    for (; at > 0 && tr_str_compare(m->ids[at - 1], id) > 0; at--) {
        m->entries[at] = m->entries[at - 1];
        m->ids[at] = m->ids[at - 1];
    }
    m->entries[at] = (tr_membership_entry){segment, member};
    m->ids[at] = id;
}

static void count_member(maker *m, uint32_t profile, uint32_t definition, tr_status status)
{
    counts *c = &m->counts[definition];
    c->by_status[status]++;
    if (status == TR_EXITED || m->namespaces == NULL)
        return;
    for (uint32_t e = m->namespaces->row_start[profile]; e < m->namespaces->row_start[profile + 1];
         e++)
        if (m->namespaces->codes[e] != 0)
            c->by_namespace[m->namespaces->codes[e]]++;
}

static void step_place(maker *m, uint32_t profile, uint32_t at)
{
    const place *own = &m->places[at];
    const bool matches = m->masks[own->definition][profile] != 0;
    const tr_member now = tr_member_step(m->before[at], matches, m->evaluation->has_three_states,
                                         m->evaluation->now_us);
    m->before[at] = (tr_member){0}; /* for the next profile */
    if (now.status == TR_STATUS_NONE)
        return;
    add_entry(m, own->id, own->segment, now);
    count_member(m, profile, own->definition, now.status);
}

static tr_code step_profile(maker *m, uint32_t profile, tr_err *err)
{
    tr_membership_walk walk;
    uint64_t *row = tr_mask_row(&m->rows, profile);
    m->entry_count = 0;
    tr_membership_begin(&walk, m->members, &m->leaves, profile);
    while (tr_membership_next(&walk)) {
        const uint32_t code = m->members[m->leaves.segment].codes[walk.at - 1];
        const uint32_t meaning = m->meaning[code];
        if (meaning < m->place_count) {
            m->before[meaning] = walk.member;
            row[meaning / 64] |= UINT64_C(1) << meaning % 64;
        } else if (meaning == ENTRY_CARRIED &&
                   !tr_member_is_over(&walk.member, m->evaluation->now_us)) {
            add_entry(m, walk.segment, m->carried[code], walk.member);
        }
    }
    for (uint32_t word = 0; word < m->rows.words; word++)
        for (uint64_t left = row[word]; left != 0; left &= left - 1)
            step_place(m, profile, word * 64 + (uint32_t)__builtin_ctzll(left));
    return tr_membership_add(m->writer, m->keys[profile], m->entries, m->entry_count, err);
}

/* ---- the part */

static json_t *namespaces_of(const maker *m, uint32_t definition)
{
    json_t *out = json_object();
    const counts *c = &m->counts[definition];
    for (uint32_t code = 1; m->namespaces != NULL && code <= m->namespaces->values.count; code++) {
        if (c->by_namespace[code] == 0)
            continue;
        const tr_str name = m->namespaces->values.strings[code - 1];
        const json_t *before = json_object_getn(out, (const char *)name.at, name.len);
        (void)json_object_setn_new(
            out, (const char *)name.at, name.len,
            json_integer(json_integer_value(before) + (json_int_t)c->by_namespace[code]));
    }
    return out;
}

static tr_code tell_counts(const maker *m, json_t *out, tr_err *err)
{
    for (uint32_t d = 0; d < m->definitions; d++) {
        const counts *c = &m->counts[d];
        if (!tr_evaluator_has(m->evaluation->evaluator, d))
            continue;
        json_t *shown = json_pack("{s:I, s:I, s:I, s:I, s:o}", "realized",
                                  (json_int_t)c->by_status[TR_REALIZED], "existing",
                                  (json_int_t)c->by_status[TR_EXISTING], "exited",
                                  (json_int_t)c->by_status[TR_EXITED], "us",
                                  (json_int_t)m->times[d], "namespaces", namespaces_of(m, d));
        if (json_object_set_new(out, id_of(m, d), shown) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code append(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

tr_code tr_evaluation_run(const tr_evaluation *evaluation, tr_merge_view *view, uint8_t bits,
                          const atomic_bool *cancel, tr_buf *file, tr_evaluated *out, tr_err *err)
{
    maker m = {.evaluation = evaluation, .cancel = cancel, .view = view};
    tr_evaluated part = {.segments = json_object()};
    tr_code code = part.segments == NULL ? no_memory(err) : prepare(&m, err);
    for (uint32_t p = 0; p < m.profiles && code == TR_OK; p++)
        code = step_profile(&m, p, err);
    if (code == TR_OK)
        code = tell_counts(&m, part.segments, err);
    if (code == TR_OK) {
        part.profiles = m.profiles;
        part.rows = tr_membership_writer_rows(m.writer);
        if (part.rows > 0)
            code = tr_membership_write(m.writer, bits, (tr_sink){append, file}, err);
    }
    tr_membership_writer_close(m.writer);
    tr_merge_view_want_identities(view, NULL);
    tr_arena_free(&m.arena);
    if (code == TR_OK)
        *out = part;
    else
        json_decref(part.segments);
    return code;
}
