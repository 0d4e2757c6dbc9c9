/* SPDX-License-Identifier: Apache-2.0 */
/* batches.c - /data/foundation/catalog/batches, lastBatches, dataSetFiles (reference: catalog,
 * sections 6 to 8).
 *
 * Batches come from ingestion and from exports, which alone move their status. A batch that a
 * client makes here is bookkeeping: it has a record and never any data; it is marked "_catalog".
 */
#include "api/catalog_api_internal.h"
#include "base/clock.h"
#include "base/limits.h"

#include <ctype.h>
#include <stdio.h>

enum { UNIQUES_MAX = 10000 };

static const tr_alias aliases[] = {{"batch", "id"}, {"dataSetId", "dataSet"}, {0}};

/* Members that only the server writes. */
static const char *const ours[] = {"id",         "imsOrg",  "sandboxId",     "version",
                                   "created",    "updated", "createdClient", "createdUser",
                                   "updatedUser"};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a batch");
}

static tr_code get(tr_call *call, const char *id, tr_object *out, tr_err *err)
{
    return tr_catalog_get(call->parts->catalog, &call->tenant, "batch", id, out, err);
}

static tr_code list_batches(tr_call *call, tr_err *err)
{
    const tr_catalog_list_of of = {.kind = "batch", .aliases = aliases};
    return tr_catalog_reply_list(call, &of, err);
}

static tr_code get_batches(tr_call *call, tr_err *err)
{
    return tr_catalog_reply_ids(call, "batch", tr_call_param(call, 0), err);
}

/* ---- Bookkeeping */

static tr_code check_status(const json_t *doc, tr_err *err)
{
    static const char *const all[] = {
        "processing", "success", "failure", "queued", "retrying", "stalled", "aborted", "abandoned",
        "inactive",   "failed",  "loading", "loaded", "staged",   "active",  "staging", "deleted"};
    const char *status = tr_json_text(doc, "status", NULL);
    if (status == NULL)
        return TR_FAIL(err, TR_INVALID, "status is required");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(status, all[i]) == 0)
            return TR_OK;
    return TR_FAIL(err, TR_INVALID, "status is \"%.40s\": not a status of a batch", status);
}

static tr_code check_kinds(const json_t *doc, tr_err *err)
{
    static const struct {
        const char *name;
        json_type type;
        const char *text;
    } rules[] = {{"relatedObjects", JSON_ARRAY, "an array"},
                 {"errors", JSON_ARRAY, "an array"},
                 {"tags", JSON_OBJECT, "an object"},
                 {"metrics", JSON_OBJECT, "an object"},
                 {"inputFormat", JSON_OBJECT, "an object"},
                 {"externalId", JSON_STRING, "a string"},
                 {"recordCount", JSON_INTEGER, "an integer"},
                 {"failedRecordCount", JSON_INTEGER, "an integer"},
                 {"size", JSON_INTEGER, "an integer"},
                 {"started", JSON_INTEGER, "an integer"},
                 {"completed", JSON_INTEGER, "an integer"}};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const json_t *value = json_object_get(doc, rules[i].name);
        if (value != NULL && json_typeof(value) != rules[i].type)
            return TR_FAIL(err, TR_INVALID, "%s must be %s", rules[i].name, rules[i].text);
    }
    return TR_OK;
}

