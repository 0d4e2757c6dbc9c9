/* SPDX-License-Identifier: Apache-2.0 */
/* identity_graph.c - POST /data/core/identity/v2/graph: who is linked with whom, as sets of members
 * or as vertices and edges (reference: identity, 6).
 *
 * One client sends "composite_xid", one object or a list of them. Errors here are
 * {"reason","message"}. `traverse` and `filter` are read by nobody.
 */
#include "api/identities_internal.h"
#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>

static tr_code refuse(tr_call *call, const char *message, tr_err *err)
{
    char reason[120];
    (void)snprintf(reason, sizeof reason, "Validation error Request id: %s.", call->request_id);
    return tr_reply_json(call, 400, json_pack("{s:s, s:s}", "reason", reason, "message", message),
                         err);
}

typedef struct projection {
    bool is_graph, with_sources, with_meta;
} projection;

/* Entries ------------------------------------------------------------------------------------ */

static json_t *named(tr_id_form form, json_t *identity)
{
    return json_pack("{s:o}", form == TR_ID_XID ? "xid" : "composite_xid", identity);
}

static tr_code add(json_t *list, json_t *value, tr_err *err)
{
    return list != NULL && value != NULL && json_array_append_new(list, value) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for a graph");
}

static tr_code set_member(json_t *entry, const char *name, json_t *value, tr_err *err)
{
    return entry != NULL && value != NULL && json_object_set_new(entry, name, value) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for a graph");
}

/* Data sources are Audience Manager's, and nothing here comes from it. */
static tr_code put_members(const tr_id_call *ids, tr_id_form form, const uint32_t *members,
                           uint32_t count, json_t *entry, const projection *as, tr_err *err)
{
    json_t *list = json_array(), *sources = json_array();
    tr_code code = set_member(entry, "members", list, err);
    if (code == TR_OK && as->with_sources)
        code = set_member(entry, "datasources", json_incref(sources), err);
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        code = add(list, tr_id_write_node(ids, form, members[i]), err);
        json_t *source = !as->with_sources || code != TR_OK
                             ? NULL
                             : named(form, tr_id_write_node(ids, form, members[i]));
        if (code == TR_OK && as->with_sources)
            code = set_member(source, "ds_ids", json_array(), err);
        if (code == TR_OK && as->with_sources)
            code = add(sources, json_incref(source), err);
        json_decref(source);
    }
    json_decref(sources);
    return code;
}

static tr_code put_vertices(const tr_id_call *ids, tr_id_form form, const uint32_t *members,
                            uint32_t count, json_t *entry, tr_err *err)
{
    json_t *list = json_array();
    TR_TRY(set_member(entry, "vertices", list, err));
    for (uint32_t i = 0; i < count; i++) {
        tr_node node;
        tr_clusters_describe(ids->clusters, members[i], &node);
        TR_TRY(add(list,
                   json_pack("{s:o, s:I}", form == TR_ID_XID ? "xid" : "composite_xid",
                             tr_id_write_node(ids, form, members[i]), "last_updated_ts",
                             (json_int_t)(node.last_us / 1000)),
                   err));
    }
    return TR_OK;
}

static bool has_text(const json_t *list, tr_str text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (tr_str_is(text, json_string_value(json_array_get(list, i))))
            return true;
    return false;
}

static tr_code put_meta(const tr_id_call *ids, const tr_link *link, json_t *edge, tr_err *err)
{
    json_t *datasets = json_array(), *batches = json_array();
    tr_code code = set_member(edge, "dataset_ids", datasets, err);
    const tr_code other = set_member(edge, "batch_ids", batches, err);
    code = code == TR_OK ? other : code;
    for (uint32_t i = 0; i < link->batch_count && code == TR_OK; i++) {
        tr_str batch, dataset;
        tr_graph_batch(ids->reading, link->batches[i], &batch, &dataset);
        code = add(batches, tr_json_str(batch), err);
        if (code == TR_OK && !has_text(datasets, dataset))
            code = add(datasets, tr_json_str(dataset), err);
    }
    return code;
}

static tr_code put_edges(const tr_id_call *ids, tr_id_form form, const tr_link *links,
                         uint32_t count, json_t *entry, const projection *as, tr_err *err)
{
    json_t *list = json_array();
    TR_TRY(set_member(entry, "edges", list, err));
    for (uint32_t i = 0; i < count; i++) {
        const tr_link *link = &links[i];
        json_t *edge =
            json_pack("{s:[o, o], s:I, s:I}", form == TR_ID_XID ? "xid_pair" : "composite_xid_pair",
                      tr_id_write_node(ids, form, link->a), tr_id_write_node(ids, form, link->b),
                      "first_established_ts", (json_int_t)(link->first_us / 1000),
                      "last_established_ts", (json_int_t)(link->last_us / 1000));
        TR_TRY(add(list, edge, err));
        if (as->with_meta)
            TR_TRY(put_meta(ids, link, edge, err));
    }
    return TR_OK;
}

static tr_code fill_entry(const tr_id_call *ids, const tr_id_asked *asked, const projection *as,
                          tr_arena *arena, json_t *entry, tr_err *err)
{
    const uint32_t *members = NULL;
    const tr_link *links = NULL;
    uint32_t link_count = 0;
    const uint32_t count = tr_id_members(ids, asked, &members);
    if (!as->is_graph)
        return put_members(ids, asked->form, members, count, entry, as, err);
    TR_TRY(put_vertices(ids, asked->form, members, count, entry, err));
    if (count > 0)
        TR_TRY(tr_clusters_links(ids->clusters, members[0], arena, &links, &link_count, err));
    return put_edges(ids, asked->form, links, link_count, entry, as, err);
}

