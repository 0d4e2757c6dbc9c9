/* SPDX-License-Identifier: Apache-2.0 */
/* eval_source.c - columns as vectors.
 *
 * An array's elements are found in the levels of any leaf below it (column.h). With `here` the
 * level at which the array itself is present, and r its own repetition level:
 *
 *     rep < r    another instance of what the array stands in; def >= here: it has the array
 *     rep <= r   and def > here: another element
 *
 * Instances are numbered in the order of the entries, so the elements of one array follow each
 * other, and an array is a span of numbers. A leaf with no array between has exactly one entry for
 * each instance.
 */
#include "pql/eval_internal.h"

static bool is_repeated(const tr_type *type)
{
    return type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
}

/* The array or map that a type stands in; NULL: none. */
static const tr_type *owner_of(const tr_type *type)
{
    for (type = type->parent; type != NULL; type = type->parent)
        if (is_repeated(type))
            return type;
    return NULL;
}

/* The definition level, from the unit, at which a type in a unit is present. */
static uint32_t level_of(const tr_type *type)
{
    uint32_t level = 1;
    for (; owner_of(type) != NULL; type = type->parent)
        level += is_repeated(type->parent) ? 2 : 1;
    return level;
}

static uint32_t repetition_of(const tr_type *type)
{
    uint32_t level = 0;
    for (; type != NULL; type = type->parent)
        level += is_repeated(type);
    return level;
}

static tr_pql_columns *table_of(tr_pql_run *run, bool is_event)
{
    return &run->tables[is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES];
}

tr_code tr_pql_open_tables(tr_pql_run *run)
{
    for (int t = 0; t < TR_PQL_TABLES; t++) {
        const tr_shape *shape = run->program->shapes[t];
        tr_pql_columns *table = &run->tables[t];
        if (shape == NULL)
            continue;
        const uint32_t leaves = shape->leaf_count, types = shape->type_count;
        *table =
            (tr_pql_columns){.columns = tr_arena_array(&run->arena, leaves, sizeof(tr_column *)),
                             .is_asked = tr_arena_array(&run->arena, leaves, sizeof(bool)),
                             .leaves = tr_arena_array(&run->arena, leaves, sizeof(tr_pql_vec *)),
                             .sources = tr_arena_array(&run->arena, types, sizeof(tr_pql_source *)),
                             .lists = tr_arena_array(&run->arena, types, sizeof(tr_pql_vec *)),
                             .objects = tr_arena_array(&run->arena, types, sizeof(tr_pql_vec *))};
        tr_pql_source *rows = tr_arena_array(&run->arena, 1, sizeof *rows);
        if (table->columns == NULL || table->is_asked == NULL || table->leaves == NULL ||
            table->sources == NULL || table->lists == NULL || table->objects == NULL ||
            rows == NULL)
            return tr_pql_out_of_memory(run);
        const uint32_t profiles = run->input->profiles;
        const uint32_t *start = run->input->event_start;
        *rows = (tr_pql_source){.is_event = t == TR_PQL_EVENTS,
                                .count = t == TR_PQL_PROFILES ? profiles
                                         : start == NULL      ? 0
                                                              : start[profiles]};
        table->sources[shape->root->id] = rows;
    }
    return TR_OK;
}

static tr_code column_of(tr_pql_run *run, bool is_event, uint32_t leaf, const tr_column **out)
{
    tr_pql_columns *table = table_of(run, is_event);
    const uint32_t rows =
        table->sources[run->program->shapes[is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES]->root->id]
            ->count;
    if (!table->is_asked[leaf]) {
        TR_TRY(run->input->column(run->input->ctx, is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES, leaf,
                                  &table->columns[leaf], run->err));
        table->is_asked[leaf] = true;
        if (table->columns[leaf] != NULL && table->columns[leaf]->rows != rows)
            return TR_FAIL(run->err, TR_CORRUPT, "a column has %u rows, expected %u",
                           table->columns[leaf]->rows, rows);
    }
    *out = table->columns[leaf];
    return TR_OK;
}

/* Any column below a type: they agree on its levels. NULL: nothing has a value. */
static tr_code levels_of(tr_pql_run *run, bool is_event, const tr_type *type, const tr_column **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < type->leaf_count && *out == NULL; i++)
        TR_TRY(column_of(run, is_event, type->first_leaf + i, out));
    return TR_OK;
}

/* ---- arrays and maps */

static tr_code contradiction(const tr_pql_run *run, const tr_type *type)
{
    return TR_FAIL(run->err, TR_CORRUPT, "the columns of \"%.*s\" contradict each other",
                   TR_STR_ARG(type->name));
}

