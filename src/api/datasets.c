/* SPDX-License-Identifier: Apache-2.0 */
/* datasets.c - /data/foundation/catalog/dataSets (reference: catalog, sections 2 to 6).
 *
 * A write is: the stored document, the client's change on a copy, every check, then one put that
 * fails when another hand was faster; then it starts over, unless the client named the version it
 * wants to change. Paths are also known with a small s, as older guides print them.
 */
#include "api/catalog_api_internal.h"
#include "base/limits.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a dataset");
}

/* A dataset with this id, or 404: a text that cannot be an id is an id that nobody has. */
static tr_code get(tr_call *call, const char *id, tr_object *out, tr_err *err)
{
    return tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", id, out, err);
}

static tr_code check_request_data_source(tr_call *call, tr_err *err)
{
    const char *text = tr_catalog_parameter(call, "requestDataSource");
    if (text == NULL || tr_str_equal_folded(tr_str_of(text), tr_str_of("true")) ||
        tr_str_equal_folded(tr_str_of(text), tr_str_of("false")))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "requestDataSource is \"%.40s\": expected true or false", text);
}

static tr_code insert(tr_call *call, tr_object *object, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_dataset_take_table(call, object->id, object->doc, err);
    if (code == TR_OK)
        code = tr_catalog_insert(catalog, &call->tenant, "dataset", object, err);
    return tr_catalog_end(catalog, code, err);
}

static tr_code reply_created(tr_call *call, const tr_object *object, tr_err *err)
{
    char location[400];
    (void)snprintf(location, sizeof location, "%.200s" TR_CATALOG_BASE "/dataSets/%.32s",
                   call->parts->public_url == NULL ? "" : call->parts->public_url, object->id);
    TR_TRY(tr_reply_header(call, "Location", location, err));
    return tr_catalog_reply_reference(call, 201, "dataSets", object, err);
}

static tr_code post_dataset(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object object = {.state = ""};
    TR_TRY(check_request_data_source(call, err));
    TR_TRY(tr_call_json(call, &body, err));
    (void)snprintf(object.id, sizeof object.id, "%s", tr_id_hex(24).text);
    object.doc = json_deep_copy(body);
    tr_code code =
        object.doc == NULL ? no_memory(err) : tr_dataset_check(call, NULL, object.doc, NULL, err);
    if (code == TR_OK)
        code = tr_dataset_papers(call, object.id, object.doc, err);
    if (code == TR_OK && tr_catalog_is_dry(call)) {
        tr_object_clear(&object);
        return tr_reply_json(call, 200, json_array(), err);
    }
    object.created_ms = object.updated_ms = tr_json_int(object.doc, "created", 0);
    if (code == TR_OK)
        code = insert(call, &object, err);
    if (code == TR_OK)
        code = reply_created(call, &object, err);
    tr_object_clear(&object);
    return code;
}

static tr_code list_datasets(tr_call *call, tr_err *err)
{
    static const tr_alias aliases[] = {{"dataSetId", "id"}, {"dataSet", "id"}, {0}};
    const tr_catalog_list_of of = {.kind = "dataset", .aliases = aliases};
    return tr_catalog_reply_list(call, &of, err);
}

static tr_code get_datasets(tr_call *call, tr_err *err)
{
    return tr_catalog_reply_ids(call, "dataset", tr_call_param(call, 0), err);
}

/* ---- Changes */

typedef tr_code (*changer)(json_t **doc, const json_t *body, tr_err *err);

static tr_code replace(json_t **doc, const json_t *body, tr_err *err)
{
    json_t *copy = json_deep_copy(body);
    if (copy == NULL)
        return no_memory(err);
    json_decref(*doc);
    *doc = copy;
    return TR_OK;
}

static tr_code patch(json_t **doc, const json_t *body, tr_err *err)
{
    return tr_catalog_patch(doc, body, false, err);
}

static tr_code patch_deep(json_t **doc, const json_t *body, tr_err *err)
{
    return tr_catalog_patch(doc, body, true, err);
}

/* object->doc becomes the changed and checked document. */
static tr_code apply(tr_call *call, tr_object *object, changer change, const json_t *body,
                     tr_err *err)
{
    json_t *shown = tr_catalog_show(object->doc, NULL); /* a patch sees nothing private */
    json_t *doc = json_deep_copy(shown);
    json_decref(shown);
    tr_code code = doc == NULL ? no_memory(err) : change(&doc, body, err);
    if (code == TR_OK)
        code = tr_dataset_check(call, object->id, doc, object->doc, err);
    if (code != TR_OK) {
        json_decref(doc);
        return code;
    }
    json_decref(object->doc);
    object->doc = doc;
    return tr_catalog_touch(call, object, err);
}

static tr_code apply_replace(tr_call *call, tr_object *object, const json_t *body, tr_err *err)
{
    return apply(call, object, replace, body, err);
}

static tr_code apply_patch(tr_call *call, tr_object *object, const json_t *body, tr_err *err)
{
    return apply(call, object, patch, body, err);
}

