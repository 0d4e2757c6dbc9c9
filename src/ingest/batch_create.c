/* SPDX-License-Identifier: Apache-2.0 */
/* batch_create.c - POST /batches: a request, checked member by member, into a batch's document. */
#include "ingest/ingest_internal.h"

enum { EXTERNAL_ID_BYTES_MAX = 255 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to create a batch");
}

/* What the request says, borrowed from it. */
typedef struct request {
    tr_object dataset; /* owned */
    const char *format;
    const char *external_id; /* NULL: the batch's id */
    double percent;
    bool has_percent;
    bool has_diagnostics;
    json_t *options;      /* owned: what the job needs */
    json_t *predecessors; /* owned: batch ids */
} request;

static tr_code find_dataset(tr_ingest *ingest, const tr_tenant *tenant, const json_t *body,
                            request *r, tr_err *err)
{
    const json_t *id = json_object_get(body, "datasetId");
    if (!json_is_string(id))
        return TR_FAIL(err, TR_INVALID, "datasetId: expected the id of a dataset");
    if (!tr_is_hex(tr_str_of(json_string_value(id)), 24))
        return TR_FAIL(err, TR_INVALID, "datasetId: \"%.60s\" is not 24 hexadecimal digits",
                       json_string_value(id));
    return tr_catalog_get(ingest->parts.catalog, tenant, "dataset", json_string_value(id),
                          &r->dataset, err);
}

/* One character that a CSV is cut by; "\t" may be spelled out. */
static tr_code check_mark(const char *name, const json_t *value, tr_err *err)
{
    const char *text = json_string_value(value);
    const bool is_tab = strcmp(text, "\\t") == 0;
    const bool is_good =
        is_tab || (strlen(text) <= 1 && (uint8_t)text[0] < 0x80 && text[0] != '\n' &&
                   text[0] != '\r' && (text[0] != '\0' || strcmp(name, "delimiter") != 0));
    return is_good
               ? TR_OK
               : TR_FAIL(err, TR_INVALID,
                         "inputFormat.%s is \"%.20s\": expected one ASCII character", name, text);
}

static tr_code check_charset(const json_t *value, tr_err *err)
{
    static const char *const known[] = {"UTF-8", "US-ASCII", "ISO-8859-1"};
    for (size_t i = 0; i < 3; i++)
        if (tr_str_equal_folded(tr_str_of(json_string_value(value)), tr_str_of(known[i])))
            return TR_OK;
    return TR_FAIL(err, TR_INVALID,
                   "inputFormat.charset is \"%.40s\": expected UTF-8, US-ASCII or ISO-8859-1",
                   json_string_value(value));
}

static tr_code check_option(const char *name, const json_t *value, tr_err *err)
{
    if (!json_is_string(value))
        return TR_FAIL(err, TR_INVALID, "inputFormat.%s: expected a text", name);
    if (strcmp(name, "charset") == 0)
        return check_charset(value, err);
    return strcmp(name, "nullMarker") == 0 ? TR_OK : check_mark(name, value, err);
}

/* What the dataset says: "delimiter", or the first of "delimiters". */
static json_t *dataset_option(const json_t *file, const char *name)
{
    char plural[32];
    json_t *value = json_object_get(file, name);
    (void)snprintf(plural, sizeof plural, "%ss", name);
    return value != NULL ? value : json_array_get(json_object_get(file, plural), 0);
}

/* The options of a format, those of the dataset first and then the batch's own. */
static tr_code read_options(const json_t *input, request *r, tr_err *err)
{
    static const char *const texts[] = {"delimiter", "quote", "escape", "nullMarker", "charset"};
    const json_t *file = json_object_get(r->dataset.doc, "fileDescription");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *value = json_object_get(input, texts[i]);
        if (value != NULL)
            TR_TRY(check_option(texts[i], value, err));
        else
            value = dataset_option(file, texts[i]);
        if (json_is_string(value) && json_object_set(r->options, texts[i], value) != 0)
            return no_memory(err);
    }
    json_t *header = json_object_get(input, "header");
    const bool is_false =
        json_is_false(header) ||
        (json_is_string(header) &&
         tr_str_equal_folded(tr_str_of(json_string_value(header)), tr_str_of("false")));
    if (is_false && strcmp(r->format, "csv") == 0)
        return TR_FAIL(err, TR_INVALID, "inputFormat.header: a CSV file needs its header row");
    return TR_OK;
}