/* Where the instances of `outer` (NULL: rows) have their elements of the array. */
static tr_code find_elements(const tr_pql_run *run, const tr_type *array, const tr_column *column,
                             uint32_t instances, tr_pql_base *lists, uint32_t *count)
{
    const uint32_t here = level_of(array), r = repetition_of(array);
    const tr_type *outer = owner_of(array);
    const uint32_t outside = outer == NULL ? 0 : level_of(outer) + 1;
    uint32_t instance = 0, elements = 0;
    for (uint32_t e = 0; e < column->entries; e++) {
        if (column->rep[e] < r && column->def[e] >= outside) {
            if (instance == instances)
                return contradiction(run, array);
            lists->start[instance] = column->def[e] >= here ? elements : TR_PQL_NO_ROW;
            lists->end[instance++] = elements;
        }
        if (column->rep[e] <= r && column->def[e] > here) {
            if (instance == 0)
                return contradiction(run, array);
            lists->end[instance - 1] = ++elements;
        }
    }
    *count = elements;
    return instance == instances ? TR_OK : contradiction(run, array);
}

static tr_code source_of(tr_pql_run *run, bool is_event, const tr_type *owner,
                         const tr_pql_source **out);
static tr_code value_of(tr_pql_run *run, bool is_event, const tr_type *xdm, const tr_pql_vec **out);

static tr_code key_column(tr_pql_run *run, bool is_event, const tr_type *map,
                          const tr_pql_vec **out);

static tr_code list_of(tr_pql_run *run, bool is_event, const tr_type *array, const tr_pql_vec **out)
{
    tr_pql_columns *table = table_of(run, is_event);
    const tr_column *column;
    const tr_pql_source *outer;
    tr_pql_base *lists;
    if (table->lists[array->id] != NULL) {
        *out = table->lists[array->id];
        return TR_OK;
    }
    tr_pql_source *elements = tr_arena_array(&run->arena, 1, sizeof *elements);
    if (elements == NULL)
        return tr_pql_out_of_memory(run);
    *elements = (tr_pql_source){.is_event = is_event, .owner = array};
    TR_TRY(source_of(run, is_event, owner_of(array), &outer));
    TR_TRY(levels_of(run, is_event, array, &column));
    TR_TRY(tr_pql_base_make(&run->arena,
                            array->kind == TR_KIND_MAP ? TR_PQL_VEC_MAP : TR_PQL_VEC_LIST,
                            outer->count + 1, &lists, run->err));
    lists->null_row = outer->count;
    lists->start[outer->count] = TR_PQL_NO_ROW;
    if (column != NULL)
        TR_TRY(find_elements(run, array, column, outer->count, lists, &elements->count));
    else
        memset(lists->start, 0xff, (size_t)outer->count * sizeof *lists->start);
    table->sources[array->id] = elements;
    TR_TRY(value_of(run, is_event, array->children[0], &lists->items));
    if (array->kind == TR_KIND_MAP)
        TR_TRY(key_column(run, is_event, array, &lists->keys));
    table->lists[array->id] = tr_pql_vec_make(&run->arena, lists);
    if (table->lists[array->id] == NULL)
        return tr_pql_out_of_memory(run);
    *out = table->lists[array->id];
    return TR_OK;
}

static tr_code source_of(tr_pql_run *run, bool is_event, const tr_type *owner,
                         const tr_pql_source **out)
{
    tr_pql_columns *table = table_of(run, is_event);
    const tr_shape *shape = run->program->shapes[is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES];
    const tr_pql_vec *unused;
    const uint32_t id = owner == NULL ? shape->root->id : owner->id;
    if (table->sources[id] == NULL)
        TR_TRY(list_of(run, is_event, owner, &unused));
    *out = table->sources[id];
    return TR_OK;
}

/* ---- leaves */

static void copy_words(const tr_column *column, tr_kind kind, tr_pql_base *base)
{
    const tr_values *values = &column->values;
    base->valid[0] = TR_PQL_NO_VALUE;
    memset(base->valid + 1, TR_PQL_VALUE, values->count);
    base->ints[0] = 0;
    if (kind == TR_KIND_TIMESTAMP)
        for (uint32_t i = 0; i < values->count; i++)
            base->ints[i + 1] = tr_pql_us_to_ms((int64_t)values->words[i]);
    else if (kind == TR_KIND_DATE)
        for (uint32_t i = 0; i < values->count; i++)
            base->ints[i + 1] = (int64_t)values->words[i] * 86400000;
    else if (values->count > 0)
        memcpy(base->ints + 1, values->words, values->count * sizeof *base->ints);
}