static tr_code apply_patch_deep(tr_call *call, tr_object *object, const json_t *body, tr_err *err)
{
    return apply(call, object, patch_deep, body, err);
}

static tr_code put_dataset(tr_call *call, tr_err *err)
{
    return tr_catalog_change(call, "dataset", "dataSets", apply_replace, err);
}

static tr_code patch_dataset(tr_call *call, tr_err *err)
{
    return tr_catalog_change(call, "dataset", "dataSets", apply_patch, err);
}

static tr_code patch_dataset_deep(tr_call *call, tr_err *err)
{
    return tr_catalog_change(call, "dataset", "dataSets", apply_patch_deep, err);
}

static tr_code delete_dataset(tr_call *call, tr_err *err)
{
    tr_object object = {0};
    tr_code code = TR_OK;
    TR_TRY(get(call, tr_call_param(call, 0), &object, err));
    const bool may = tr_catalog_may_write(call, object.doc);
    if (may)
        code = tr_dataset_remove(call, object.id, err);
    if (code == TR_OK && may)
        code = tr_reply_json(call, 200, json_pack("[o]", json_sprintf("@/dataSets/%s", object.id)),
                             err);
    tr_object_clear(&object);
    return code;
}

/* ---- Views: each dataset has one */

static json_t *view_of(const tr_object *dataset)
{
    static const char *const same[] = {"imsOrg",      "sandboxId",     "version",
                                       "created",     "updated",       "createdUser",
                                       "updatedUser", "createdClient", "name"};
    const char *id = tr_json_text(dataset->doc, "viewId", "");
    json_t *view = json_pack("{s:s, s:s, s:o}", "id", id, "dataSetId", dataset->id, "files",
                             json_sprintf("@/dataSets/%s/views/%s/files", dataset->id, id));
    for (size_t i = 0; view != NULL && i < sizeof same / sizeof same[0]; i++) {
        json_t *value = json_object_get(dataset->doc, same[i]);
        if (value != NULL && json_object_set(view, same[i], value) != 0) {
            json_decref(view);
            return NULL;
        }
    }
    return view;
}

/* Fails with 404 when the path's second id is not the dataset's view. */
static tr_code check_view(tr_call *call, const tr_object *dataset, tr_err *err)
{
    if (call->param_count < 2 ||
        strcmp(tr_call_param(call, 1), tr_json_text(dataset->doc, "viewId", "")) == 0)
        return TR_OK;
    return TR_FAIL(err, TR_NOT_FOUND, "no view with id \"%.60s\" of dataset \"%.60s\"",
                   tr_call_param(call, 1), dataset->id);
}

static tr_code get_view(tr_call *call, tr_err *err)
{
    tr_object dataset = {0};
    TR_TRY(get(call, tr_call_param(call, 0), &dataset, err));
    tr_code code = check_view(call, &dataset, err);
    json_t *map = json_object();
    if (code == TR_OK)
        code = tr_catalog_map_add(map, tr_json_text(dataset.doc, "viewId", ""), view_of(&dataset),
                                  err);
    tr_object_clear(&dataset);
    if (code == TR_OK)
        return tr_reply_json(call, 200, map, err);
    json_decref(map);
    return code;
}

static tr_code list_view_files(tr_call *call, tr_err *err)
{
    tr_object dataset = {0};
    TR_TRY(get(call, tr_call_param(call, 0), &dataset, err));
    tr_code code = check_view(call, &dataset, err);
    if (code == TR_OK)
        code = tr_dataset_reply_files(call, dataset.id, NULL, err);
    tr_object_clear(&dataset);
    return code;
}

#define BODY TR_CATALOG_BODY_BYTES_MAX
#define PATHS(name)                                                                                \
    {"GET", TR_CATALOG_BASE name, TR_SCOPE_READ, list_datasets, 0},                                \
        {"POST", TR_CATALOG_BASE name, TR_SCOPE_WRITE, post_dataset, BODY},                        \
        {"GET", TR_CATALOG_BASE name "/{id}", TR_SCOPE_READ, get_datasets, 0},                     \
        {"PUT", TR_CATALOG_BASE name "/{id}", TR_SCOPE_WRITE, put_dataset, BODY},                  \
        {"PATCH", TR_CATALOG_BASE name "/{id}", TR_SCOPE_WRITE, patch_dataset, BODY},              \
        {"PATCH", TR_CATALOG_BASE "/v2" name "/{id}", TR_SCOPE_WRITE, patch_dataset_deep, BODY},   \
        {"DELETE", TR_CATALOG_BASE name "/{id}", TR_SCOPE_WRITE, delete_dataset, 0},               \
        {"GET", TR_CATALOG_BASE name "/{id}/views", TR_SCOPE_READ, get_view, 0},                   \
        {"GET", TR_CATALOG_BASE name "/{id}/views/{view}", TR_SCOPE_READ, get_view, 0},            \
    {                                                                                              \
        "GET", TR_CATALOG_BASE name "/{id}/views/{view}/files", TR_SCOPE_READ, list_view_files, 0  \
    }

const tr_endpoint tr_api_datasets[] = {PATHS("/dataSets"), PATHS("/datasets"), {0}};