static tr_code read_format(const json_t *body, request *r, tr_err *err)
{
    static const char *const known[] = {"json", "parquet", "csv"};
    const json_t *input = json_object_get(body, "inputFormat");
    const json_t *format = json_object_get(input, "format");
    if (input != NULL && !json_is_object(input))
        return TR_FAIL(err, TR_INVALID, "inputFormat: expected an object");
    if (input != NULL && !json_is_string(format))
        return TR_FAIL(err, TR_INVALID, "inputFormat.format: expected json, parquet or csv");
    if (input == NULL)
        r->format = "parquet";
    for (size_t i = 0; i < 3 && input != NULL; i++)
        if (tr_str_equal_folded(tr_str_of(json_string_value(format)), tr_str_of(known[i])))
            r->format = known[i];
    if (r->format == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "inputFormat.format is \"%.40s\": expected json, parquet or csv",
                       json_string_value(format));
    const json_t *multi = json_object_get(input, "isMultiLineJson");
    if (multi != NULL && !json_is_boolean(multi))
        return TR_FAIL(err, TR_INVALID, "inputFormat.isMultiLineJson: expected true or false");
    TR_TRY(tr_batch_set(r->options, "format", json_string(r->format), err));
    return read_options(input, r, err);
}

static tr_code read_percent(const json_t *body, request *r, tr_err *err)
{
    static const char *const spellings[] = {"partialIngestionPercentage",
                                            "partialIngestionPercent"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(body, spellings[i]);
        if (value == NULL)
            continue;
        const double percent = json_number_value(value);
        if (!json_is_number(value) || !(percent >= 0 && percent <= 100))
            return TR_FAIL(err, TR_INVALID, "%s: expected a number from 0 to 100", spellings[i]);
        r->percent = percent;
        r->has_percent = true;
    }
    const json_t *wants = json_object_get(body, "enableErrorDiagnostics");
    if (wants != NULL && !json_is_boolean(wants))
        return TR_FAIL(err, TR_INVALID, "enableErrorDiagnostics: expected true or false");
    r->has_diagnostics = wants != NULL
                             ? json_is_true(wants)
                             : tr_json_bool(r->dataset.doc, "enableErrorDiagnostics", false);
    r->has_diagnostics = r->has_diagnostics || r->percent > 0;
    TR_TRY(tr_batch_set(r->options, "percent", json_real(r->percent), err));
    return tr_batch_set(r->options, "diagnostics", json_boolean(r->has_diagnostics), err);
}

/* A predecessor: a batch of the same dataset that was promoted. */
static tr_code add_predecessor(tr_ingest *ingest, const tr_tenant *tenant, const char *id,
                               request *r, tr_err *err)
{
    tr_object batch = {0};
    tr_code code = tr_batch_get(ingest, tenant, id, &batch, NULL);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "replay: there is no batch \"%.80s\" to replace", id);
    if (code != TR_OK)
        return TR_FAIL(err, code, "replay: batch \"%.80s\" cannot be read", id);
    if (strcmp(batch.parent, r->dataset.id) != 0)
        code = TR_FAIL(err, TR_INVALID, "replay: batch \"%.80s\" is of another dataset", id);
    else if (!tr_batch_is_one_of(batch.state, "success,inactive"))
        code = TR_FAIL(err, TR_INVALID,
                       "replay: batch \"%.80s\" is \"%s\": only a successful one can be "
                       "replaced",
                       id, batch.state);
    else if (json_array_append_new(r->predecessors, json_string(batch.id)) != 0)
        code = no_memory(err);
    tr_object_clear(&batch);
    return code;
}

static tr_code add_external(tr_ingest *ingest, const tr_tenant *tenant, const char *id, request *r,
                            tr_err *err)
{
    tr_object external = {0};
    const tr_code code =
        strlen(id) > EXTERNAL_ID_BYTES_MAX
            ? TR_NOT_FOUND
            : tr_catalog_get(ingest->parts.catalog, tenant, "external", id, &external, NULL);
    if (code != TR_OK)
        return TR_FAIL(err, code == TR_NOT_FOUND ? TR_INVALID : code,
                       "replay: there is no batch with externalId \"%.80s\"", id);
    const tr_code added =
        add_predecessor(ingest, tenant, tr_json_text(external.doc, "batch", ""), r, err);
    tr_object_clear(&external);
    return added;
}