/* The dataset of relatedObjects, which must exist, moves to the front: clients look there. */
static tr_code check_related(tr_call *call, json_t *doc, char parent[256], tr_err *err)
{
    json_t *related = json_object_get(doc, "relatedObjects");
    parent[0] = '\0';
    for (size_t i = 0; i < json_array_size(related); i++) {
        json_t *item = json_array_get(related, i);
        tr_object dataset = {0};
        if (tr_json_text(item, "type", NULL) == NULL || tr_json_text(item, "id", NULL) == NULL)
            return TR_FAIL(err, TR_INVALID, "relatedObjects[%zu] needs \"type\" and \"id\"", i);
        if (strcmp(tr_json_text(item, "type", ""), "dataSet") != 0 || parent[0] != '\0')
            continue;
        const tr_code code = tr_catalog_get(call->parts->catalog, &call->tenant, "dataset",
                                            tr_json_text(item, "id", ""), &dataset, err);
        if (code == TR_NOT_FOUND)
            return TR_FAIL(err, TR_INVALID, "relatedObjects[%zu].id: no dataset with id \"%.60s\"",
                           i, tr_json_text(item, "id", ""));
        TR_TRY(code);
        (void)snprintf(parent, 256, "%s", dataset.id);
        tr_object_clear(&dataset);
        json_incref(item);
        if (json_array_remove(related, i) != 0 || json_array_insert_new(related, 0, item) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* Removes what only the server writes, and what is private, from a client's document. */
static tr_code strip(json_t *doc, tr_err *err)
{
    const char *name;
    json_t *value;
    void *next;
    if (!json_is_object(doc))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    json_object_foreach_safe(doc, next, name, value)
    {
        bool is_ours = json_is_null(value);
        if (name[0] == '_')
            return TR_FAIL(err, TR_INVALID, "\"%.60s\": a member may not begin with \"_\"", name);
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            is_ours = is_ours || strcmp(name, ours[i]) == 0;
        if (is_ours)
            (void)json_object_del(doc, name);
    }
    return TR_OK;
}

static tr_code check(tr_call *call, json_t *doc, char parent[256], tr_err *err)
{
    TR_TRY(strip(doc, err));
    TR_TRY(check_status(doc, err));
    TR_TRY(check_kinds(doc, err));
    return check_related(call, doc, parent, err);
}

static tr_code papers(tr_call *call, tr_object *object, tr_err *err)
{
    const json_int_t now = object->created_ms = object->updated_ms = tr_time_now_ms();
    json_t *doc = object->doc;
    json_t *more =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:b}", "id", object->id, "imsOrg",
                  call->tenant.org, "sandboxId", call->tenant.sandbox_id, "version", "1.0.0",
                  "created", now, "updated", now, "createdClient", call->client_id, "createdUser",
                  call->client_id, "updatedUser", call->client_id, "_catalog", 1);
    json_t *defaults = json_pack("{s:s, s:[], s:[], s:{}, s:i, s:i, s:i}", "externalId", object->id,
                                 "relatedObjects", "errors", "tags", "recordCount", 0,
                                 "failedRecordCount", 0, "size", 0);
    const bool is_good = more != NULL && defaults != NULL && json_object_update(doc, more) == 0 &&
                         json_object_update_missing(doc, defaults) == 0;
    json_decref(more);
    json_decref(defaults);
    (void)snprintf(object->state, sizeof object->state, "%.31s", tr_json_text(doc, "status", ""));
    return is_good ? TR_OK : no_memory(err);
}

/* [a-zA-Z0-9-]{8,64}: what other services' ids look like, too. */
static bool is_batch_id(const char *id)
{
    const size_t len = strlen(id);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)id[i]) && id[i] != '-')
            return false;
    return len >= 8 && len <= 64;
}

static tr_code post_batch(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object object = {.state = ""};
    const tr_id fresh = tr_id_ulid();
    const char *id = call->param_count > 0 ? tr_call_param(call, 0) : fresh.text;
    TR_TRY(tr_call_json(call, &body, err));
    if (!is_batch_id(id))
        return TR_FAIL(err, TR_INVALID, "\"%.80s\" cannot be the id of a batch", id);
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    object.doc = json_deep_copy(body);
    tr_code code =
        object.doc == NULL ? no_memory(err) : check(call, object.doc, object.parent, err);
    if (code == TR_OK)
        code = papers(call, &object, err);
    if (code == TR_OK && tr_catalog_is_dry(call)) {
        tr_object_clear(&object);
        return tr_reply_json(call, 200, json_array(), err);
    }
    if (code == TR_OK)
        code = tr_catalog_insert(call->parts->catalog, &call->tenant, "batch", &object, err);
    if (code == TR_OK)
        code = tr_catalog_reply_reference(call, 201, "batches", &object, err);
    tr_object_clear(&object);
    return code;
}

