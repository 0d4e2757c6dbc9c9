/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_end.c - how a sandbox ends, also over a crash.
 *
 *     its document says "deleting" or "resetting"      committed: from here on nobody gets in
 *     jobs stop, files go
 *     ONE transaction: all its objects go, and its document is in the list of the org's deleted
 *         ones; or a new sandbox has its name
 *     files go that a job wrote meanwhile              what a crash leaves of them is swept
 *
 * A server ends what it finds begun before it does anything else.
 */
#include "api/sandbox_internal.h"
#include "api/api.h"
#include "base/log.h"

#include <stdio.h>

enum { DELETED_KEPT_MAX = 200 };

/* Documents ---------------------------------------------------------------------------------- */

/* What the catalog keeps: the members that it adds to lists are not part of it. */
static json_t *stored(const json_t *doc)
{
    json_t *copy = json_deep_copy(doc);
    (void)json_object_del(copy, "id");
    (void)json_object_del(copy, "name");
    return copy;
}

tr_code tr_sandbox_put(tr_api *api, const char *org, const char *name, const json_t *doc,
                       tr_err *err)
{
    json_t *kept = stored(doc);
    const tr_code code = kept == NULL
                             ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a sandbox")
                             : tr_catalog_sandbox_put(api->parts.catalog, org, name, kept, err);
    json_decref(kept);
    tr_recall_forget(api->access);
    return code;
}

/* Deleted ones: a list under a name of the org's, the oldest dropped. */
static void name_list(const char *org, char out[128])
{
    (void)snprintf(out, 128, "deleted_sandboxes/%s", org);
}

tr_code tr_sandbox_deleted(tr_catalog *catalog, const char *org, json_t **out, tr_err *err)
{
    char name[128];
    tr_buf text = {0};
    name_list(org, name);
    tr_code code = tr_catalog_value_get(catalog, name, &text, err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&text), out, err);
    else if (code == TR_NOT_FOUND)
        code = (*out = json_array()) == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a list")
                                             : TR_OK;
    tr_buf_free(&text);
    return code;
}

static void drop_named(json_t *list, const char *name)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (strcmp(tr_json_text(json_array_get(list, i - 1), "name", ""), name) == 0)
            (void)json_array_remove(list, i - 1);
}

/* doc NULL: the name is in use again. */
static tr_code note_deleted(tr_catalog *catalog, const char *org, const char *name, json_t *doc,
                            tr_err *err)
{
    char value[128];
    tr_buf text = {0};
    json_t *list = NULL;
    name_list(org, value);
    TR_TRY(tr_sandbox_deleted(catalog, org, &list, err));
    drop_named(list, name);
    if (json_array_size(list) >= DELETED_KEPT_MAX)
        (void)json_array_remove(list, 0);
    tr_code code = doc != NULL && json_array_append(list, doc) != 0
                       ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a list")
                       : tr_json_write(list, &text, err);
    if (code == TR_OK)
        code = tr_catalog_value_put(catalog, value, tr_buf_str(&text), err);
    tr_buf_free(&text);
    json_decref(list);
    return code;
}

tr_code tr_sandbox_begin(tr_api *api, const char *org, const char *name, const json_t *doc,
                         tr_err *err)
{
    tr_catalog *catalog = api->parts.catalog;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_sandbox_put(api, org, name, doc, err);
    if (code == TR_OK)
        code = note_deleted(catalog, org, name, NULL, err);
    code = tr_catalog_end(catalog, code, err);
    tr_recall_forget(api->access);
    return code;
}

/* Ending ------------------------------------------------------------------------------------- */

/* Exports that are under way publish nothing more. Failing to stop one is no reason to keep the
 * data. */