static tr_code read_list(tr_ingest *ingest, const tr_tenant *tenant, const json_t *replay,
                         const char *member, request *r, tr_err *err)
{
    const json_t *list = json_object_get(replay, member);
    const bool is_external = strcmp(member, "predecessorsByExternalId") == 0;
    if (list != NULL && !json_is_array(list))
        return TR_FAIL(err, TR_INVALID, "replay.%s: expected an array of batch ids", member);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        if (id == NULL)
            return TR_FAIL(err, TR_INVALID, "replay.%s[%zu]: expected a batch id", member, i);
        id += id[0] == '$';
        TR_TRY(is_external ? add_external(ingest, tenant, id, r, err)
                           : add_predecessor(ingest, tenant, id, r, err));
    }
    return TR_OK;
}

static tr_code read_replay(tr_ingest *ingest, const tr_tenant *tenant, const json_t *body,
                           request *r, tr_err *err)
{
    const json_t *replay = json_object_get(body, "replay");
    if (replay == NULL)
        return TR_OK;
    if (!json_is_object(replay))
        return TR_FAIL(err, TR_INVALID, "replay: expected an object");
    TR_TRY(read_list(ingest, tenant, replay, "predecessors", r, err));
    TR_TRY(read_list(ingest, tenant, replay, "predecessorsByExternalId", r, err));
    if (json_array_size(r->predecessors) == 0)
        return TR_FAIL(err, TR_INVALID, "replay: no predecessors are named");
    return TR_OK;
}

static tr_code read_request(tr_ingest *ingest, const tr_tenant *tenant, const json_t *body,
                            request *r, tr_err *err)
{
    const json_t *external = json_object_get(body, "externalId");
    const json_t *tags = json_object_get(body, "tags");
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    if (tags != NULL && !json_is_object(tags))
        return TR_FAIL(err, TR_INVALID, "tags: expected an object of arrays of texts");
    if (external != NULL && (!json_is_string(external) || json_string_length(external) == 0 ||
                             json_string_length(external) > EXTERNAL_ID_BYTES_MAX))
        return TR_FAIL(err, TR_INVALID, "externalId: expected a text of 1 to %d bytes",
                       EXTERNAL_ID_BYTES_MAX);
    r->external_id = json_string_value(external);
    TR_TRY(find_dataset(ingest, tenant, body, r, err));
    TR_TRY(read_format(body, r, err));
    TR_TRY(read_percent(body, r, err));
    return read_replay(ingest, tenant, body, r, err);
}

static json_t *shown_format(const json_t *body, const request *r)
{
    json_t *shown = json_deep_copy(json_object_get(body, "inputFormat"));
    if (shown == NULL)
        shown = json_object();
    if (json_object_set_new(shown, "format", json_string(r->format)) != 0) {
        json_decref(shown);
        return NULL;
    }
    return shown;
}

/* The client's tags, and what catalogs show of the options. */
static json_t *shown_tags(const json_t *body, const request *r)
{
    json_t *tags = json_deep_copy(json_object_get(body, "tags"));
    if (tags == NULL)
        tags = json_object();
    bool is_good = tags != NULL;
    if (is_good && r->has_diagnostics)
        is_good = json_object_set_new(tags, "acp_enableErrorDiagnostics", json_true()) == 0;
    if (is_good && r->has_percent)
        is_good = json_object_set_new(tags, "acp_partialIngestionPercent",
                                      r->percent == (double)(int)r->percent
                                          ? json_integer((int)r->percent)
                                          : json_real(r->percent)) == 0;
    if (is_good)
        return tags;
    json_decref(tags);
    return NULL;
}

static tr_code add_replay(json_t *doc, const json_t *body, const request *r, tr_err *err)
{
    if (json_array_size(r->predecessors) == 0)
        return TR_OK;
    json_t *replay = json_pack("{s:O, s:s}", "predecessors", r->predecessors, "reason",
                               tr_json_text(json_object_get(body, "replay"), "reason", "replace"));
    return tr_batch_set(doc, "replay", replay, err);
}