/* Of a batch with data a client changes only what nobody computes. */
static tr_code check_data_batch(json_t *doc, const json_t *before, tr_err *err)
{
    const char *name;
    json_t *value;
    TR_TRY(strip(doc, err));
    json_object_foreach (doc, name, value)
        if (strcmp(name, "tags") != 0 && !json_equal(value, json_object_get(before, name)))
            return TR_FAIL(err, TR_INVALID,
                           "%.60s: of a batch that holds data only tags can be changed here; its "
                           "status is moved by the Data Ingestion API",
                           name);
    return check_kinds(doc, err);
}

/* The changed document over the stored one, which keeps what is private or the server's. */
static tr_code combine(tr_object *object, json_t *doc, bool is_whole, tr_err *err)
{
    json_t *next = is_whole ? json_object() : json_copy(object->doc);
    const char *name;
    json_t *value;
    bool is_good = next != NULL;
    if (is_whole)
        json_object_foreach (object->doc, name, value) {
            bool is_ours = name[0] == '_' || strcmp(name, "externalId") == 0;
            for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
                is_ours = is_ours || strcmp(name, ours[i]) == 0;
            is_good = is_good && (!is_ours || json_object_set(next, name, value) == 0);
        }
    is_good = is_good && json_object_update(next, doc) == 0;
    if (!is_good) {
        json_decref(next);
        return no_memory(err);
    }
    json_decref(object->doc);
    object->doc = next;
    return TR_OK;
}

static tr_code change(tr_call *call, tr_object *object, const json_t *body, bool is_put,
                      tr_err *err)
{
    const bool is_own = tr_json_bool(object->doc, "_catalog", false);
    json_t *shown = tr_catalog_show(object->doc, NULL);
    json_t *doc = json_deep_copy(is_put ? body : shown);
    tr_code code = doc == NULL || shown == NULL ? no_memory(err) : TR_OK;
    json_decref(shown);
    if (code == TR_OK && !is_put)
        code = tr_catalog_patch(&doc, body, false, err);
    if (code == TR_OK)
        code = is_own ? check(call, doc, object->parent, err)
                      : check_data_batch(doc, object->doc, err);
    if (code == TR_OK)
        code = combine(object, doc, is_own, err);
    json_decref(doc);
    if (code == TR_OK)
        code = tr_catalog_touch(call, object, err);
    if (code == TR_OK && is_own)
        (void)snprintf(object->state, sizeof object->state, "%.31s",
                       tr_json_text(object->doc, "status", ""));
    return code;
}

static tr_code change_by_put(tr_call *call, tr_object *object, const json_t *body, tr_err *err)
{
    return change(call, object, body, true, err);
}

static tr_code change_by_patch(tr_call *call, tr_object *object, const json_t *body, tr_err *err)
{
    return change(call, object, body, false, err);
}

static tr_code put_batch(tr_call *call, tr_err *err)
{
    return tr_catalog_change(call, "batch", "batches", change_by_put, err);
}

static tr_code patch_batch(tr_call *call, tr_err *err)
{
    return tr_catalog_change(call, "batch", "batches", change_by_patch, err);
}

/* Of a batch with data this is ingestion's REVERT; bookkeeping just goes. */
static tr_code delete_batch(tr_call *call, tr_err *err)
{
    tr_object object = {0};
    json_t *result = NULL;
    TR_TRY(get(call, tr_call_param(call, 0), &object, err));
    tr_code code;
    if (tr_json_bool(object.doc, "_catalog", false))
        code = tr_catalog_remove(call->parts->catalog, &call->tenant, "batch", object.id, err);
    else
        code = tr_ingest_action(call->parts->ingest, &call->tenant, object.id, tr_str_of("REVERT"),
                                &result, err);
    json_decref(result);
    if (code == TR_OK)
        code = tr_catalog_reply_reference(call, 200, "batches", &object, err);
    tr_object_clear(&object);
    return code;
}