static void cancel_exports(tr_export *export, const tr_tenant *tenant)
{
    static const char *const states[] = {"NEW", "PROCESSING"};
    for (size_t s = 0; s < 2; s++) {
        json_t *page = NULL;
        const tr_export_list query = {.limit = tr_str_of("1000"), .status = tr_str_of(states[s])};
        if (export == NULL || tr_export_find(export, tenant, &query, &page, NULL) != TR_OK)
            continue;
        const json_t *records = json_object_get(page, "records");
        for (size_t i = 0; i < json_array_size(records); i++) {
            char id[32];
            tr_err err = {0};
            (void)snprintf(id, sizeof id, "%lld",
                           (long long)tr_json_int(json_array_get(records, i), "id", 0));
            if (tr_export_cancel(export, tenant, id, &err) != TR_OK)
                tr_log(TR_LOG_WARN, "api", "sandbox_job_kept", "job=%s text=\"%s\"", id, err.text);
        }
        json_decref(page);
    }
}

/* In one transaction, so that a reset sandbox is never without a successor. */
static tr_code replace(tr_api *api, const char *org, const char *name, json_t *doc, bool is_reset,
                       tr_err *err)
{
    tr_catalog *catalog = api->parts.catalog;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_catalog_sandbox_remove(catalog, org, name, err);
    if (code == TR_OK)
        code = is_reset ? tr_sandbox_put(api, org, name, doc, err)
                        : note_deleted(catalog, org, name, doc, err);
    return tr_catalog_end(catalog, code, err);
}

/* A job that still runs may write files once more before it finds that its objects are gone: hence
 * the second removal, and the sweep at start-up. */
tr_code tr_sandbox_end(tr_api *api, const char *org, const char *name, json_t *doc, tr_err *err)
{
    tr_tenant tenant;
    const bool is_reset = strcmp(tr_json_text(doc, "state", ""), "resetting") == 0;
    tr_crash_point("sandbox_ending");
    TR_TRY(tr_catalog_tenant(api->parts.catalog, org, name, &tenant, err));
    cancel_exports(api->parts.export, &tenant);
    tr_query_jobs_forget(api->jobs, &tenant); /* at a start there are none yet */
    TR_TRY(tr_lake_remove_tenant(api->parts.lake, &tenant, err));
    tr_crash_point("sandbox_emptied");
    (void)json_object_set_new(doc, "state", json_string(is_reset ? "active" : "deleted"));
    TR_TRY(replace(api, org, name, doc, is_reset, err));
    tr_crash_point("sandbox_ended");
    tr_recall_forget(api->access);
    tr_graph_retire_tenant(api->parts.graph, tenant.id);
    tr_store_retire_tenant(api->parts.store, tenant.id);
    tr_query_jobs_forget(api->jobs, &tenant); /* what came in meanwhile */
    if (api->parts.forget != NULL)
        api->parts.forget(api->parts.forget_ctx, &tenant);
    TR_TRY(tr_lake_remove_tenant(api->parts.lake, &tenant, err));
    tr_log(TR_LOG_INFO, "api", is_reset ? "sandbox_reset" : "sandbox_deleted",
           "org=%s sandbox=%s client=%s", org, name, tr_json_text(doc, "modifiedBy", "-"));
    return TR_OK;
}

/* One of the list; it stays closed when that fails. */
static void resume(tr_api *api, json_t *doc)
{
    char org[80];
    tr_err err = {0};
    const char *state = tr_json_text(doc, "state", ""), *name = tr_json_text(doc, "name", "");
    if (strcmp(state, "deleting") != 0 && strcmp(state, "resetting") != 0)
        return;
    (void)snprintf(org, sizeof org, "%s", tr_json_text(doc, "org", ""));
    (void)json_object_del(doc, "org");
    if (tr_sandbox_end(api, org, name, doc, &err) != TR_OK)
        tr_log(TR_LOG_ERROR, "api", "sandbox_not_ended", "org=%s sandbox=%s reason=\"%s\"", org,
               name, err.text);
}

tr_code tr_api_resume_sandboxes(tr_api *api, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_catalog_sandbox_list(api->parts.catalog, NULL, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++)
        resume(api, json_array_get(list, i));
    json_decref(list);
    return TR_OK;
}