static tr_code make_document(const tr_tenant *tenant, const json_t *body, const request *r,
                             const char *client_id, tr_object *batch, tr_err *err)
{
    const json_int_t now = (json_int_t)tr_time_now_ms();
    (void)snprintf(batch->id, sizeof batch->id, "%s", tr_id_ulid().text);
    (void)snprintf(batch->parent, sizeof batch->parent, "%s", r->dataset.id);
    (void)snprintf(batch->state, sizeof batch->state, "loading");
    batch->created_ms = batch->updated_ms = now;
    batch->doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:[{s:s, s:s}], s:s, s:o, s:O}",
        "id", batch->id, "imsOrg", tenant->org, "sandboxId", tenant->sandbox_id, "status",
        "loading", "created", now, "updated", now, "createdClient", client_id, "createdUser",
        client_id, "updatedUser", client_id, "externalId",
        r->external_id != NULL ? r->external_id : batch->id, "inputFormat", shown_format(body, r),
        "relatedObjects", "type", "dataSet", "id", r->dataset.id, "version", "1.0.0", "tags",
        shown_tags(body, r), "_options", r->options);
    return batch->doc != NULL ? add_replay(batch->doc, body, r, err) : no_memory(err);
}

/* An externalId is unique among the batches that are not dead. Within a transaction. */
static tr_code claim_external(tr_ingest *ingest, const tr_tenant *tenant, const char *external,
                              const char *batch, tr_err *err)
{
    static const char dead[] = "failure,failed,aborted,abandoned,inactive,deleted";
    tr_catalog *catalog = ingest->parts.catalog;
    tr_object object = {0}, holder = {0};
    const tr_code found = tr_catalog_get(catalog, tenant, "external", external, &object, NULL);
    tr_code code = TR_OK;
    if (found == TR_OK) {
        code = tr_batch_get(ingest, tenant, tr_json_text(object.doc, "batch", ""), &holder, NULL);
        if (code == TR_OK && !tr_batch_is_one_of(holder.state, dead))
            code = TR_FAIL(err, TR_CONFLICT, "externalId \"%.80s\" belongs to batch %s", external,
                           holder.id);
        else
            code = TR_OK;
        tr_object_clear(&holder);
    } else if (found != TR_NOT_FOUND) {
        return TR_FAIL(err, found, "externalId \"%.80s\" cannot be looked up", external);
    }
    json_decref(object.doc);
    (void)snprintf(object.id, sizeof object.id, "%s", external);
    object.doc = json_pack("{s:s}", "batch", batch);
    if (code == TR_OK && object.doc == NULL)
        code = no_memory(err);
    if (code == TR_OK)
        code = found == TR_OK ? tr_catalog_put(catalog, tenant, "external", &object, 0, err)
                              : tr_catalog_insert(catalog, tenant, "external", &object, err);
    tr_object_clear(&object);
    return code;
}

static tr_code insert(tr_ingest *ingest, const tr_tenant *tenant, const request *r,
                      const tr_object *batch, tr_err *err)
{
    tr_code code = TR_OK;
    TR_TRY(tr_catalog_begin(ingest->parts.catalog, err));
    if (r->external_id != NULL)
        code = claim_external(ingest, tenant, r->external_id, batch->id, err);
    if (code == TR_OK)
        code = tr_catalog_insert(ingest->parts.catalog, tenant, "batch", batch, err);
    return tr_catalog_end(ingest->parts.catalog, code, err);
}

tr_code tr_ingest_create(tr_ingest *ingest, const tr_tenant *tenant, const json_t *body,
                         const char *client_id, json_t **batch, tr_err *err)
{
    request r = {.options = json_object(), .predecessors = json_array()};
    tr_object object = {0};
    tr_code code = r.options != NULL && r.predecessors != NULL ? TR_OK : no_memory(err);
    if (code == TR_OK)
        code = read_request(ingest, tenant, body, &r, err);
    if (code == TR_OK)
        code = make_document(tenant, body, &r, client_id, &object, err);
    if (code == TR_OK)
        code = insert(ingest, tenant, &r, &object, err);
    if (code == TR_OK)
        code = tr_batch_show(object.doc, batch, err);
    tr_object_clear(&object);
    tr_object_clear(&r.dataset);
    json_decref(r.options);
    json_decref(r.predecessors);
    return code;
}