/* A column's table with null in front: row numbers are codes. */
static tr_code table_base(tr_pql_run *run, const tr_column *column, tr_kind kind, tr_pql_base **out)
{
    static const tr_pql_vec_kind kinds[] = {
        [TR_KIND_BOOLEAN] = TR_PQL_VEC_BOOL,  [TR_KIND_INT32] = TR_PQL_VEC_INT,
        [TR_KIND_INT64] = TR_PQL_VEC_INT,     [TR_KIND_DOUBLE] = TR_PQL_VEC_NUM,
        [TR_KIND_STRING] = TR_PQL_VEC_STRING, [TR_KIND_DATE] = TR_PQL_VEC_TIME,
        [TR_KIND_TIMESTAMP] = TR_PQL_VEC_TIME};
    const tr_values *values = &column->values;
    if (values->count == UINT32_MAX)
        return TR_FAIL(run->err, TR_LIMIT, "a column has too many values");
    TR_TRY(tr_pql_base_make(&run->arena, kinds[kind], values->count + 1, out, run->err));
    tr_pql_base *base = *out;
    base->null_row = 0;
    if (kind == TR_KIND_STRING) {
        base->is_distinct = values->is_distinct;
        base->strings[0] = (tr_str){0};
        for (uint32_t i = 0; i < values->count; i++)
            base->strings[i + 1] = values->strings[i].at != NULL ? values->strings[i]
                                                                 : (tr_str){(const uint8_t *)"", 0};
        return TR_OK;
    }
    if (kind != TR_KIND_BOOLEAN) {
        copy_words(column, kind, base);
        return TR_OK;
    }
    base->bools[0] = TR_PQL_UNKNOWN;
    for (uint32_t i = 0; i < values->count; i++)
        base->bools[i + 1] = values->words[i] != 0;
    return TR_OK;
}

/* The entries that are instances of the source, in order; NULL: all of them. */
static tr_code entry_codes(tr_pql_run *run, const tr_type *owner, const tr_column *column,
                           uint32_t instances, const uint32_t **out)
{
    const uint32_t limit = owner == NULL ? 0 : level_of(owner) + 1;
    uint32_t count = 0;
    *out = column->codes;
    if (owner == NULL || column->def == NULL)
        return column->entries == instances
                   ? TR_OK
                   : TR_FAIL(run->err, TR_CORRUPT, "a column is too short");
    for (uint32_t e = 0; e < column->entries; e++)
        count += column->def[e] >= limit;
    if (count != instances)
        return contradiction(run, owner);
    if (count == column->entries)
        return TR_OK;
    uint32_t *codes = tr_arena_alloc(&run->arena, ((size_t)count + 1) * sizeof *codes);
    if (codes == NULL)
        return tr_pql_out_of_memory(run);
    count = 0;
    for (uint32_t e = 0; e < column->entries; e++) {
        codes[count] = column->codes[e]; /* there is room for one too many */
        count += column->def[e] >= limit;
    }
    *out = codes;
    return TR_OK;
}

static tr_code leaf_of(tr_pql_run *run, bool is_event, uint32_t leaf, const tr_type *owner,
                       tr_kind kind, const tr_pql_vec **out)
{
    tr_pql_columns *table = table_of(run, is_event);
    const tr_pql_source *source;
    const tr_column *column;
    tr_pql_base *base;
    tr_pql_vec *vec;
    if (table->leaves[leaf] != NULL) {
        *out = table->leaves[leaf];
        return TR_OK;
    }
    TR_TRY(source_of(run, is_event, owner, &source));
    TR_TRY(column_of(run, is_event, leaf, &column));
    if (column == NULL) {
        TR_TRY(tr_pql_vec_null(&run->arena, source->count, &vec, run->err));
    } else {
        TR_TRY(table_base(run, column, kind, &base));
        vec = tr_pql_vec_make(&run->arena, base);
        if (vec == NULL)
            return tr_pql_out_of_memory(run);
        vec->count = source->count;
        TR_TRY(entry_codes(run, owner, column, source->count, &vec->index));
    }
    table->leaves[leaf] = vec;
    *out = vec;
    return TR_OK;
}

static tr_code key_column(tr_pql_run *run, bool is_event, const tr_type *map,
                          const tr_pql_vec **out)
{
    return leaf_of(run, is_event, map->first_leaf, map, TR_KIND_STRING, out);
}

/* ---- objects */

/* Above units an object is there when something in it is; in a unit the levels tell. */
static tr_code mark_rows(tr_pql_run *run, bool is_event, const tr_type *type, uint32_t rows,
                         uint8_t *present)
{
    const tr_column *column;
    if (type->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < type->child_count; i++)
            TR_TRY(mark_rows(run, is_event, type->children[i], rows, present));
        return TR_OK;
    }
    TR_TRY(levels_of(run, is_event, type, &column));
    if (column == NULL)
        return TR_OK;
    for (uint32_t row = 0; row < rows; row++)
        present[row] |= column->row_start == NULL ? column->codes[row] != 0
                                                  : column->def[column->row_start[row]] != 0;
    return TR_OK;
}

