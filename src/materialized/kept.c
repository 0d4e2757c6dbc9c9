/* SPDX-License-Identifier: Apache-2.0 */
/* kept.c - the merged runs that are kept, of all tenants, and how they go. */
#include "materialized/materialized_internal.h"

#include "base/log.h"
#include "codec/json.h"
#include "store/stitched.h"

#include <stdio.h>
#include <string.h>

typedef struct kept {
    tr_tenant tenant;
    char id[48], digest[33], source[48];
    uint64_t bytes;
    int64_t created_ms;
} kept;

typedef struct kept_list {
    kept *at;
    uint32_t count, cap;
    uint64_t bytes;
} kept_list;

static tr_code list_one(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    kept_list *list = ctx;
    if (strncmp(object->parent, TR_MERGED_SOURCE, sizeof TR_MERGED_SOURCE - 1) != 0)
        return TR_OK;
    if (!tr_list_room(&list->at, list->count, &list->cap, sizeof *list->at))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of merged runs");
    const int64_t bytes = tr_json_int(object->doc, "bytes", 0);
    kept *own = &list->at[list->count++];
    *own = (kept){.tenant = *tenant,
                  .bytes = bytes < 0 ? 0 : (uint64_t)bytes,
                  .created_ms = object->created_ms};
    (void)snprintf(own->id, sizeof own->id, "%s", object->id);
    (void)snprintf(own->source, sizeof own->source, "%s", object->parent);
    (void)snprintf(own->digest, sizeof own->digest, "%s", tr_json_text(object->doc, "digest", ""));
    list->bytes += own->bytes;
    return TR_OK;
}

/* What cannot be listed now is looked at by who comes next. */
static kept_list list_all(const tr_materialized_parts *parts)
{
    kept_list list = {0};
    if (tr_catalog_scan(parts->catalog, "stitched", NULL, list_one, &list, NULL) != TR_OK)
        list.count = 0;
    return list;
}

static bool has_id(const json_t *ids, const char *id)
{
    for (size_t i = 0; i < json_array_size(ids) && id != NULL; i++) {
        const char *own = json_string_value(json_array_get(ids, i));
        if (own != NULL && strcmp(own, id) == 0)
            return true;
    }
    return false;
}

bool tr_merged_is_older(const json_t *runs, const json_t *others)
{
    bool is_older = json_array_size(runs) < json_array_size(others);
    for (size_t i = 0; i < json_array_size(runs) && is_older; i++)
        is_older = has_id(others, json_string_value(json_array_get(runs, i)));
    return is_older;
}

typedef struct newer {
    const json_t *than; /* ids of runs */
    json_t *runs;       /* of one that is made of those and more; NULL: there is none */
} newer;

static tr_code note_newer(void *ctx, const tr_object *object, tr_err *err)
{
    newer *n = ctx;
    json_t *runs = json_object_get(object->doc, "runs");
    (void)err;
    if (n->runs == NULL && tr_merged_is_older(n->than, runs))
        n->runs = json_incref(runs);
    return TR_OK;
}

bool tr_kept_has_newer(const tr_materialized_parts *parts, const tr_tenant *tenant,
                       const tr_merged_inputs *of, const json_t *runs)
{
    newer n = {.than = runs};
    bool are_live = false;
    const tr_catalog_filter filter = {.parent = of->source};
    const bool is_found =
        tr_catalog_list(parts->catalog, tenant, "stitched", &filter, note_newer, &n, NULL) ==
            TR_OK &&
        n.runs != NULL &&
        tr_stitched_are_live(parts->store, tenant, n.runs, &are_live, NULL) == TR_OK;
    json_decref(n.runs);
    return is_found && are_live;
}

void tr_kept_remove(const tr_materialized_parts *parts, const tr_tenant *tenant, const char *id,
                    const char *reason)
{
    tr_err err = {0};
    tr_log(TR_LOG_INFO, "materialized", "merged_run_removed", "run=%s reason=%s", id, reason);
    if (tr_stitched_remove(parts->store, tenant, id, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "materialized", "merged_run_kept", "run=%s reason=\"%s\"", id,
               err.text);
}

static void remove_kept(const tr_materialized_parts *parts, kept_list *list, kept *own,
                        const char *reason)
{
    tr_kept_remove(parts, &own->tenant, own->id, reason);
    list->bytes -= own->bytes;
    own->id[0] = '\0';
}

void tr_kept_supersede(const tr_materialized_parts *parts, const tr_tenant *tenant,
                       const tr_merged_inputs *of)
{
    kept_list list = list_all(parts);
    for (uint32_t i = 0; i < list.count; i++) {
        kept *own = &list.at[i];
        if (own->tenant.id == tenant->id && strcmp(own->source, of->source) == 0 &&
            strcmp(own->digest, of->digest) != 0)
            remove_kept(parts, &list, own, "superseded");
    }
    tr_free(list.at);
}

static bool is_older(const kept *a, const kept *b)
{
    return a->created_ms != b->created_ms ? a->created_ms < b->created_ms
                                          : strcmp(a->id, b->id) < 0;
}

/* Two of a place are what a kill between the new one and the removal of the old one leaves. */
static void drop_second(const tr_materialized_parts *parts, kept_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        for (uint32_t j = 0; j < list->count && list->at[i].id[0] != '\0'; j++) {
            const kept *a = &list->at[i], *b = &list->at[j];
            if (b->id[0] != '\0' && a->tenant.id == b->tenant.id &&
                strcmp(a->source, b->source) == 0 && is_older(a, b))
                remove_kept(parts, list, &list->at[i], "superseded");
        }
}

/* The oldest, but for `but`; NULL: none. */
static kept *oldest_of(const kept_list *list, const char *but)
{
    kept *oldest = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        kept *own = &list->at[i];
        if (own->id[0] != '\0' && strcmp(own->id, but) != 0 &&
            (oldest == NULL || is_older(own, oldest)))
            oldest = own;
    }
    return oldest;
}

void tr_kept_trim(const tr_materialized_parts *parts, const char *but)
{
    kept_list list = list_all(parts);
    drop_second(parts, &list);
    for (kept *own; list.bytes > parts->bytes_max && (own = oldest_of(&list, but)) != NULL;)
        remove_kept(parts, &list, own, "full");
    tr_free(list.at);
}
