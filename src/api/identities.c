/* SPDX-License-Identifier: Apache-2.0 */
/* identities.c - what the calls about identities share, and the simplest of them: the XID of an
 * identity (reference: identity, 5). See identities_internal.h.
 */
#include "api/identities_internal.h"
#include "base/limits.h"
#include "catalog/namespaces.h"

#include <stdio.h>

/* Namespaces --------------------------------------------------------------------------------- */

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for identities");
}

static void fold(const char *code, size_t len, char out[TR_NAMESPACE_CODE_BYTES_MAX + 1])
{
    len = len > TR_NAMESPACE_CODE_BYTES_MAX ? TR_NAMESPACE_CODE_BYTES_MAX : len;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(code[i] >= 'A' && code[i] <= 'Z' ? code[i] + 32 : code[i]);
    out[len] = '\0';
}

static tr_code index_namespaces(tr_id_call *ids, tr_err *err)
{
    char name[TR_NAMESPACE_CODE_BYTES_MAX + 1];
    ids->by_code = json_object();
    ids->by_number = json_object();
    if (ids->by_code == NULL || ids->by_number == NULL)
        return no_memory(err);
    for (size_t i = 0; i < json_array_size(ids->list); i++) {
        json_t *doc = json_array_get(ids->list, i);
        const char *code = tr_json_text(doc, "code", "");
        fold(code, strlen(code), name);
        if (json_object_set(ids->by_code, name, doc) != 0)
            return no_memory(err);
        (void)snprintf(name, sizeof name, "%lld", (long long)tr_json_int(doc, "id", -1));
        if (json_object_set(ids->by_number, name, doc) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

tr_code tr_id_open(tr_call *call, const char *ns_member, tr_id_call *out, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    *out = (tr_id_call){.call = call, .ns_member = ns_member, .is_stitched = true};
    tr_code code = tr_namespace_list(catalog, call->org, &out->list, err);
    if (code == TR_OK)
        code = index_namespaces(out, err);
    if (code == TR_OK)
        code = tr_catalog_secret(catalog, &call->tenant, out->secret, err);
    if (code != TR_OK)
        tr_id_close(out);
    return code;
}

void tr_id_close(tr_id_call *ids)
{
    tr_graph_done(ids->reading);
    json_decref(ids->by_code);
    json_decref(ids->by_number);
    json_decref(ids->list);
    *ids = (tr_id_call){.call = ids->call};
}

const json_t *tr_id_namespace(const tr_id_call *ids, tr_str name)
{
    char text[TR_NAMESPACE_CODE_BYTES_MAX + 1];
    int64_t number;
    if (name.len > TR_NAMESPACE_CODE_BYTES_MAX || name.len == 0)
        return NULL;
    if (tr_str_to_i64(name, &number)) { /* "0411" is 411 */
        (void)snprintf(text, sizeof text, "%lld", (long long)number);
        return json_object_get(ids->by_number, text);
    }
    if (memchr(name.at, '\0', name.len) != NULL)
        return NULL;
    fold((const char *)name.at, name.len, text);
    return json_object_get(ids->by_code, text);
}

int64_t tr_id_number(const tr_id_call *ids, tr_str code)
{
    return tr_json_int(tr_id_namespace(ids, code), "id", -1);
}

bool tr_id_set_graph(tr_id_call *ids, tr_str graph)
{
    static const struct {
        const char *name;
        bool is_stitched;
    } known[] = {{"pdg", true},   {"private", true}, {"Private Graph", true},
                 {"none", false}, {"coop", false},   {"psr", false}};
    if (graph.len == 0)
        return true;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (tr_str_equal_folded(graph, tr_str_of(known[i].name))) {
            ids->is_stitched = known[i].is_stitched;
            return true;
        }
    return false;
}

/* What is asked ------------------------------------------------------------------------------ */

static tr_str text_of(const json_t *value)
{
    return json_is_string(value)
               ? (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)}
               : (tr_str){0};
}

static bool read_xid(tr_id_call *ids, const json_t *sent, tr_identity *out)
{
    const json_t *text = json_is_object(sent) ? json_object_get(sent, "xid") : sent;
    int64_t number;
    if (tr_xid_read(text_of(text), ids->call->request->arena, out, NULL) != TR_OK)
        return false;
    const json_t *doc = tr_id_namespace(ids, out->code);
    if (doc != NULL)
        out->code = tr_str_of(tr_json_text(doc, "code", ""));
    return doc != NULL || !tr_str_to_i64(out->code, &number);
}

/* The namespace's name wins; its number is a number or a text of digits. */
static bool read_pair(tr_id_call *ids, const json_t *sent, tr_id_form *form, tr_identity *out)
{
    char digits[24];
    const json_t *number = json_object_get(sent, "nsid");
    tr_str name = text_of(json_object_get(sent, "ns"));
    out->id = text_of(json_object_get(sent, "id"));
    if (name.len == 0)
        name = text_of(json_object_get(sent, "namespace"));
    *form = name.len > 0 ? TR_ID_NAMESPACE : TR_ID_NSID;
    if (name.len == 0 && number == NULL)
        number = json_object_get(sent, "nsId");
    if (name.len == 0 && json_is_integer(number)) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(number));
        name = tr_str_of(digits);
    } else if (name.len == 0) {
        name = text_of(number);
    }
    const json_t *doc = tr_id_namespace(ids, name);
    out->code = tr_str_of(tr_json_text(doc, "code", ""));
    return doc != NULL;
}