static tr_code make_entry(const tr_id_call *ids, const tr_id_asked *asked, const void *ctx,
                          json_t **out, tr_err *err)
{
    tr_arena arena = {0};
    json_t *entry = named(asked->form, tr_id_write(ids, asked->form, asked->identity));
    tr_code code = entry == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a graph")
                                 : fill_entry(ids, asked, ctx, &arena, entry, err);
    tr_arena_free(&arena);
    if (code == TR_OK)
        *out = entry;
    else
        json_decref(entry);
    return code;
}

/* The call ----------------------------------------------------------------------------------- */

/* NULL when the projection is one that there is. */
static const char *read_projection(const json_t *body, projection *out)
{
    const char *type = tr_json_text(body, "projection_type", "");
    out->is_graph = strcmp(type, "graph") == 0;
    out->with_sources =
        tr_json_bool(json_object_get(body, "aam_properties"), "return_data_sources", false);
    out->with_meta = tr_json_bool(body, "require_edge_meta_data", false);
    if (!out->is_graph && strcmp(type, "set") != 0)
        return "Graph Request Invalid - projection types available are [graph|set].";
    if (out->is_graph && out->with_sources)
        return "Graph Request Invalid - return_data_sources goes with the projection type set "
               "only.";
    if (!out->is_graph && out->with_meta)
        return "Graph Request Invalid - require_edge_meta_data goes with the projection type graph "
               "only.";
    return NULL;
}

static const json_t *asked_list(const json_t *body, tr_id_form *form)
{
    const json_t *list = json_object_get(body, "xids");
    *form = TR_ID_XID;
    if (list != NULL && !json_is_null(list))
        return list;
    *form = TR_ID_NSID;
    list = json_object_get(body, "composite_xids");
    return list != NULL && !json_is_null(list) ? list : json_object_get(body, "composite_xid");
}

/* Reads what is asked; *why is set when it is refused. */
static tr_code read_asked(tr_id_call *ids, const json_t *list, tr_id_form form, const char **why,
                          tr_err *err)
{
    const size_t count = json_is_array(list) ? json_array_size(list) : 1;
    if (list == NULL || count == 0 || (!json_is_array(list) && !json_is_object(list)))
        *why = "Missing required query parameter - xids or compositeXids";
    else if (count > TR_IDENTITIES_MAX)
        *why = tr_id_too_many(form);
    for (size_t i = 0; i < count && *why == NULL; i++) {
        const json_t *item = json_is_array(list) ? json_array_get(list, i) : list;
        /* an XID among composite ones is still one */
        TR_TRY(tr_id_ask(ids, json_is_string(item) ? TR_ID_XID : form, item, err));
    }
    return TR_OK;
}

static tr_code answer(tr_id_call *ids, const projection *as, bool is_xid, tr_err *err)
{
    tr_buf *out = &ids->call->response->body;
    uint32_t count;
    TR_TRY(tr_buf_format(out, err, "{\"version\":\"2.0\",\"algo_type\":\"STITCH_ALL\","));
    TR_TRY(tr_id_put_entries(ids, "graphs", make_entry, as, &count, err));
    TR_TRY(tr_id_put_unprocessed(ids, is_xid ? "unprocessed_xids" : "unprocessed_composite_xids",
                                 is_xid, NULL, err));
    if (!is_xid) {
        bool has_xids = false;
        for (uint32_t i = 0; i < ids->asked_count; i++)
            has_xids = has_xids || ids->asked[i].form == TR_ID_XID;
        if (has_xids)
            TR_TRY(tr_id_put_unprocessed(ids, "unprocessed_xids", true, NULL, err));
    }
    TR_TRY(tr_buf_format(out, err, "}"));
    return tr_id_headers(ids->call, "application/json;version=2.2.1;charset=utf-8", err);
}

static tr_code refuse_graph_type(tr_call *call, const char *type, tr_err *err)
{
    char text[TR_ID_TEXT_BYTES];
    tr_id_unknown_graph(tr_str_of(type), text);
    return refuse(call, text, err);
}

static tr_code post_graph(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_id_call ids;
    projection as;
    tr_id_form form;
    tr_code code = tr_call_json(call, &body, err);
    if (code == TR_INVALID)
        return refuse(call, err->text, err);
    TR_TRY(code);
    const char *type = tr_json_text(body, "graph_type", "");
    const char *why = json_is_object(body) ? read_projection(body, &as)
                                           : "Graph Request Invalid - the body is not an object.";
    if (why != NULL)
        return refuse(call, why, err);
    TR_TRY(tr_id_open(call, "ns", &ids, err));
    if (!tr_id_set_graph(&ids, tr_str_of(type))) {
        tr_id_close(&ids);
        return refuse_graph_type(call, type, err);
    }
    const json_t *list = asked_list(body, &form);
    code = read_asked(&ids, list, form, &why, err);
    if (code == TR_OK && why == NULL)
        code = answer(&ids, &as, form == TR_ID_XID, err);
    tr_id_close(&ids);
    if (code == TR_LIMIT || (code == TR_OK && why != NULL))
        return refuse(call, code == TR_LIMIT ? err->text : why, err);
    if (code == TR_OK)
        call->response->status = 200;
    return code;
}

const tr_endpoint tr_api_identity_graph[] = {
    {"POST", "/data/core/identity/v2/graph", TR_SCOPE_READ, post_graph, 0, false}, {0}};
