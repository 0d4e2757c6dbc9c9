/* SPDX-License-Identifier: Apache-2.0 */
/* registry_write.c - POST, PUT, PATCH and DELETE of a tenant's resources.
 *
 * A write is: the client's document, its papers by the server, every check, one commit, then the
 * cache of resolved schemas is told. Writers take turns, so what was checked is still true when
 * committed.
 */
#include "api/registry_internal.h"

#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;

void tr_registry_write_begin(void)
{
    pthread_mutex_lock(&writers);
}

void tr_registry_write_end(tr_registry_call *r)
{
    tr_catalog_schemas_changed(r->registry.catalog, r->registry.tenant);
    pthread_mutex_unlock(&writers);
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a schema resource");
}

/* The client's body without what only the server may say; returned. */
static tr_code read_body(tr_registry_call *r, json_t **out, tr_err *err)
{
    static const char *const ours[] = {"$id",
                                       "meta:altId",
                                       "version",
                                       "imsOrg",
                                       "refs",
                                       "status",
                                       "etag",
                                       "meta:registryMetadata",
                                       "meta:descriptors",
                                       "meta:datasetNamespace"};
    const json_t *body;
    TR_TRY(tr_call_json(r->call, &body, err));
    if (!json_is_object(body))
        return TR_XDM_FAIL(r, err, BODY, "the request body is not a JSON object");
    json_t *doc = json_deep_copy(body);
    if (doc == NULL)
        return no_memory(err);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)json_object_del(doc, ours[i]);
    *out = doc;
    return TR_OK;
}

static void fill_object(const json_t *doc, tr_object *out)
{
    (void)snprintf(out->id, sizeof out->id, "%s", tr_json_text(doc, "$id", ""));
    (void)snprintf(out->parent, sizeof out->parent, "%s", tr_json_text(doc, "meta:class", ""));
    out->doc = (json_t *)(uintptr_t)doc;
}

static tr_code answer(tr_registry_call *r, int status, const json_t *doc, tr_err *err)
{
    const tr_accept plain = {0};
    json_t *shown = NULL;
    TR_TRY(tr_registry_show(r, doc, &plain, false, &shown, err));
    return tr_reply_json(r->call, status, shown, err);
}

/* What a request did, for the audit log: one entry, or one per operation of a JSON Patch. value:
 * taken. */
static json_t *updates_of(const tr_registry_call *r, const char *id, const char *action,
                          json_t *value)
{
    json_t *updates = json_array();
    const bool is_patch = strcmp(action, "patch") == 0;
    for (size_t i = 0; i < (is_patch ? json_array_size(value) : 1); i++) {
        const json_t *op = json_array_get(value, i);
        json_t *what = is_patch ? json_object_get(op, "value") : value;
        (void)json_array_append_new(
            updates,
            json_pack("{s:s, s:s, s:s, s:s, s:O?}", "id", id, "xdmType", r->of->resource_type,
                      "action", is_patch ? tr_json_text(op, "op", "") : action, "path",
                      is_patch ? tr_json_text(op, "path", "") : "", "value", what));
    }
    json_decref(value);
    return updates;
}

static tr_code add_audit(tr_registry_call *r, const char *id, const char *action, json_t *value,
                         tr_err *err)
{
    tr_object object = {.state = ""};
    const tr_id own = tr_id_ulid();
    (void)snprintf(object.id, sizeof object.id, "%s", own.text);
    (void)snprintf(object.parent, sizeof object.parent, "%s", id);
    object.doc = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", own.text, "updatedUser",
                           r->call->client_id, "clientId", r->call->client_id, "requestId",
                           r->call->request_id, "updates", updates_of(r, id, action, value));
    if (object.doc == NULL)
        return no_memory(err);
    const tr_code code =
        tr_catalog_insert(r->registry.catalog, r->registry.tenant, TR_REGISTRY_AUDIT, &object, err);
    json_decref(object.doc);
    return code;
}

/* Commits a document together with its line in the audit log. before NULL: new. */
tr_code tr_registry_commit(tr_registry_call *r, const json_t *doc, int64_t revision,
                           const char *action, json_t *value, tr_err *err)
{
    tr_object object = {.parent = ""};
    tr_catalog *catalog = r->registry.catalog;
    fill_object(doc, &object);
    tr_code code = tr_catalog_begin(catalog, err);
    if (code != TR_OK) {
        json_decref(value);
        return code;
    }
    code = revision == 0
               ? tr_catalog_insert(catalog, r->registry.tenant, r->of->kind, &object, err)
               : tr_catalog_put(catalog, r->registry.tenant, r->of->kind, &object, revision, err);
    if (code == TR_OK)
        code = add_audit(r, object.id, action, value, err);
    else
        json_decref(value);
    return tr_catalog_end(catalog, code, err);
}

