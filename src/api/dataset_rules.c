/* SPDX-License-Identifier: Apache-2.0 */
/* dataset_rules.c - what a dataset's document may say (reference: catalog, sections 2 and 5).
 *
 * A document is the client's, with the server's members over it. Members that nobody knows are
 * kept as they came; those that only the server writes are ignored in what a client sends, because
 * clients send back whole what they read.
 */
#include "api/catalog_api_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "catalog/schemas.h"

#include <stdio.h>

#define CONTENT_TYPE "application/vnd.adobe.xed+json;version=1"

static const char *const ours[] = {"id",
                                   "imsOrg",
                                   "sandboxId",
                                   "version",
                                   "created",
                                   "updated",
                                   "createdClient",
                                   "createdUser",
                                   "updatedUser",
                                   "viewId",
                                   "files",
                                   "basePath",
                                   "state",
                                   "namespace",
                                   "persistence",
                                   "statsCache",
                                   "dule",
                                   "classification",
                                   "lastBatchId",
                                   "lastBatchStatus",
                                   "lastSuccessfulBatch",
                                   "lastFailedBatch"};

typedef enum wanted { WANT_STRING, WANT_OBJECT, WANT_BOOLEAN, WANT_INTEGER, WANT_STRINGS } wanted;

typedef struct member_rule {
    const char *name;
    wanted want;
} member_rule;

static const member_rule members[] = {
    {"name", WANT_STRING},          {"description", WANT_STRING},
    {"schema", WANT_STRING},        {"schemaRef", WANT_OBJECT},
    {"tags", WANT_OBJECT},          {"fileDescription", WANT_OBJECT},
    {"extensions", WANT_OBJECT},    {"observableSchema", WANT_OBJECT},
    {"dataSourceId", WANT_INTEGER}, {"enableErrorDiagnostics", WANT_BOOLEAN},
    {"unifiedTags", WANT_STRINGS},  {"systemLabels", WANT_STRINGS}};

static const member_rule file_members[] = {
    {"format", WANT_STRING},  {"containerFormat", WANT_STRING}, {"persisted", WANT_BOOLEAN},
    {"header", WANT_BOOLEAN}, {"charset", WANT_STRING},         {"delimiters", WANT_STRINGS},
    {"quotes", WANT_STRINGS}, {"escapes", WANT_STRINGS},        {"nullMarkers", WANT_STRINGS}};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a dataset");
}

static bool is_strings(const json_t *value)
{
    if (!json_is_array(value))
        return false;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_string(json_array_get(value, i)))
            return false;
    return true;
}

static bool is_wanted(const json_t *value, wanted want)
{
    switch (want) {
    case WANT_STRING:
        return json_is_string(value);
    case WANT_OBJECT:
        return json_is_object(value);
    case WANT_BOOLEAN:
        return json_is_boolean(value);
    case WANT_INTEGER:
        return json_is_integer(value);
    case WANT_STRINGS:
        return is_strings(value);
    }
    return false;
}

/* The kinds of the members of `object` that `rules` names; `in` is "" or "fileDescription.". */
static tr_code check_members(const json_t *object, const char *in, const member_rule *rules,
                             size_t count, tr_err *err)
{
    static const char *const texts[] = {[WANT_STRING] = "a string",
                                        [WANT_OBJECT] = "an object",
                                        [WANT_BOOLEAN] = "true or false",
                                        [WANT_INTEGER] = "an integer",
                                        [WANT_STRINGS] = "an array of strings"};
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, rules[i].name);
        if (value != NULL && !is_wanted(value, rules[i].want))
            return TR_FAIL(err, TR_INVALID, "%s%s must be %s", in, rules[i].name,
                           texts[rules[i].want]);
    }
    return TR_OK;
}

static bool is_in(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, list[i]) == 0)
            return true;
    return false;
}

static tr_code check_files(json_t *doc, tr_err *err)
{
    static const char *const formats[] = {"",     "csv",          "text", "parquet",
                                          "json", "sequencefile", "avro", "delta"};
    const json_t *files = json_object_get(doc, "fileDescription");
    if (files == NULL)
        return json_object_set_new(doc, "fileDescription",
                                   json_pack("{s:b, s:s, s:s}", "persisted", 1, "containerFormat",
                                             "parquet", "format", "parquet")) == 0
                   ? TR_OK
                   : no_memory(err);
    TR_TRY(check_members(files, "fileDescription.", file_members,
                         sizeof file_members / sizeof file_members[0], err));
    const char *format = tr_json_text(files, "format", "");
    if (!is_in(format, formats, sizeof formats / sizeof formats[0]))
        return TR_FAIL(err, TR_INVALID,
                       "fileDescription.format is \"%.40s\": expected csv, text, parquet, json, "
                       "sequencefile or avro",
                       format);
    return TR_OK;
}