tr_code tr_id_ask(tr_id_call *ids, tr_id_form form, const json_t *sent, tr_err *err)
{
    tr_id_asked *asked = &ids->asked[ids->asked_count];
    if (ids->asked_count == ids->asked_cap) {
        const uint32_t cap = ids->asked_cap == 0 ? 16 : ids->asked_cap * 2;
        asked = tr_arena_array(ids->call->request->arena, cap, sizeof *asked);
        if (asked == NULL)
            return no_memory(err);
        if (ids->asked_count > 0)
            memcpy(asked, ids->asked, ids->asked_count * sizeof *asked);
        ids->asked = asked;
        ids->asked_cap = cap;
        asked += ids->asked_count;
    }
    *asked = (tr_id_asked){.form = form, .sent = sent};
    asked->is_good = form == TR_ID_XID ? read_xid(ids, sent, &asked->identity)
                                       : read_pair(ids, sent, &asked->form, &asked->identity);
    if (asked->identity.id.len == 0 || asked->identity.id.len > TR_IDENTITY_ID_BYTES_MAX)
        asked->is_good = false;
    if (asked->is_good)
        tr_profile_key(ids->secret, asked->identity.code, asked->identity.id, asked->key);
    ids->asked_count++;
    return TR_OK;
}

/* Answers ------------------------------------------------------------------------------------ */

json_t *tr_id_write(const tr_id_call *ids, tr_id_form form, tr_identity identity)
{
    const int64_t number = form == TR_ID_NSID ? tr_id_number(ids, identity.code) : -1;
    if (form == TR_ID_XID) {
        tr_buf xid = {0};
        json_t *text =
            tr_xid_write(identity, &xid, NULL) == TR_OK ? tr_json_str(tr_buf_str(&xid)) : NULL;
        tr_buf_free(&xid);
        return text;
    }
    json_t *id = tr_json_str(identity.id);
    if (number >= 0)
        return json_pack("{s:I, s:o}", "nsid", (json_int_t)number, "id", id);
    return json_pack("{s:o, s:o}", ids->ns_member, tr_json_str(identity.code), "id", id);
}

json_t *tr_id_write_node(const tr_id_call *ids, tr_id_form form, uint32_t node)
{
    tr_node found;
    tr_clusters_describe(ids->clusters, node, &found);
    return tr_id_write(ids, form, (tr_identity){found.code, found.id});
}

uint32_t tr_id_members(const tr_id_call *ids, const tr_id_asked *asked, const uint32_t **out)
{
    const uint32_t node =
        ids->is_stitched ? tr_clusters_find(ids->clusters, asked->key) : TR_NODE_NONE;
    const uint32_t count = node == TR_NODE_NONE ? 0 : tr_clusters_members(ids->clusters, node, out);
    return count < 2 ? 0 : count;
}

static tr_code put_value(tr_id_call *ids, json_t *value, bool is_first, tr_err *err)
{
    tr_buf *out = &ids->call->response->body;
    tr_code code = value == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK && !is_first)
        code = tr_buf_format(out, err, ",");
    if (code == TR_OK)
        code = tr_json_write(value, out, err);
    json_decref(value);
    if (code == TR_OK && out->len > TR_LOOKUP_ANSWER_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "the answer is larger than %zu bytes: ask for fewer",
                       TR_LOOKUP_ANSWER_BYTES_MAX);
    return code;
}