static tr_code create(tr_registry_call *r, tr_err *err)
{
    json_t *doc = NULL;
    char id[256];
    TR_TRY(read_body(r, &doc, err));
    const tr_id hash = tr_id_hex(32);
    (void)snprintf(id, sizeof id, "https://ns.adobe.com/%s/%s/%s", r->registry.tenant->tenant_name,
                   r->of->resource_type, hash.text);
    (void)json_object_set_new(doc, "meta:resourceType", json_string(r->of->resource_type));
    tr_code code = tr_registry_papers(r, doc, NULL, id, err);
    if (code == TR_OK)
        code = tr_registry_check(r, doc, err);
    if (code == TR_OK)
        code = tr_registry_commit(r, doc, 0, "add", json_incref(doc), err);
    if (code == TR_OK)
        code = answer(r, 201, doc, err);
    json_decref(doc);
    return code;
}

/* The stored object of the path's id, for a writer. */
static tr_code get_stored(tr_registry_call *r, tr_object *out, tr_err *err)
{
    const json_t *doc;
    TR_TRY(tr_registry_get(r, r->of, r->call->request->segments[5], &doc, err));
    if (strcmp(tr_json_text(doc, "meta:containerId", ""), "tenant") != 0 ||
        strcmp(tr_json_text(doc, "meta:resourceType", ""), "unions") == 0)
        return TR_XDM_FAIL(r, err, READ_ONLY, "\"%.200s\" is read-only",
                           tr_json_text(doc, "$id", ""));
    TR_TRY(tr_catalog_get(r->registry.catalog, r->registry.tenant, r->of->kind,
                          tr_json_text(doc, "$id", ""), out, err));
    const tr_str wanted = tr_http_header(r->call->request, "if-match");
    const char *etag = tr_json_text(json_object_get(out->doc, "meta:registryMetadata"), "eTag", "");
    if (wanted.at == NULL || tr_str_is(wanted, "*") || tr_str_is(wanted, etag) ||
        (wanted.len == strlen(etag) + 2 && memcmp(wanted.at + 1, etag, strlen(etag)) == 0))
        return TR_OK;
    tr_object_clear(out);
    return TR_XDM_FAIL(r, err, PRECONDITION,
                       "the resource changed: its eTag is another than If-Match names");
}

static bool is_same_content(const json_t *a, const json_t *b)
{
    json_t *x = json_copy((json_t *)(uintptr_t)a), *y = json_copy((json_t *)(uintptr_t)b);
    static const char *const papers[] = {"version", "meta:registryMetadata"};
    for (size_t i = 0; i < 2; i++) {
        (void)json_object_del(x, papers[i]);
        (void)json_object_del(y, papers[i]);
    }
    const bool same = json_equal(x, y) != 0;
    json_decref(x);
    json_decref(y);
    return same;
}

/* Checks and commits a changed document; what changes nothing is answered and not written.
 * log: the document or the operations that changed it; taken. */
static tr_code change(tr_registry_call *r, const tr_object *before, json_t *doc, json_t *log,
                      tr_err *err)
{
    const char *action = json_is_array(log) ? "patch" : "replace";
    (void)json_object_set_new(doc, "meta:resourceType", json_string(r->of->resource_type));
    tr_code code = tr_registry_papers(r, doc, before->doc, before->id, err);
    const bool is_same = code == TR_OK && is_same_content(doc, before->doc);
    if (code == TR_OK && !is_same)
        code = tr_registry_check(r, doc, err);
    if (code == TR_OK && !is_same)
        code = tr_registry_check_change(r, before->doc, doc, err);
    if (code != TR_OK || is_same)
        json_decref(log);
    else
        code = tr_registry_commit(r, doc, before->revision, action, log, err);
    return code == TR_OK ? answer(r, 200, is_same ? before->doc : doc, err) : code;
}

static tr_code replace(tr_registry_call *r, tr_err *err)
{
    tr_object before;
    json_t *doc = NULL;
    TR_TRY(get_stored(r, &before, err));
    tr_code code = read_body(r, &doc, err);
    if (code == TR_OK)
        code = change(r, &before, doc, json_incref(doc), err);
    json_decref(doc);
    tr_object_clear(&before);
    return code;
}

static bool refers_to(const json_t *doc, const char *ref)
{
    const json_t *parts = json_object_get(doc, "allOf");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (strcmp(tr_json_text(json_array_get(parts, i), "$ref", ""), ref) == 0)
            return true;
    return false;
}

static bool is_read_only(const char *path)
{
    static const char *const paths[] = {"/$id",        "/meta:altId",
                                        "/version",    "/imsOrg",
                                        "/refs",       "/meta:registryMetadata",
                                        "/meta:class", "/meta:resourceType"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        const size_t len = strlen(paths[i]);
        if (strncmp(path, paths[i], len) == 0 && (path[len] == '\0' || path[len] == '/'))
            return true;
    }
    return false;
}

/* Clients' own forms of an operation brought to the letter of the RFC; *is_void: it changes
 * nothing. */
