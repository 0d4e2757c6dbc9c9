/* SPDX-License-Identifier: Apache-2.0 */
/* evaluate.c - expressions of many definitions as one program, run over merged columns; see
 * evaluate.h.
 *
 * A definition stands in the program behind those that it names by inSegment, so that these are
 * evaluated first. Profiles that opted out are found by an expression like any other.
 */
#include "segment/evaluate.h"
#include "segment/segment_internal.h"

#include "pql/program.h"

/* Where profiles say that they opted out: at the root, or as the standard field group has it. */
#define IS_OUT ".exists(optOutType = \"general_opt_out\" and optOutValue = \"out\")"
#define AT_ROOT "privacyOptOuts" IS_OUT
#define IN_CONSENT "optOutConsentLevel.privacyOptOuts" IS_OUT
static const char *const opted_out[] = {AT_ROOT " or " IN_CONSENT, IN_CONSENT, AT_ROOT};

#define EVENTS "timeSeriesEvents" /* the profile's own array of them */

typedef struct entry {
    tr_expression expression;
    uint32_t place; /* in the program; UINT32_MAX: not there */
    bool is_bad, excludes_opted_out;
} entry;

struct tr_evaluator {
    tr_catalog *catalog;
    const tr_xdm_schema *schema;
    tr_arena arena;
    tr_pql_program *program;
    entry *entries;
    uint32_t count;
    uint32_t opted_out; /* place in the program; UINT32_MAX: the schema has no such field */
    int64_t now_us;
    bool *wanted; /* per leaf */
    bool reads_events;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate segments");
}

/* ---- opening */

static tr_code report(json_t *problems, const json_t *definition, const tr_err *why, tr_err *err)
{
    char text[600];
    (void)snprintf(text, sizeof text, "segment \"%.60s\": %s", tr_json_text(definition, "id", ""),
                   why->text);
    return json_array_append_new(problems, json_pack("{s:s, s:s, s:s, s:s}", "code", "0100000003",
                                                     "msg", text, "callStack", "", "segmentId",
                                                     tr_json_text(definition, "id", ""))) == 0
               ? TR_OK
               : no_memory(err);
}

static tr_code read_one(tr_evaluator *e, const json_t *definition, entry *out, json_t *problems,
                        tr_err *err)
{
    tr_err why = {0};
    tr_code code = tr_expression_read(json_object_get(definition, "expression"), &e->arena,
                                      &out->expression, &why);
    if (code == TR_OK)
        code = tr_expression_check(&out->expression, e->schema, &e->arena, &why);
    if (code != TR_OK && code != TR_INVALID)
        return TR_FAIL(err, code, "%s", why.text);
    const json_t *governance = json_object_get(definition, "dataGovernancePolicy");
    out->place = UINT32_MAX;
    out->is_bad = code != TR_OK;
    out->excludes_opted_out = tr_json_bool(governance, "excludeOptOut", true);
    return code == TR_OK ? TR_OK : report(problems, definition, &why, err);
}

static uint32_t find_definition(const json_t *definitions, const char *id)
{
    for (size_t i = 0; i < json_array_size(definitions); i++)
        if (strcmp(tr_json_text(json_array_get(definitions, i), "id", ""), id) == 0)
            return (uint32_t)i;
    return UINT32_MAX;
}

/* Adds what a definition names before it. There are no circles: definitions are checked for them.
 * */
static tr_code add_one(tr_evaluator *e, const json_t *definitions, uint32_t i, uint32_t depth,
                       tr_err *err)
{
    entry *own = &e->entries[i];
    const json_t *definition = json_array_get(definitions, i);
    const json_t *uses = json_object_get(json_object_get(definition, "_"), "uses");
    if (own->is_bad || own->place != UINT32_MAX)
        return TR_OK;
    for (size_t u = 0; u < json_array_size(uses) && depth < TR_SEGMENT_DEPTH_MAX; u++) {
        const uint32_t other =
            find_definition(definitions, json_string_value(json_array_get(uses, u)));
        if (other != UINT32_MAX)
            TR_TRY(add_one(e, definitions, other, depth + 1, err));
    }
    if (own->place != UINT32_MAX)
        return TR_OK;
    own->place = tr_pql_program_count(e->program);
    return tr_pql_program_add(e->program, tr_str_of(tr_json_text(definition, "id", "")),
                              own->expression.root, err);
}