/* Null members are absent ones; those with "_" are private to us. */
static tr_code clean(json_t *doc, tr_err *err)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(doc, next, name, value)
    {
        if (name[0] == '_')
            return TR_FAIL(err, TR_INVALID, "\"%.60s\": a member may not begin with \"_\"", name);
        if (json_is_null(value))
            (void)json_object_del(doc, name);
    }
    return TR_OK;
}

/* What only the server says, and what is private, comes from the stored document. */
static tr_code keep_ours(json_t *doc, const json_t *before, tr_err *err)
{
    json_t *old = (json_t *)(uintptr_t)before, *value;
    const char *name;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)json_object_del(doc, ours[i]);
    json_object_foreach (old, name, value)
        if ((name[0] == '_' || is_in(name, ours, sizeof ours / sizeof ours[0])) &&
            json_object_set(doc, name, value) != 0)
            return no_memory(err);
    return TR_OK;
}

/* The schema that `id` names; `member` is where it stood. */
static tr_code open_schema(tr_call *call, const char *member, const char *id,
                           const tr_xdm_schema **out, tr_err *err)
{
    const tr_code code =
        tr_catalog_schema_open(call->parts->catalog, &call->tenant, tr_str_of(id), out, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "%s: no schema with id \"%.200s\"", member, id);
    if (code != TR_OK)
        tr_err_context(err, "%s", member);
    return code;
}

/* Fills schemaRef from the old form, and its content type. *id is a text in doc. */
static tr_code find_schema_id(tr_call *call, json_t *doc, const char **id, tr_err *err)
{
    json_t *reference = json_object_get(doc, "schemaRef");
    const char *old = tr_json_text(doc, "schema", NULL);
    const tr_xdm_schema *schema = NULL;
    if (reference == NULL && old != NULL && old[0] != '\0') {
        TR_TRY(open_schema(call, "schema", old, &schema, err));
        reference = json_pack("{s:o}", "id", tr_json_str(schema->id));
        tr_catalog_schema_close(call->parts->catalog, schema);
        if (json_object_set_new(doc, "schemaRef", reference) != 0)
            return no_memory(err);
    }
    if (reference == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "schemaRef is required: {\"id\": \"<schema $id>\", \"contentType\": ...}");
    *id = tr_json_text(reference, "id", NULL);
    if (*id == NULL || (*id)[0] == '\0')
        return TR_FAIL(err, TR_INVALID, "schemaRef.id is required: the $id of a schema");
    const json_t *type = json_object_get(reference, "contentType");
    if (type != NULL && !json_is_string(type))
        return TR_FAIL(err, TR_INVALID, "schemaRef.contentType must be a string");
    if (type != NULL && strncmp(json_string_value(type), "application/", 12) != 0)
        return TR_FAIL(err, TR_INVALID,
                       "schemaRef.contentType is \"%.80s\": expected " CONTENT_TYPE,
                       json_string_value(type));
    if (type == NULL &&
        json_object_set_new(reference, "contentType", json_string(CONTENT_TYPE)) != 0)
        return no_memory(err);
    return TR_OK;
}

static bool ends_with(tr_str text, const char *end)
{
    const size_t len = strlen(end);
    return text.len >= len && memcmp(text.at + text.len - len, end, len) == 0;
}

static tr_code has_batch(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    *(bool *)ctx = true;
    return TR_OK;
}

/* Another schema only while there is no data: what is stored was written by the old one. */
static tr_code check_same_schema(tr_call *call, const char *dataset, const json_t *before,
                                 const char *id, const tr_xdm_schema *schema, tr_err *err)
{
    const char *old = tr_json_text(json_object_get(before, "schemaRef"), "id", "");
    const tr_xdm_schema *old_schema = NULL;
    bool is_used = false;
    if (before == NULL || strcmp(old, id) == 0)
        return TR_OK;
    if (open_schema(call, "schemaRef.id", old, &old_schema, NULL) == TR_OK) {
        const bool is_same = tr_str_equal(schema->id, old_schema->id);
        tr_catalog_schema_close(call->parts->catalog, old_schema);
        if (is_same)
            return TR_OK;
    }
    const tr_catalog_filter filter = {.parent = dataset, .limit = 1};
    TR_TRY(tr_catalog_list(call->parts->catalog, &call->tenant, "batch", &filter, has_batch,
                           &is_used, err));
    if (is_used)
        return TR_FAIL(err, TR_INVALID,
                       "schemaRef.id: a dataset with batches keeps its schema \"%.200s\"", old);
    return TR_OK;
}

