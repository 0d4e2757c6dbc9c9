/* SPDX-License-Identifier: Apache-2.0 */
/* types.c - see types.h. */
#include "pql/types.h"

#include <stdio.h>

const tr_pql_type tr_pql_plain_types[TR_PQL_IS_INTERVAL + 1] = {
    [TR_PQL_IS_ANY] = {.kind = TR_PQL_IS_ANY},
    [TR_PQL_IS_NULL_TYPE] = {.kind = TR_PQL_IS_NULL_TYPE},
    [TR_PQL_IS_BOOLEAN] = {.kind = TR_PQL_IS_BOOLEAN},
    [TR_PQL_IS_INTEGER] = {.kind = TR_PQL_IS_INTEGER},
    [TR_PQL_IS_NUMBER] = {.kind = TR_PQL_IS_NUMBER},
    [TR_PQL_IS_STRING] = {.kind = TR_PQL_IS_STRING},
    [TR_PQL_IS_TIMESTAMP] = {.kind = TR_PQL_IS_TIMESTAMP},
    [TR_PQL_IS_DATE] = {.kind = TR_PQL_IS_DATE},
    [TR_PQL_IS_INTERVAL] = {.kind = TR_PQL_IS_INTERVAL}};

bool tr_pql_is_numeric(const tr_pql_type *type)
{
    return type->kind == TR_PQL_IS_INTEGER || type->kind == TR_PQL_IS_NUMBER;
}

bool tr_pql_is_instant(const tr_pql_type *type)
{
    return type->kind == TR_PQL_IS_TIMESTAMP || type->kind == TR_PQL_IS_DATE;
}

bool tr_pql_is_time(const tr_pql_type *type)
{
    return tr_pql_is_instant(type) || type->kind == TR_PQL_IS_INTERVAL;
}

bool tr_pql_is_scalar(const tr_pql_type *type)
{
    return type->kind <= TR_PQL_IS_INTERVAL;
}

bool tr_pql_is_open(const tr_pql_type *type)
{
    return type->kind == TR_PQL_IS_ANY || type->kind == TR_PQL_IS_NULL_TYPE;
}

const tr_pql_type *tr_pql_scalar_of(const tr_pql_type *type)
{
    while (type->kind == TR_PQL_IS_ARRAY)
        type = type->item;
    return type;
}

bool tr_pql_are_comparable(const tr_pql_type *a, const tr_pql_type *b)
{
    if (tr_pql_is_open(a) || tr_pql_is_open(b))
        return true;
    if (a->kind == TR_PQL_IS_ARRAY && b->kind == TR_PQL_IS_ARRAY)
        return tr_pql_are_comparable(a->item, b->item);
    if (a->kind == TR_PQL_IS_MAP && b->kind == TR_PQL_IS_MAP)
        return tr_pql_are_comparable(a->item, b->item);
    if (tr_pql_is_numeric(a) && tr_pql_is_numeric(b))
        return true;
    if (tr_pql_is_time(a) && tr_pql_is_time(b))
        return true;
    return a->kind == b->kind && a->kind <= TR_PQL_IS_OBJECT;
}

const tr_pql_type *tr_pql_array_of(const tr_pql_type *item, tr_arena *arena)
{
    tr_pql_type *type = tr_arena_array(arena, 1, sizeof *type);
    if (type != NULL)
        *type = (tr_pql_type){.kind = TR_PQL_IS_ARRAY, .item = item};
    return type;
}

static bool have_same_fields(const tr_pql_node *a, const tr_pql_node *b, tr_arena *arena)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!tr_str_equal(a->names[i], b->names[i]) ||
            tr_pql_unite_types(a->items[i]->type, b->items[i]->type, arena) != a->items[i]->type)
            return false;
    return true;
}