static tr_code mend(tr_registry_call *r, const json_t *before, json_t *op, bool *is_void,
                    tr_err *err)
{
    const char *path = tr_json_text(op, "path", ""), *verb = tr_json_text(op, "op", "");
    json_t *value = json_object_get(op, "value");
    const bool is_add = strcmp(verb, "add") == 0;
    const bool is_tags =
        strncmp(path, "/meta:immutableTags", 19) == 0 && strcmp(verb, "remove") != 0;
    const bool is_append = strcmp(path, "/meta:immutableTags/-") == 0 &&
                           json_object_get(before, "meta:immutableTags") != NULL;
    const bool is_part = is_add && strncmp(path, "/allOf", 6) == 0 && json_is_object(value);
    if (is_read_only(path) && strcmp(verb, "test") != 0)
        return TR_XDM_FAIL(r, err, PATCH, "\"%.100s\" is read-only", path);
    /* meta:extends follows from allOf; a part that is there is not added twice. */
    *is_void = strncmp(path, "/meta:extends", 13) == 0 ||
               (is_part && refers_to(before, tr_json_text(value, "$ref", "#")));
    if (is_tags && !is_append && json_is_string(value))
        (void)json_object_set_new(op, "value", json_pack("[O]", value));
    if (is_tags && !is_append)
        (void)json_object_set_new(op, "path", json_string("/meta:immutableTags"));
    else if (is_part && strcmp(path, "/allOf") == 0)
        (void)json_object_set_new(op, "path", json_string("/allOf/-"));
    return TR_OK;
}

static tr_code mended(tr_registry_call *r, const json_t *before, const json_t *body, json_t **out,
                      tr_err *err)
{
    json_t *ops = json_array();
    tr_code code = json_is_array(body)
                       ? TR_OK
                       : TR_XDM_FAIL(r, err, PATCH,
                                     "the body of a PATCH is a JSON Patch: an array of operations");
    for (size_t i = 0; i < json_array_size(body) && code == TR_OK; i++) {
        json_t *op = json_deep_copy(json_array_get(body, i));
        bool is_void = false;
        code = json_is_object(op) ? mend(r, before, op, &is_void, err) : TR_OK;
        if (code == TR_OK && !is_void)
            (void)json_array_append(ops, op);
        json_decref(op);
    }
    if (code != TR_OK) {
        json_decref(ops);
        return code;
    }
    *out = ops;
    return TR_OK;
}

static tr_code patch(tr_registry_call *r, tr_err *err)
{
    tr_object before;
    const json_t *body;
    json_t *ops = NULL, *doc = NULL;
    TR_TRY(tr_call_json(r->call, &body, err));
    TR_TRY(get_stored(r, &before, err));
    tr_code code = mended(r, before.doc, body, &ops, err);
    if (code == TR_OK) {
        doc = json_deep_copy(before.doc);
        code = doc == NULL ? no_memory(err) : tr_json_patch(&doc, ops, err);
        if (code == TR_INVALID)
            r->error = TR_XDM_PATCH;
    }
    if (code == TR_OK && !json_is_object(doc))
        code = TR_XDM_FAIL(r, err, PATCH, "the patched resource is not a JSON object");
    if (code == TR_OK && tr_registry_has_tag(before.doc) && !tr_registry_has_tag(doc))
        code = TR_XDM_FAIL(r, err, BREAKING, "the union tag cannot be taken away");
    if (code == TR_OK)
        code = change(r, &before, doc, json_incref(ops), err);
    json_decref(doc);
    json_decref(ops);
    tr_object_clear(&before);
    return code;
}

static tr_code remove_all(tr_registry_call *r, const tr_object *object, tr_err *err)
{
    tr_catalog *catalog = r->registry.catalog;
    json_t *descriptors = NULL;
    TR_TRY(tr_registry_descriptors_of(r, object->id, NULL, &descriptors, err));
    tr_code code = tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        code = tr_catalog_remove(catalog, r->registry.tenant, r->of->kind, object->id, err);
        for (size_t i = 0; i < json_array_size(descriptors) && code == TR_OK; i++)
            code = tr_catalog_remove(catalog, r->registry.tenant, "descriptor",
                                     tr_json_text(json_array_get(descriptors, i), "@id", ""), err);
        if (code == TR_OK)
            code = add_audit(r, object->id, "remove", json_incref(object->doc), err);
        code = tr_catalog_end(catalog, code, err);
    }
    json_decref(descriptors);
    return code;
}

static tr_code delete_one(tr_registry_call *r, tr_err *err)
{
    tr_object before;
    TR_TRY(get_stored(r, &before, err));
    tr_code code = tr_registry_check_change(r, before.doc, NULL, err);
    if (code == TR_OK)
        code = remove_all(r, &before, err);
    tr_object_clear(&before);
    return code == TR_OK ? tr_reply_empty(r->call, 204, err) : code;
}

static tr_code in_turn(tr_registry_call *r, tr_registry_handler write, tr_err *err)
{
    tr_registry_write_begin();
    const tr_code code = write(r, err);
    tr_registry_write_end(r);
    return code;
}

tr_code tr_registry_create(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, create, err);
}

tr_code tr_registry_replace(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, replace, err);
}

tr_code tr_registry_patch(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, patch, err);
}

tr_code tr_registry_delete(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, delete_one, err);
}