/* ---- Distinct values */

typedef struct uniques {
    const tr_filter *filter;
    const char *member;
    json_t *seen; /* {text: true} */
} uniques;

static tr_code add_text(json_t *seen, const char *text, tr_err *err)
{
    if (json_object_size(seen) >= UNIQUES_MAX)
        return TR_FAIL(err, TR_SEMANTIC, "more than %d distinct values", UNIQUES_MAX);
    return json_object_set_new(seen, text, json_true()) == 0 ? TR_OK : no_memory(err);
}

static tr_code add_unique(void *ctx, const tr_object *object, tr_err *err)
{
    uniques *u = ctx;
    char number[40];
    if (!tr_filter_matches(u->filter, object))
        return TR_OK;
    const json_t *value = tr_member_of(object->doc, u->member);
    if (json_is_string(value))
        return add_text(u->seen, json_string_value(value), err);
    if (json_is_boolean(value))
        return add_text(u->seen, json_is_true(value) ? "true" : "false", err);
    if (!json_is_integer(value))
        return TR_OK;
    (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return add_text(u->seen, number, err);
}

static tr_code get_uniques(tr_call *call, tr_err *err)
{
    tr_filter *filter = tr_arena_array(call->request->arena, 1, sizeof *filter);
    uniques u = {.filter = filter, .member = tr_call_param(call, 0)};
    const char *text;
    json_t *value;
    if (filter == NULL)
        return no_memory(err);
    if (u.member[0] == '_')
        return TR_FAIL(err, TR_NOT_FOUND, "batches have no member \"%.60s\"", u.member);
    TR_TRY(tr_filter_read(call, aliases, filter, err));
    u.seen = json_object();
    const tr_code code = u.seen == NULL ? no_memory(err)
                                        : tr_catalog_list(call->parts->catalog, &call->tenant,
                                                          "batch", NULL, add_unique, &u, err);
    tr_filter_free(filter);
    json_t *list = code == TR_OK ? json_array() : NULL;
    json_object_foreach (u.seen, text, value)
        (void)json_array_append_new(list, json_string(text));
    json_decref(u.seen);
    return code == TR_OK ? tr_reply_json(call, 200, list, err) : code;
}

/* ---- Files: one entry a batch, a directory of its parts */

typedef struct file_list {
    tr_call *call;
    int64_t start, limit, matched;
    json_t *map;
    char dataset[256]; /* whose view is in `view` */
    char view[40];
} file_list;

static void find_view(file_list *list, const char *dataset)
{
    tr_object object = {0};
    if (strcmp(list->dataset, dataset) == 0)
        return;
    (void)snprintf(list->dataset, sizeof list->dataset, "%s", dataset);
    list->view[0] = '\0';
    if (tr_catalog_get(list->call->parts->catalog, &list->call->tenant, "dataset", dataset, &object,
                       NULL) == TR_OK)
        (void)snprintf(list->view, sizeof list->view, "%.32s",
                       tr_json_text(object.doc, "viewId", ""));
    tr_object_clear(&object);
}

static tr_code add_entry(void *ctx, const tr_object *batch, tr_err *err)
{
    file_list *list = ctx;
    char id[300];
    if (strcmp(batch->state, "success") != 0 || tr_json_bool(batch->doc, "_catalog", false) ||
        list->matched++ < list->start)
        return TR_OK;
    if (list->matched > list->start + list->limit)
        return TR_FAIL(err, TR_CANCELLED, "the page is full");
    find_view(list, batch->parent);
    (void)snprintf(id, sizeof id, "%s-1", batch->id);
    const json_int_t completed = tr_json_int(batch->doc, "completed", batch->updated_ms);
    const char *client = tr_json_text(batch->doc, "createdClient", "");
    return tr_catalog_map_add(
        list->map, id,
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "id", id,
                  "batchId", batch->id, "dataSetId", batch->parent, "dataSetViewId", list->view,
                  "imsOrg", list->call->tenant.org, "createdClient", client, "createdUser",
                  tr_json_text(batch->doc, "createdUser", client), "updatedUser",
                  tr_json_text(batch->doc, "updatedUser", client), "version", "1.0.0", "created",
                  completed, "updated", completed, "records",
                  (json_int_t)tr_json_int(batch->doc, "recordCount", 0), "size",
                  (json_int_t)tr_json_int(batch->doc, "size", 0)),
        err);
}