static tr_code add_opted_out(tr_evaluator *e, tr_err *err)
{
    const tr_pql_schema schema = {.profile = e->schema->shape.root};
    tr_pql_node *root = NULL;
    tr_code code = TR_INVALID;
    e->opted_out = UINT32_MAX;
    for (size_t i = 0; i < sizeof opted_out / sizeof opted_out[0] && code == TR_INVALID; i++) {
        TR_TRY(tr_pql_parse(tr_str_of(opted_out[i]), &e->arena, &root, err));
        code = tr_pql_check(root, &schema, &e->arena, NULL);
    }
    if (code == TR_INVALID)
        return TR_OK; /* no data set of this sandbox knows of opting out */
    if (code != TR_OK)
        return TR_FAIL(err, code, "cannot look for profiles that opted out");
    e->opted_out = tr_pql_program_count(e->program);
    return tr_pql_program_add(e->program, (tr_str){0}, root, err);
}

static tr_code open_program(tr_evaluator *e, const json_t *definitions, json_t *problems,
                            tr_err *err)
{
    const tr_shape *shape = &e->schema->shape;
    bool may_opt_out = false;
    e->entries = tr_arena_array(&e->arena, e->count, sizeof *e->entries);
    e->wanted = tr_arena_array(&e->arena, shape->leaf_count, sizeof *e->wanted);
    if (e->entries == NULL || e->wanted == NULL)
        return no_memory(err);
    TR_TRY(tr_pql_program_open(shape, NULL, &e->program, err));
    for (uint32_t i = 0; i < e->count; i++)
        TR_TRY(read_one(e, json_array_get(definitions, i), &e->entries[i], problems, err));
    for (uint32_t i = 0; i < e->count; i++) {
        TR_TRY(add_one(e, definitions, i, 0, err));
        may_opt_out = may_opt_out || e->entries[i].excludes_opted_out;
    }
    if (may_opt_out)
        TR_TRY(add_opted_out(e, err));
    else
        e->opted_out = UINT32_MAX;
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++) {
        e->wanted[leaf] = tr_pql_program_reads(e->program, TR_PQL_PROFILES, leaf);
        if (e->wanted[leaf] && tr_str_is(shape->units[shape->leaves[leaf].unit].path, EVENTS))
            e->reads_events = true;
    }
    return TR_OK;
}

tr_code tr_evaluator_open(tr_catalog *catalog, const tr_tenant *tenant, const json_t *definitions,
                          int64_t now_us, json_t *problems, tr_evaluator **out, tr_err *err)
{
    tr_evaluator *e = tr_alloc_zeroed(1, sizeof *e);
    if (e == NULL)
        return no_memory(err);
    e->catalog = catalog;
    e->now_us = now_us;
    e->count = (uint32_t)json_array_size(definitions);
    tr_code code =
        tr_catalog_schema_open(catalog, tenant, tr_str_of(TR_XDM_PROFILE_UNION), &e->schema, err);
    if (code == TR_OK)
        code = open_program(e, definitions, problems, err);
    if (code == TR_OK)
        *out = e;
    else
        tr_evaluator_close(e);
    return code;
}

void tr_evaluator_close(tr_evaluator *e)
{
    if (e == NULL)
        return;
    tr_pql_program_close(e->program);
    if (e->schema != NULL)
        tr_catalog_schema_close(e->catalog, e->schema);
    tr_arena_free(&e->arena);
    tr_free(e);
}

const tr_shape *tr_evaluator_probe(const tr_evaluator *e)
{
    return &e->schema->shape;
}

bool tr_evaluator_reads_events(const tr_evaluator *e)
{
    return e->reads_events;
}

