/* SPDX-License-Identifier: Apache-2.0 */
/* type_json.c - a row type as JSON: {"k":"object","n":"person","c":[...]}. */
#include "export/export_internal.h"

#include "base/limits.h"

static const char *const kinds[] = {"boolean",   "int", "long",   "number", "string", "date",
                                    "timestamp", "key", "object", "array",  "map"};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

json_t *tr_type_to_json(const tr_type *type)
{
    json_t *json = json_pack("{s:s}", "k", kinds[type->kind]);
    if (json == NULL || json_object_set_new(json, "n", tr_json_str(type->name)) != 0) {
        json_decref(json);
        return NULL;
    }
    if (type->child_count == 0)
        return json;
    json_t *children = json_array();
    bool is_good = json_object_set_new(json, "c", children) == 0;
    for (uint32_t i = 0; i < type->child_count && is_good; i++)
        is_good = json_array_append_new(children, tr_type_to_json(type->children[i])) == 0;
    if (is_good)
        return json;
    json_decref(json);
    return NULL;
}

static tr_code read(const json_t *json, tr_arena *arena, uint32_t depth, tr_type **out, tr_err *err)
{
    const char *kind = tr_json_text(json, "k", "");
    const json_t *children = json_object_get(json, "c");
    size_t at = 0;
    while (at < KIND_COUNT && strcmp(kind, kinds[at]) != 0)
        at++;
    if (at == KIND_COUNT || depth > 4 * TR_SCHEMA_DEPTH_MAX)
        return TR_FAIL(err, TR_CORRUPT, "the plan's row type cannot be read");
    tr_type *type = tr_type_make(arena, (tr_kind)at, tr_str_of(tr_json_text(json, "n", "")));
    for (size_t i = 0; type != NULL && i < json_array_size(children); i++) {
        tr_type *child = NULL;
        TR_TRY(read(json_array_get(children, i), arena, depth + 1, &child, err));
        if (!tr_type_add(arena, type, child))
            type = NULL;
    }
    if (type == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the plan's row type");
    *out = type;
    return TR_OK;
}

tr_code tr_type_of_json(const json_t *json, tr_arena *arena, tr_type **out, tr_err *err)
{
    return read(json, arena, 0, out, err);
}
