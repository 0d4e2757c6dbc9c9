/* SPDX-License-Identifier: Apache-2.0 */
/* ids.c - objects as a list of their ids: to write one by one, which a list's callback may not. */
#include "catalog/catalog.h"

static tr_code add_id(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append_new(ctx, json_string(object->id)) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of ids");
}

tr_code tr_catalog_ids(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const tr_catalog_filter *filter, json_t *ids, tr_err *err)
{
    tr_catalog_filter brief = *filter;
    brief.is_brief = true;
    return tr_catalog_list(catalog, tenant, kind, &brief, add_id, ids, err);
}

tr_code tr_catalog_remove_of(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                             const char *parent, tr_err *err)
{
    const tr_catalog_filter own = {.parent = parent};
    json_t *ids = json_array();
    tr_code code = ids == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of ids")
                               : tr_catalog_ids(catalog, tenant, kind, &own, ids, err);
    for (size_t i = 0; i < json_array_size(ids) && code == TR_OK; i++)
        code = tr_catalog_remove(catalog, tenant, kind, json_string_value(json_array_get(ids, i)),
                                 err);
    json_decref(ids);
    return code;
}