static tr_code list_entries(file_list *list, const char *dataset, const char *batch, tr_err *err)
{
    tr_catalog *catalog = list->call->parts->catalog;
    const tr_catalog_filter filter = {.parent = dataset, .state = "success"};
    if (batch == NULL) {
        const tr_code code =
            tr_catalog_list(catalog, &list->call->tenant, "batch", &filter, add_entry, list, err);
        return code == TR_CANCELLED ? TR_OK : code;
    }
    tr_object object = {0};
    tr_code code = get(list->call, batch, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_OK;
    TR_TRY(code);
    if (dataset == NULL || strcmp(object.parent, dataset) == 0)
        code = add_entry(list, &object, err);
    tr_object_clear(&object);
    return code == TR_CANCELLED ? TR_OK : code;
}

tr_code tr_dataset_reply_files(tr_call *call, const char *dataset, const char *batch, tr_err *err)
{
    file_list *list = tr_arena_array(call->request->arena, 1, sizeof *list);
    if (list == NULL)
        return no_memory(err);
    list->call = call;
    TR_TRY(tr_catalog_page(call, &list->start, &list->limit, err));
    list->map = json_object();
    const tr_code code =
        list->map == NULL ? no_memory(err) : list_entries(list, dataset, batch, err);
    if (code == TR_OK)
        return tr_reply_json(call, 200, list->map, err);
    json_decref(list->map);
    return code;
}

static tr_code list_files(tr_call *call, tr_err *err)
{
    const char *dataset = tr_catalog_parameter(call, "dataSetId");
    const char *batch = tr_catalog_parameter(call, "batchId");
    return tr_dataset_reply_files(call, dataset, batch, err);
}

/* ---- The last batch of each dataset */

typedef struct last_list {
    tr_call *call;
    char (*datasets)[256];
    int64_t start, limit, matched;
    size_t count;
} last_list;

static tr_code add_dataset(void *ctx, const tr_object *object, tr_err *err)
{
    last_list *list = ctx;
    if (list->matched++ < list->start)
        return TR_OK;
    if ((int64_t)list->count == list->limit)
        return TR_FAIL(err, TR_CANCELLED, "the page is full");
    memcpy(list->datasets[list->count++], object->id, sizeof object->id);
    return TR_OK;
}

static tr_code copy_object(void *ctx, const tr_object *object, tr_err *err)
{
    tr_object *out = ctx;
    (void)err;
    *out = *object;
    out->doc = NULL; /* it is borrowed */
    return TR_OK;
}

/* The newest batch of a dataset in these states (NULL: any); an empty id: none. */
static tr_code find_last(tr_call *call, const char *dataset, const char *states, tr_object *out,
                         tr_err *err)
{
    const tr_catalog_filter filter = {
        .parent = dataset, .state = states, .is_descending = true, .limit = 1};
    *out = (tr_object){0};
    return tr_catalog_list(call->parts->catalog, &call->tenant, "batch", &filter, copy_object, out,
                           err);
}

static tr_code add_last(tr_call *call, const char *dataset, json_t *map, tr_err *err)
{
    tr_object any, good, bad;
    TR_TRY(find_last(call, dataset, NULL, &any, err));
    if (any.id[0] == '\0')
        return TR_OK;
    TR_TRY(find_last(call, dataset, "success", &good, err));
    TR_TRY(find_last(call, dataset, "failure,failed", &bad, err));
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "lastBatchId", any.id, "lastBatchStatus",
                  any.state, "imsOrg", call->tenant.org, "sandboxId", call->tenant.sandbox_id,
                  "created", (json_int_t)any.created_ms, "updated", (json_int_t)any.updated_ms);
    if (good.id[0] != '\0')
        (void)json_object_set_new(doc, "lastSuccessfulBatchId", json_string(good.id));
    if (bad.id[0] != '\0')
        (void)json_object_set_new(doc, "lastFailedBatchId", json_string(bad.id));
    return tr_catalog_map_add(map, dataset, doc, err);
}