static tr_code set_behavior(json_t *doc, const tr_xdm_schema *schema, tr_err *err)
{
    const char *behavior = schema->behavior == TR_XDM_RECORD  ? "record"
                           : schema->behavior == TR_XDM_EVENT ? "time-series"
                                                              : "adhoc";
    const char *manager =
        tr_json_text(json_object_get(doc, "classification"), "managedBy", "CUSTOMER");
    return json_object_set_new(
               doc, "classification",
               json_pack("{s:s, s:s}", "dataBehavior", behavior, "managedBy", manager)) == 0
               ? TR_OK
               : no_memory(err);
}

static tr_code check_schema(tr_call *call, const char *dataset, json_t *doc, const json_t *before,
                            tr_dataset_schema *out, tr_err *err)
{
    const char *id = NULL;
    const tr_xdm_schema *schema = NULL;
    TR_TRY(find_schema_id(call, doc, &id, err));
    TR_TRY(open_schema(call, "schemaRef.id", id, &schema, err));
    *out = (tr_dataset_schema){.is_union = ends_with(schema->id, TR_XDM_UNION_SUFFIX),
                               .is_union_member = schema->is_union_member,
                               .is_record = schema->behavior == TR_XDM_RECORD,
                               .is_event = schema->behavior == TR_XDM_EVENT};
    tr_code code = check_same_schema(call, dataset, before, id, schema, err);
    if (code == TR_OK)
        code = set_behavior(doc, schema, err);
    tr_catalog_schema_close(call->parts->catalog, schema);
    return code;
}

static tr_code set_defaults(json_t *doc, tr_err *err)
{
    json_t *defaults =
        json_pack("{s:{}, s:{}, s:b}", "tags", "observableSchema", "enableErrorDiagnostics", 0);
    const bool is_good = defaults != NULL && json_object_update_missing(doc, defaults) == 0;
    json_decref(defaults);
    return is_good ? TR_OK : no_memory(err);
}

static tr_code check_name(const json_t *doc, tr_err *err)
{
    const char *name = tr_json_text(doc, "name", "");
    const size_t len = strlen(name);
    if (strspn(name, " \t\r\n") == len)
        return TR_FAIL(err, TR_INVALID, "name is required");
    if (len > TR_DATASET_NAME_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "name has %zu bytes, at most %d are allowed", len,
                       TR_DATASET_NAME_BYTES_MAX);
    return TR_OK;
}

tr_code tr_dataset_check(tr_call *call, const char *id, json_t *doc, const json_t *before,
                         tr_err *err)
{
    tr_dataset_schema schema;
    if (!json_is_object(doc))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(clean(doc, err));
    TR_TRY(keep_ours(doc, before, err));
    TR_TRY(check_members(doc, "", members, sizeof members / sizeof members[0], err));
    TR_TRY(check_name(doc, err));
    TR_TRY(set_defaults(doc, err));
    TR_TRY(check_files(doc, err));
    TR_TRY(check_schema(call, id, doc, before, &schema, err));
    return tr_dataset_check_tags(doc, before, &schema, err);
}

tr_code tr_dataset_papers(tr_call *call, const char *id, json_t *doc, tr_err *err)
{
    const json_int_t now = tr_time_now_ms();
    const tr_id view = tr_id_hex(24);
    json_t *papers =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:s, s:{}, s:{}}", "imsOrg",
                  call->tenant.org, "sandboxId", call->tenant.sandbox_id, "version", "1.0.0",
                  "created", now, "updated", now, "createdClient", call->client_id, "createdUser",
                  call->client_id, "updatedUser", call->client_id, "viewId", view.text, "files",
                  json_sprintf("@/dataSets/%s/views/%s/files", id, view.text), "state", "DRAFT",
                  "statsCache", "dule");
    const bool is_good = papers != NULL && json_object_update(doc, papers) == 0;
    json_decref(papers);
    return is_good ? TR_OK : no_memory(err);
}
