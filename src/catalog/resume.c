/* SPDX-License-Identifier: Apache-2.0 */
/* resume.c - what a server that starts asks of all tenants: what was under way when it stopped,
 * handed to whoever goes on with it, and which tenants have objects of a kind. */
#include "catalog/catalog.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct pending {
    tr_tenant tenant;
    char id[sizeof((tr_object *)NULL)->id];
    int64_t rank;
    size_t place; /* as it was found */
} pending;

typedef struct pending_list {
    const tr_catalog_waiting *waiting;
    pending *at;
    size_t count;
    uint32_t cap;
} pending_list;

static tr_code note(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    pending_list *list = ctx;
    int64_t rank = 0;
    if (list->waiting->choose != NULL && !list->waiting->choose(object, &rank))
        return TR_OK;
    if (!tr_list_room(&list->at, list->count, &list->cap, sizeof *list->at))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to resume what was under way");
    pending *p = &list->at[list->count];
    *p = (pending){.tenant = *tenant, .rank = rank, .place = list->count++};
    (void)snprintf(p->id, sizeof p->id, "%s", object->id);
    return TR_OK;
}

static int by_rank(const void *a, const void *b)
{
    const pending *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

tr_code tr_catalog_resume_waiting(tr_catalog *catalog, const tr_catalog_waiting *waiting, void *ctx,
                                  tr_err *err)
{
    pending_list list = {.waiting = waiting};
    tr_code code = TR_OK;
    for (size_t i = 0; waiting->states[i] != NULL && code == TR_OK; i++)
        code = tr_catalog_scan(catalog, waiting->kind, waiting->states[i], note, &list, err);
    if (code == TR_OK && list.count > 1)
        qsort(list.at, list.count, sizeof *list.at, by_rank);
    for (size_t i = 0; i < list.count && code == TR_OK; i++)
        code = waiting->resume(ctx, &list.at[i].tenant, list.at[i].id, err);
    tr_free(list.at);
    return code;
}

tr_code tr_catalog_resume(tr_catalog *catalog, const char *kind, const char *const *states,
                          tr_catalog_resume_one resume, void *ctx, tr_err *err)
{
    const tr_catalog_waiting all = {.kind = kind, .states = states, .resume = resume};
    return tr_catalog_resume_waiting(catalog, &all, ctx, err);
}

typedef struct tenant_list {
    tr_tenant *at;
    uint32_t count, cap;
} tenant_list;

static tr_code note_tenant(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    tenant_list *list = ctx;
    (void)object;
    if (list->count > 0 && list->at[list->count - 1].id == tenant->id)
        return TR_OK; /* a tenant's objects come together */
    if (!tr_list_room(&list->at, list->count, &list->cap, sizeof *list->at))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of tenants");
    list->at[list->count++] = *tenant;
    return TR_OK;
}

tr_code tr_catalog_tenants_with(tr_catalog *catalog, const char *kind, tr_tenant **out,
                                uint32_t *count, tr_err *err)
{
    tenant_list list = {0};
    const tr_code code = tr_catalog_scan(catalog, kind, NULL, note_tenant, &list, err);
    if (code != TR_OK) {
        tr_free(list.at);
        return code;
    }
    *out = list.at;
    *count = list.count;
    return TR_OK;
}