static tr_code find_datasets(last_list *list, tr_err *err)
{
    tr_call *call = list->call;
    const char *ids = tr_catalog_parameter(call, "dataSetId");
    while (ids != NULL && *ids != '\0' && (int64_t)list->count < list->limit) {
        const size_t len = strcspn(ids, ",");
        tr_object object = {0};
        char id[256];
        (void)snprintf(id, sizeof id, "%.*s", (int)(len < 255 ? len : 255), ids);
        const tr_code code =
            tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", id, &object, err);
        if (code == TR_OK)
            memcpy(list->datasets[list->count++], object.id, sizeof object.id);
        else if (code != TR_NOT_FOUND)
            return code;
        tr_object_clear(&object);
        ids += len + (ids[len] == ',');
    }
    if (tr_catalog_parameter(call, "dataSetId") != NULL)
        return TR_OK;
    const tr_code code = tr_catalog_list(call->parts->catalog, &call->tenant, "dataset", NULL,
                                         add_dataset, list, err);
    return code == TR_CANCELLED ? TR_OK : code;
}

static tr_code list_last(tr_call *call, tr_err *err)
{
    last_list list = {.call = call};
    TR_TRY(tr_catalog_page(call, &list.start, &list.limit, err));
    list.datasets = tr_arena_array(call->request->arena, (size_t)list.limit, sizeof *list.datasets);
    if (list.datasets == NULL)
        return no_memory(err);
    TR_TRY(find_datasets(&list, err));
    json_t *map = json_object();
    tr_code code = map == NULL ? no_memory(err) : TR_OK;
    for (size_t i = 0; i < list.count && code == TR_OK; i++)
        code = add_last(call, list.datasets[i], map, err);
    if (code == TR_OK)
        return tr_reply_json(call, 200, map, err);
    json_decref(map);
    return code;
}

#define BATCHES TR_CATALOG_BASE "/batches"
#define BODY    TR_CATALOG_BODY_BYTES_MAX

const tr_endpoint tr_api_batches[] = {
    {"GET", BATCHES, TR_SCOPE_READ, list_batches, 0},
    {"POST", BATCHES, TR_SCOPE_WRITE, post_batch, BODY},
    {"GET", BATCHES "/uniques/{field}", TR_SCOPE_READ, get_uniques, 0},
    {"GET", BATCHES "/{id}", TR_SCOPE_READ, get_batches, 0},
    {"POST", BATCHES "/{id}", TR_SCOPE_WRITE, post_batch, BODY},
    {"PUT", BATCHES "/{id}", TR_SCOPE_WRITE, put_batch, BODY},
    {"PATCH", BATCHES "/{id}", TR_SCOPE_WRITE, patch_batch, BODY},
    {"DELETE", BATCHES "/{id}", TR_SCOPE_WRITE, delete_batch, 0},
    {"GET", TR_CATALOG_BASE "/dataSetFiles", TR_SCOPE_READ, list_files, 0},
    {"GET", TR_CATALOG_BASE "/lastBatches", TR_SCOPE_READ, list_last, 0},
    {0}};