tr_code tr_id_put_entries(tr_id_call *ids, const char *name, tr_id_entry make, const void *ctx,
                          uint32_t *count, tr_err *err)
{
    tr_buf *out = &ids->call->response->body;
    *count = 0;
    TR_TRY(tr_graph_read(ids->call->parts->graph, &ids->call->tenant, &ids->reading, err));
    ids->clusters = tr_graph_clusters(ids->reading);
    TR_TRY(tr_buf_format(out, err, "\"%s\":[", name));
    for (uint32_t i = 0; i < ids->asked_count; i++) {
        json_t *entry = NULL;
        if (!ids->asked[i].is_good)
            continue;
        TR_TRY(make(ids, &ids->asked[i], ctx, &entry, err));
        if (entry != NULL)
            TR_TRY(put_value(ids, entry, (*count)++ == 0, err));
    }
    return tr_buf_format(out, err, "]");
}

tr_code tr_id_put_unprocessed(tr_id_call *ids, const char *name, bool is_xid, uint32_t *count,
                              tr_err *err)
{
    tr_buf *out = &ids->call->response->body;
    uint32_t found = 0;
    TR_TRY(tr_buf_format(out, err, ",\"%s\":[", name));
    for (uint32_t i = 0; i < ids->asked_count; i++) {
        const tr_id_asked *asked = &ids->asked[i];
        if (asked->is_good || (asked->form == TR_ID_XID) != is_xid)
            continue;
        TR_TRY(put_value(ids, json_incref((json_t *)(uintptr_t)asked->sent), found++ == 0, err));
    }
    if (count != NULL)
        *count += found;
    return tr_buf_format(out, err, "]");
}

tr_code tr_id_refuse(tr_call *call, const char *detail, tr_err *err)
{
    return tr_reply_json(
        call, 400,
        json_pack("{s:s, s:i, s:s}", "title", "InvalidInput", "status", 400, "detail", detail),
        err);
}

tr_code tr_id_refuse_pair(tr_call *call, const char *member, const char *name, const char *id,
                          tr_err *err)
{
    char detail[400];
    (void)snprintf(detail, sizeof detail,
                   "The provided %s=%.80s and id=%.80s is invalid. Please provide a valid %s and "
                   "id in your request.",
                   member, name, id, member);
    tr_text_mend(detail);
    return tr_id_refuse(call, detail, err);
}

void tr_id_unknown_graph(tr_str graph, char out[TR_ID_TEXT_BYTES])
{
    (void)snprintf(out, TR_ID_TEXT_BYTES,
                   "The graph-type %.*s specified is invalid. Please provide a valid graph-type",
                   graph.len > 80 ? 80 : (int)graph.len, (const char *)graph.at);
    tr_text_mend(out);
}

const char *tr_id_too_many(tr_id_form form)
{
    return form == TR_ID_XID ? "There is a limit of 1000 XIDs in a single call"
                             : "There is a limit of 1000 compositeXids in a single call";
}

tr_code tr_id_headers(tr_call *call, const char *content_type, tr_err *err)
{
    call->response->content_type = content_type;
    return tr_reply_header(call, "Cache-Control", "no-cache, no-store", err);
}

/* The XID of an identity --------------------------------------------------------------------- */

static tr_code get_identity(tr_call *call, tr_err *err)
{
    const char *id = tr_call_query(call, "id"), *member = "namespace";
    const char *name = tr_call_query(call, member);
    tr_buf xid = {0};
    json_t *known = NULL;
    if (name == NULL)
        name = tr_call_query(call, member = "ns");
    if (name == NULL)
        name = tr_call_query(call, member = "nsid");
    if (name == NULL)
        name = tr_call_query(call, member = "nsId");
    if (name == NULL)
        return tr_id_refuse(call, "Missing required query parameter - namespace", err);
    if (id == NULL)
        return tr_id_refuse(call, "Missing required query parameter - id", err);
    if (strlen(id) > TR_IDENTITY_ID_BYTES_MAX)
        return tr_id_refuse(call, "id is longer than 1024 bytes", err);
    tr_code code = tr_namespace_get(call->parts->catalog, call->org, tr_str_of(name), &known, err);
    if (code == TR_NOT_FOUND)
        return tr_id_refuse_pair(call, member, name, id, err);
    TR_TRY(code);
    code = tr_xid_write((tr_identity){tr_str_of(tr_json_text(known, "code", "")), tr_str_of(id)},
                        &xid, err);
    json_decref(known);
    if (code == TR_OK)
        code = tr_reply_json(call, 200, json_pack("{s:s#}", "xid", (const char *)xid.at, xid.len),
                             err);
    tr_buf_free(&xid);
    return code == TR_OK ? tr_id_headers(call, "application/json;charset=utf-8", err) : code;
}

const tr_endpoint tr_api_identities[] = {
    {"GET", "/data/core/identity/identity", TR_SCOPE_READ, get_identity, 0, false}, {0}};