static tr_code mark_instances(tr_pql_run *run, bool is_event, const tr_type *type,
                              const tr_type *owner, uint32_t instances, uint8_t *present)
{
    const uint32_t limit = level_of(owner) + 1, here = level_of(type), r = repetition_of(owner);
    const tr_column *column;
    uint32_t at = 0;
    TR_TRY(levels_of(run, is_event, type, &column));
    for (uint32_t e = 0; column != NULL && e < column->entries; e++)
        if (column->rep[e] <= r && column->def[e] >= limit) {
            if (at == instances)
                return contradiction(run, type);
            present[at++] = column->def[e] >= here;
        }
    return TR_OK;
}

static tr_code object_of(tr_pql_run *run, bool is_event, const tr_type *type,
                         const tr_pql_vec **out)
{
    tr_pql_columns *table = table_of(run, is_event);
    const tr_type *owner = owner_of(type);
    const tr_pql_source *source;
    tr_pql_base *base;
    if (table->objects[type->id] != NULL) {
        *out = table->objects[type->id];
        return TR_OK;
    }
    TR_TRY(source_of(run, is_event, owner, &source));
    TR_TRY(tr_pql_base_make(&run->arena, TR_PQL_VEC_REF, source->count, &base, run->err));
    base->null_row = source->count;
    base->source = source;
    base->object = type;
    if (type->parent != NULL) {
        base->valid = tr_arena_array(&run->arena, (size_t)source->count + 1, 1);
        if (base->valid == NULL)
            return tr_pql_out_of_memory(run);
        TR_TRY(owner == NULL
                   ? mark_rows(run, is_event, type, source->count, base->valid)
                   : mark_instances(run, is_event, type, owner, source->count, base->valid));
    }
    table->objects[type->id] = tr_pql_vec_make(&run->arena, base);
    if (table->objects[type->id] == NULL)
        return tr_pql_out_of_memory(run);
    *out = table->objects[type->id];
    return TR_OK;
}

static tr_code value_of(tr_pql_run *run, bool is_event, const tr_type *xdm, const tr_pql_vec **out)
{
    if (is_repeated(xdm))
        return list_of(run, is_event, xdm, out);
    if (xdm->kind == TR_KIND_OBJECT)
        return object_of(run, is_event, xdm, out);
    return leaf_of(run, is_event, xdm->first_leaf, owner_of(xdm), xdm->kind, out);
}

tr_code tr_pql_member(tr_pql_run *run, bool is_event, const tr_type *xdm, const tr_pql_vec **out)
{
    return value_of(run, is_event, xdm, out);
}

tr_code tr_pql_row_objects(tr_pql_run *run, bool is_event, const tr_pql_vec **out)
{
    return object_of(run, is_event,
                     run->program->shapes[is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES]->root, out);
}

tr_code tr_pql_event_lists(tr_pql_run *run, const tr_pql_vec **out)
{
    const uint32_t profiles = run->input->profiles, *start = run->input->event_start;
    tr_pql_base *lists;
    TR_TRY(tr_pql_base_make(&run->arena, TR_PQL_VEC_LIST, profiles, &lists, run->err));
    for (uint32_t p = 0; p < profiles; p++) {
        lists->start[p] = start == NULL ? 0 : start[p];
        lists->end[p] = start == NULL ? 0 : start[p + 1];
    }
    TR_TRY(tr_pql_row_objects(run, true, &lists->items));
    *out = tr_pql_vec_make(&run->arena, lists);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}

tr_code tr_pql_through(tr_pql_run *run, const tr_pql_vec *of, const tr_pql_vec *vec,
                       tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_vec *null;
    const uint32_t instances = of->base->kind == TR_PQL_VEC_REF ? of->base->source->count : 0;
    if (of->base->kind != TR_PQL_VEC_REF) {
        TR_TRY(tr_pql_vec_null(arena, of->count, &null, run->err));
        *out = null;
        return TR_OK;
    }
    if (of->index == NULL && !of->is_constant) {
        *out = vec;
        return TR_OK;
    }
    tr_pql_vec *seen = tr_pql_vec_make(arena, vec->base);
    uint32_t *index = NULL;
    if (seen == NULL)
        return tr_pql_out_of_memory(run);
    seen->count = of->count;
    *out = seen;
    if (vec->is_constant && vec->base->null_row == 0) {
        seen->is_constant = true;
        return TR_OK;
    }
    if (vec->index == NULL && vec->base->null_row == instances && !of->is_constant) {
        seen->index = of->index;
        return TR_OK;
    }
    index = tr_arena_alloc(arena, (size_t)of->count * sizeof *index + 1);
    if (index == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t row = 0; row < of->count; row++) {
        const uint32_t instance = tr_pql_at(of, row);
        index[row] = instance >= instances ? vec->base->null_row : tr_pql_at(vec, instance);
    }
    seen->index = index;
    return TR_OK;
}