const tr_pql_type *tr_pql_unite_types(const tr_pql_type *a, const tr_pql_type *b, tr_arena *arena)
{
    if (a == b || tr_pql_is_open(b))
        return a->kind == TR_PQL_IS_NULL_TYPE ? b : a;
    if (tr_pql_is_open(a))
        return a->kind == TR_PQL_IS_ANY ? a : b;
    if (tr_pql_is_numeric(a) && tr_pql_is_numeric(b))
        return a->kind == TR_PQL_IS_NUMBER ? a : b;
    if (tr_pql_is_time(a) && tr_pql_is_time(b)) {
        if (a->kind == b->kind)
            return a;
        return a->kind == TR_PQL_IS_INTERVAL || b->kind == TR_PQL_IS_INTERVAL
                   ? TR_PQL_PLAIN(INTERVAL)
                   : TR_PQL_PLAIN(TIMESTAMP);
    }
    if (a->kind != b->kind)
        return NULL;
    if (tr_pql_is_scalar(a))
        return a;
    if (a->kind == TR_PQL_IS_OBJECT)
        return a->xdm == b->xdm ? a : NULL;
    if (a->kind == TR_PQL_IS_STRUCT)
        return have_same_fields(a->node, b->node, arena) ? a : NULL;
    if (a->item == NULL || b->item == NULL)
        return NULL;
    const tr_pql_type *item = tr_pql_unite_types(a->item, b->item, arena);
    if (item == NULL || item == a->item)
        return item == NULL ? NULL : a;
    if (item == b->item)
        return b;
    return a->kind == TR_PQL_IS_ARRAY ? tr_pql_array_of(item, arena) : NULL;
}

const char *tr_pql_type_text(const tr_pql_type *type, char *out, size_t size)
{
    static const char *const names[] = {[TR_PQL_IS_ANY] = "any",
                                        [TR_PQL_IS_NULL_TYPE] = "null",
                                        [TR_PQL_IS_BOOLEAN] = "boolean",
                                        [TR_PQL_IS_INTEGER] = "integer",
                                        [TR_PQL_IS_NUMBER] = "number",
                                        [TR_PQL_IS_STRING] = "string",
                                        [TR_PQL_IS_TIMESTAMP] = "timestamp",
                                        [TR_PQL_IS_DATE] = "date",
                                        [TR_PQL_IS_INTERVAL] = "interval",
                                        [TR_PQL_IS_OBJECT] = "object",
                                        [TR_PQL_IS_STRUCT] = "object",
                                        [TR_PQL_IS_ARRAY] = "array of ",
                                        [TR_PQL_IS_MAP] = "map of ",
                                        [TR_PQL_IS_GROUPS] = "groups of ",
                                        [TR_PQL_IS_TUPLE] = "tuple",
                                        [TR_PQL_IS_ENTRY] = "map entry of "};
    int at = 0;
    for (; type != NULL; type = type->item) {
        const int more = snprintf(out + at, size - (size_t)at, "%s", names[type->kind]);
        if (more < 0 || (size_t)(at + more) >= size)
            break;
        at += more;
    }
    return out;
}

const tr_pql_type *tr_pql_type_of_xdm(const tr_type *xdm, tr_arena *arena)
{
    switch (xdm->kind) {
    case TR_KIND_BOOLEAN: return TR_PQL_PLAIN(BOOLEAN);
    case TR_KIND_INT32:
    case TR_KIND_INT64: return TR_PQL_PLAIN(INTEGER);
    case TR_KIND_DOUBLE: return TR_PQL_PLAIN(NUMBER);
    case TR_KIND_STRING: return TR_PQL_PLAIN(STRING);
    case TR_KIND_DATE: return TR_PQL_PLAIN(DATE);
    case TR_KIND_TIMESTAMP: return TR_PQL_PLAIN(TIMESTAMP);
    case TR_KIND_KEY: return TR_PQL_PLAIN(ANY); /* bookkeeping: the checker does not let it in */
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    tr_pql_type *type = tr_arena_array(arena, 1, sizeof *type);
    if (type == NULL)
        return NULL;
    if (xdm->kind == TR_KIND_OBJECT) {
        *type = (tr_pql_type){.kind = TR_PQL_IS_OBJECT, .xdm = xdm};
        return type;
    }
    type->kind = xdm->kind == TR_KIND_ARRAY ? TR_PQL_IS_ARRAY : TR_PQL_IS_MAP;
    type->item = tr_pql_type_of_xdm(xdm->children[0], arena);
    return type->item == NULL ? NULL : type;
}
