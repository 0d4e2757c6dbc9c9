/* SPDX-License-Identifier: Apache-2.0 */
/* classes.c - which of an org's namespaces link, and as what (reference: identity, 3). */
#include "graph/graph_internal.h"
#include "catalog/namespaces.h"

#include <stdlib.h>

static int compare_classes(const void *left, const void *right)
{
    const tr_graph_class *a = left, *b = right;
    return tr_str_compare_folded(a->code, b->code);
}

static tr_node_class kind_of(const char *id_type)
{
    static const struct {
        const char *id_type;
        tr_node_class kind;
    } kinds[] = {{"CROSS_DEVICE", TR_NODE_PERSON}, {"EMAIL", TR_NODE_PERSON},
                 {"PHONE", TR_NODE_PERSON},        {"PHONE_NUMBER", TR_NODE_PERSON},
                 {"DEVICE", TR_NODE_DEVICE},       {"MOBILE", TR_NODE_DEVICE},
                 {"COOKIE", TR_NODE_COOKIE}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (tr_str_equal_folded(tr_str_of(kinds[i].id_type), tr_str_of(id_type)))
            return kinds[i].kind;
    return TR_NODE_UNLINKED;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the namespaces of a graph");
}

static tr_code digest_of(const tr_graph_classes *classes, uint64_t *out, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < classes->count && code == TR_OK; i++) {
        const tr_graph_class *class = &classes->list[i];
        code = tr_buf_format(&text, err, "%.*s\n%d\n", TR_STR_ARG(class->code), (int)class->kind);
    }
    if (code == TR_OK)
        *out = tr_hash64_of(tr_buf_str(&text));
    tr_buf_free(&text);
    return code;
}

static tr_code read_list(const json_t *list, tr_graph_classes *out, tr_err *err)
{
    out->list = tr_arena_array(&out->arena, json_array_size(list), sizeof *out->list);
    if (out->list == NULL)
        return no_memory(err);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *doc = json_array_get(list, i);
        tr_graph_class *class = &out->list[out->count++];
        class->code = tr_arena_copy(&out->arena, tr_str_of(tr_json_text(doc, "code", "")));
        class->kind = kind_of(tr_json_text(doc, "idType", ""));
        if (class->code.at == NULL)
            return no_memory(err);
    }
    if (out->count > 1)
        qsort(out->list, out->count, sizeof *out->list, compare_classes);
    return digest_of(out, &out->digest, err);
}

tr_code tr_graph_classes_read(tr_catalog *catalog, const tr_tenant *tenant, tr_graph_classes *out,
                              tr_err *err)
{
    json_t *list = NULL;
    tr_graph_classes classes = {0};
    TR_TRY(tr_namespace_list(catalog, tenant->org, &list, err));
    const tr_code code = read_list(list, &classes, err);
    json_decref(list);
    if (code == TR_OK)
        *out = classes;
    else
        tr_graph_classes_free(&classes);
    return code;
}

void tr_graph_classes_free(tr_graph_classes *classes)
{
    tr_arena_free(&classes->arena);
    *classes = (tr_graph_classes){0};
}

uint32_t tr_graph_class_find(const tr_graph_classes *classes, tr_str code)
{
    const tr_graph_class wanted = {.code = code};
    const tr_graph_class *found =
        bsearch(&wanted, classes->list, classes->count, sizeof *classes->list, compare_classes);
    return found == NULL ? TR_GRAPH_NO_CLASS : (uint32_t)(found - classes->list);
}