bool tr_evaluator_has(const tr_evaluator *e, uint32_t definition)
{
    return e->entries[definition].place != UINT32_MAX;
}

/* ---- running */

typedef struct reading {
    const tr_evaluator *evaluator;
    tr_merge_view *view;
    tr_arena arena;
    tr_column **columns; /* per unit, once it was gathered */
} reading;

/* No value and no entry in any row. */
static bool is_absent(const tr_column *column)
{
    if (column->values.count > 0)
        return false;
    for (uint32_t e = 0; column->def != NULL && e < column->entries; e++)
        if (column->def[e] > 0)
            return false;
    return true;
}

static tr_code read_column(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                           tr_err *err)
{
    reading *r = ctx;
    const tr_shape *shape = &r->evaluator->schema->shape;
    const uint32_t at = shape->leaves[leaf].unit;
    const tr_unit *unit = &shape->units[at];
    (void)table; /* events are part of the profile */
    if (r->columns[at] == NULL) {
        tr_column *columns = tr_arena_array(&r->arena, unit->leaf_count, sizeof *columns);
        if (columns == NULL)
            return no_memory(err);
        TR_TRY(tr_merge_view_unit(r->view, at, r->evaluator->wanted, &r->arena, columns, err));
        r->columns[at] = columns;
    }
    const tr_column *column = &r->columns[at][leaf - unit->first_leaf];
    *out = is_absent(column) ? NULL : column;
    return TR_OK;
}

/* The caller's rows for its definitions, others in the arena. */
static tr_code lay_out_masks(const tr_evaluator *e, uint8_t *const *masks, uint32_t profiles,
                             tr_arena *arena, uint8_t ***out, tr_err *err)
{
    uint8_t **placed = tr_arena_array(arena, tr_pql_program_count(e->program), sizeof *placed);
    if (placed == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < e->count; i++)
        if (e->entries[i].place != UINT32_MAX)
            placed[e->entries[i].place] = masks[i];
    if (e->opted_out != UINT32_MAX) {
        placed[e->opted_out] = tr_arena_array(arena, profiles, 1);
        if (placed[e->opted_out] == NULL)
            return no_memory(err);
    }
    *out = placed;
    return TR_OK;
}

static void drop_opted_out(const tr_evaluator *e, uint8_t *const *masks, const uint8_t *is_out,
                           uint32_t profiles)
{
    for (uint32_t i = 0; i < e->count; i++)
        if (e->entries[i].place != UINT32_MAX && e->entries[i].excludes_opted_out)
            for (uint32_t p = 0; p < profiles; p++)
                masks[i][p] &= (uint8_t)!is_out[p];
}

tr_code tr_evaluate(const tr_evaluator *e, tr_merge_view *view, uint8_t *const *masks,
                    int64_t *times, const atomic_bool *cancel, tr_err *err)
{
    const uint32_t profiles = tr_merge_view_count(view);
    reading r = {.evaluator = e, .view = view};
    tr_pql_run *run = NULL;
    uint8_t **placed = NULL;
    r.columns = tr_arena_array(&r.arena, e->schema->shape.unit_count, sizeof *r.columns);
    tr_code code = r.columns == NULL ? no_memory(err)
                                     : lay_out_masks(e, masks, profiles, &r.arena, &placed, err);
    if (code == TR_OK)
        code = tr_pql_run_open(e->program, e->now_us, &run, err);
    const tr_pql_input input = {
        .profiles = profiles, .column = read_column, .ctx = &r, .cancel = cancel};
    if (code == TR_OK)
        code = tr_pql_run_masks(run, &input, placed, err);
    if (code == TR_OK && e->opted_out != UINT32_MAX)
        drop_opted_out(e, masks, placed[e->opted_out], profiles);
    for (uint32_t i = 0; code == TR_OK && times != NULL && i < e->count; i++)
        if (e->entries[i].place != UINT32_MAX)
            times[i] += tr_pql_run_time_us(run, e->entries[i].place);
    tr_pql_run_close(run);
    tr_arena_free(&r.arena);
    return code;
}
