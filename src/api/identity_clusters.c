/* SPDX-License-Identifier: Apache-2.0 */
/* identity_clusters.c - members of clusters, their history, and mappings: the older calls about the
 * graph (reference: identity, 7 and 8).
 *
 * A GET asks for one identity, a POST for many; their answers are the same. Clients send several
 * ways to name an identity at once: an XID comes first, then a namespace's name, then its number.
 */
#include "api/identities_internal.h"
#include "base/clock.h"

#include <stdio.h>

#define HISTORY_KEPT_MS (INT64_C(180) * 24 * 3600 * 1000)
#define JSON_UTF8 "application/json;charset=utf-8"

/* What is asked ------------------------------------------------------------------------------ */

/* The first that is given. */
static const char *query_of(tr_call *call, const char *const names[])
{
    const char *value = NULL;
    for (size_t i = 0; names[i] != NULL && value == NULL; i++)
        value = tr_call_given(call, names[i]);
    return value;
}

/* The identity of a GET as a POST would name it; returned, or NULL with *why set. */
static json_t *asked_by_query(tr_call *call, tr_id_form *form, const char **why)
{
    const char *xid = tr_call_given(call, "xid"), *id = tr_call_given(call, "id");
    const char *name = query_of(call, (const char *const[]){"namespace", "ns", NULL});
    const char *number = query_of(call, (const char *const[]){"nsid", "nsId", NULL});
    *form = xid != NULL ? TR_ID_XID : name != NULL ? TR_ID_NAMESPACE : TR_ID_NSID;
    if (xid != NULL)
        return json_string(xid);
    if (id == NULL || (name == NULL && number == NULL)) {
        *why = id == NULL && name == NULL && number == NULL
                   ? "Missing required query parameter - xid or (nsid,id)"
               : id == NULL ? "Missing required query parameter - id"
                            : "Missing required query parameter - nsId";
        return NULL;
    }
    return name != NULL ? json_pack("{s:s, s:s}", "namespace", name, "id", id)
                        : json_pack("{s:s, s:s}", "nsid", number, "id", id);
}

/* The lists of a POST, in the order in which they count. */
static const json_t *asked_by_body(const json_t *body, tr_id_form *form)
{
    static const struct {
        const char *name;
        tr_id_form form;
    } lists[] = {{"xids", TR_ID_XID},
                 {"xid", TR_ID_XID},
                 {"compositeXids", TR_ID_NSID},
                 {"compositeXid", TR_ID_NSID},
                 {"compositeXidsWithNamespace", TR_ID_NAMESPACE}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        const json_t *list = json_object_get(body, lists[i].name);
        *form = lists[i].form;
        if (json_array_size(list) > 0)
            return list;
    }
    return NULL;
}

static tr_code ask_list(tr_id_call *ids, const json_t *body, const char **why, tr_err *err)
{
    tr_id_form form;
    const json_t *list = asked_by_body(body, &form);
    const size_t count = json_array_size(list);
    if (list == NULL)
        *why = "Missing required query parameter - xids or compositeXids";
    else if (count + ids->asked_count > TR_IDENTITIES_MAX)
        *why = tr_id_too_many(form);
    for (size_t i = 0; i < count && *why == NULL; i++)
        TR_TRY(tr_id_ask(ids, form, json_array_get(list, i), err));
    return TR_OK;
}

/* A call ------------------------------------------------------------------------------------- */

/* One of the calls: what it reads besides identities, and its answer. */
typedef struct kind {
    /* *why is set when the call is refused. body  NULL: a GET */
    tr_code (*read)(tr_id_call *ids, const json_t *body, void *ctx, const char **why, tr_err *err);
    tr_code (*answer)(tr_id_call *ids, void *ctx, tr_err *err);
} kind;

static tr_code refuse_graph_type(tr_call *call, tr_str type, tr_err *err)
{
    char text[TR_ID_TEXT_BYTES];
    tr_id_unknown_graph(type, text);
    return tr_id_refuse(call, text, err);
}

static tr_code refuse_unknown(tr_call *call, const tr_id_asked *asked, tr_err *err)
{
    const char *member = asked->form == TR_ID_NSID ? "nsid" : "namespace";
    return tr_id_refuse_pair(call, member, tr_json_text(asked->sent, member, ""),
                             tr_json_text(asked->sent, "id", ""), err);
}

/* In a GET and in a POST, under either name. */
static tr_str graph_type(tr_call *call, const json_t *body)
{
    const char *type = query_of(call, (const char *const[]){"graph-type", "graphType", NULL});
    if (type == NULL && body != NULL)
        type = tr_json_text(body, "graph-type", tr_json_text(body, "graphType", ""));
    return tr_str_of(type);
}

/* ids is open. A list of bodies (one client sends that) asks for all of theirs. */
static tr_code serve(tr_id_call *ids, const kind *as, void *ctx, const json_t *body, tr_err *err)
{
    tr_call *call = ids->call;
    const char *why = NULL;
    tr_id_form form;
    json_t *own = NULL;
    tr_code code = TR_OK;
    const size_t bodies = json_is_array(body) ? json_array_size(body) : 1;
    for (size_t i = 0; i < bodies && code == TR_OK && why == NULL; i++) {
        const json_t *at = json_is_array(body) ? json_array_get(body, i) : body;
        const tr_str graph = graph_type(call, at);
        if (!tr_id_set_graph(ids, graph))
            return refuse_graph_type(call, graph, err);
        if (body != NULL)
            code = ask_list(ids, at, &why, err);
        if (code == TR_OK && why == NULL && as->read != NULL)
            code = as->read(ids, at, ctx, &why, err);
    }
    if (body == NULL && why == NULL) {
        own = asked_by_query(call, &form, &why);
        if (own == NULL && why == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for identities");
        if (own != NULL)
            code = tr_id_ask(ids, form, own, err);
    }
    if (code == TR_OK && why != NULL)
        code = tr_id_refuse(call, why, err);
    else if (code == TR_OK && own != NULL && form != TR_ID_XID && !ids->asked[0].is_good)
        code = refuse_unknown(call, &ids->asked[0], err);
    else if (code == TR_OK)
        code = as->answer(ids, ctx, err);
    json_decref(own);
    return code;
}

static tr_code run(tr_call *call, const kind *as, void *ctx, bool is_post, tr_err *err)
{
    const json_t *body = NULL;
    tr_id_call ids;
    if (is_post) {
        const tr_code code = tr_call_json(call, &body, err);
        if (code == TR_INVALID)
            return tr_id_refuse(call, err->text, err);
        TR_TRY(code);
        if (!json_is_object(body) && json_array_size(body) == 0)
            return tr_id_refuse(call, "Missing required query parameter - xids or compositeXids",
                                err);
    }
    call->response->status = 200;
    TR_TRY(tr_id_open(call, "namespace", &ids, err));
    const tr_code code = serve(&ids, as, ctx, body, err);
    tr_id_close(&ids);
    if (code == TR_LIMIT)
        return tr_id_refuse(call, err->text, err);
    return code;
}

static json_t *named(tr_id_form form, json_t *identity)
{
    return json_pack("{s:o}", form == TR_ID_XID ? "xid" : "compositeXid", identity);
}

/* An identity as it was asked for, with a list to be filled; returned, or NULL. */
static json_t *begin_entry(const tr_id_call *ids, const tr_id_asked *asked, const char *name,
                           json_t **list)
{
    json_t *entry = named(asked->form, tr_id_write(ids, asked->form, asked->identity));
    *list = json_array();
    const bool is_good = entry != NULL && *list != NULL && json_object_set(entry, name, *list) == 0;
    json_decref(*list); /* the entry's from here on */
    if (!is_good)
        json_decref(entry);
    return is_good ? entry : NULL;
}

static tr_code end_entry(json_t *entry, bool is_good, json_t **out, tr_err *err)
{
    if (entry == NULL || !is_good) {
        json_decref(entry);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for identities");
    }
    *out = entry;
    return TR_OK;
}

/* Members ------------------------------------------------------------------------------------ */

static tr_code make_members(const tr_id_call *ids, const tr_id_asked *asked, const void *ctx,
                            json_t **out, tr_err *err)
{
    const uint32_t *members = NULL;
    json_t *list, *entry = begin_entry(ids, asked, "members", &list);
    const uint32_t count = tr_id_members(ids, asked, &members);
    bool is_good = entry != NULL;
    (void)ctx;
    for (uint32_t i = 0; i < count && is_good; i++) {
        json_t *member = tr_id_write_node(ids, asked->form, members[i]);
        is_good = member != NULL && json_array_append_new(list, member) == 0;
    }
    return end_entry(entry, is_good, out, err);
}

/* All that could not be read, in one list, whatever its form. */
static tr_code answer_members(tr_id_call *ids, void *ctx, tr_err *err)
{
    tr_buf *out = &ids->call->response->body;
    uint32_t count;
    const bool is_xid = ids->asked_count > 0 && ids->asked[0].form == TR_ID_XID;
    TR_TRY(tr_buf_format(out, err, "{\"version\":\"1.1.0\",\"algo_type\":\"STITCH_ALL\","));
    TR_TRY(tr_id_put_entries(ids, "clusters", make_members, ctx, &count, err));
    TR_TRY(tr_id_put_unprocessed(ids, "unprocessedRecords", is_xid, NULL, err));
    TR_TRY(tr_buf_format(out, err, "}"));
    return tr_id_headers(ids->call, JSON_UTF8, err);
}

static const kind members_kind = {NULL, answer_members};

static tr_code get_members(tr_call *call, tr_err *err)
{
    return run(call, &members_kind, NULL, false, err);
}

static tr_code post_members(tr_call *call, tr_err *err)
{
    return run(call, &members_kind, NULL, true, err);
}

/* History ------------------------------------------------------------------------------------ */

typedef struct history {
    int64_t least_ms, most_ms; /* when an entry may have been recorded */
} history;

/* A moment to look back from; older than the history is refused. */
static tr_code read_history(tr_id_call *ids, const json_t *body, void *ctx, const char **why,
                            tr_err *err)
{
    history *h = ctx;
    tr_str text = tr_str_of(tr_call_given(ids->call, "timestamp"));
    const json_t *sent = json_object_get(body, "timestamp");
    int64_t ms = json_is_integer(sent) ? json_integer_value(sent) : 0;
    (void)err;
    if (text.len == 0)
        text = tr_str_of(json_string_value(sent));
    if (text.len > 0 && !tr_str_to_i64(text, &ms))
        *why = "The timestamp is invalid. Please provide milliseconds since 1970";
    else if ((text.len > 0 || json_is_integer(sent)) && ms < h->least_ms)
        *why = "The timestamp is older than 180 days. The cluster history is kept for 180 days";
    else if (text.len > 0 || json_is_integer(sent))
        h->most_ms = ms;
    return TR_OK;
}

static json_t *uuid_of(const uint8_t id[16])
{
    char text[40];
    size_t len = 0;
    for (size_t i = 0; i < 16; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%02x",
                                i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    return json_stringn(text, len);
}

static bool add_change(json_t *list, const tr_cluster_change *change)
{
    char when[24];
    (void)snprintf(when, sizeof when, "%lld", (long long)(change->recorded_us / 1000));
    json_t *entry =
        json_pack("{s:o, s:s}", "clusterId", uuid_of(change->cluster), "cRecordedTS", when);
    return entry != NULL && json_array_append_new(list, entry) == 0;
}

static tr_code make_history(const tr_id_call *ids, const tr_id_asked *asked, const void *ctx,
                            json_t **out, tr_err *err)
{
    const history *h = ctx;
    const tr_cluster_change *changes = NULL;
    tr_arena arena = {0};
    uint32_t count = 0;
    json_t *list, *entry = begin_entry(ids, asked, "clusterHistory", &list);
    const uint32_t node =
        ids->is_stitched ? tr_clusters_find(ids->clusters, asked->key) : TR_NODE_NONE;
    tr_code code = TR_OK;
    bool is_good = entry != NULL;
    if (node != TR_NODE_NONE)
        code = tr_clusters_history(ids->clusters, node, &arena, &changes, &count, err);
    for (uint32_t i = 0; i < count && is_good && code == TR_OK; i++) {
        const int64_t ms = changes[i].recorded_us / 1000;
        if (ms >= h->least_ms && ms <= h->most_ms)
            is_good = add_change(list, &changes[i]);
    }
    tr_arena_free(&arena);
    if (code != TR_OK) {
        json_decref(entry);
        return code;
    }
    return end_entry(entry, is_good, out, err);
}

/* What could not be read, apart by its form. */
static tr_code put_both_unprocessed(tr_id_call *ids, uint32_t *count, tr_err *err)
{
    TR_TRY(tr_id_put_unprocessed(ids, "unprocessedXids", true, count, err));
    TR_TRY(tr_id_put_unprocessed(ids, "unprocessedNids", false, count, err));
    TR_TRY(tr_buf_format(&ids->call->response->body, err, "}"));
    return tr_id_headers(ids->call, JSON_UTF8, err);
}

static tr_code answer_history(tr_id_call *ids, void *ctx, tr_err *err)
{
    uint32_t count;
    TR_TRY(tr_buf_format(&ids->call->response->body, err, "{\"version\":1,"));
    TR_TRY(tr_id_put_entries(ids, "xidsClusterHistory", make_history, ctx, &count, err));
    return put_both_unprocessed(ids, NULL, err);
}

static const kind history_kind = {read_history, answer_history};

static tr_code run_history(tr_call *call, bool is_post, tr_err *err)
{
    history h = {tr_time_now_ms() - HISTORY_KEPT_MS, INT64_MAX};
    return run(call, &history_kind, &h, is_post, err);
}

static tr_code get_history(tr_call *call, tr_err *err)
{
    return run_history(call, false, err);
}

static tr_code post_history(tr_call *call, tr_err *err)
{
    return run_history(call, true, err);
}

/* Mappings ----------------------------------------------------------------------------------- */

/* Which namespace the i-th identity is mapped to. */
typedef struct mapping {
    const json_t *target[TR_IDENTITIES_MAX]; /* a namespace's document */
    uint32_t count;
    char text[200];
} mapping;

static tr_code read_mapping(tr_id_call *ids, const json_t *body, void *ctx, const char **why,
                            tr_err *err)
{
    mapping *m = ctx;
    char digits[24];
    const json_t *sent = json_object_get(body, "targetNs");
    tr_str name =
        tr_str_of(query_of(ids->call, (const char *const[]){"targetNs", "targetNS", NULL}));
    (void)err;
    if (name.len == 0 && json_is_integer(sent)) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(sent));
        name = tr_str_of(digits);
    } else if (name.len == 0) {
        name = tr_str_of(json_string_value(sent));
    }
    const json_t *target = tr_id_namespace(ids, name);
    if (name.len == 0) {
        *why = "Missing required query parameter - targetNs";
    } else if (target == NULL) {
        (void)snprintf(m->text, sizeof m->text, "The targetNs %.*s is not a namespace",
                       name.len > 80 ? 80 : (int)name.len, (const char *)name.at);
        tr_text_mend(m->text);
        *why = m->text;
    }
    const uint32_t end = body == NULL ? 1 : ids->asked_count; /* a GET asks for one */
    while (*why == NULL && m->count < end)
        m->target[m->count++] = target;
    return TR_OK;
}

static json_t *mapped(const tr_id_call *ids, tr_id_form form, uint32_t node, int64_t last_us)
{
    json_t *entry = named(form, tr_id_write_node(ids, form, node));
    if (entry != NULL &&
        json_object_set_new(entry, "lastAssociationTime", json_integer(last_us / 1000)) != 0) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

static tr_code make_mapping(const tr_id_call *ids, const tr_id_asked *asked, const void *ctx,
                            json_t **out, tr_err *err)
{
    const mapping *m = ctx;
    const uint32_t *members = NULL;
    const char *wanted = tr_json_text(m->target[asked - ids->asked], "code", "");
    json_t *list, *entry = begin_entry(ids, asked, "mapping", &list);
    const uint32_t count = tr_id_members(ids, asked, &members);
    bool is_good = entry != NULL;
    for (uint32_t i = 0; i < count && is_good; i++) {
        tr_node node;
        tr_clusters_describe(ids->clusters, members[i], &node);
        if (!tr_str_equal_folded(node.code, tr_str_of(wanted)))
            continue;
        json_t *one = mapped(ids, asked->form, members[i], node.last_us);
        is_good = one != NULL && json_array_append_new(list, one) == 0;
    }
    if (is_good && json_array_size(list) == 0) { /* linked to nothing there */
        json_decref(entry);
        return TR_OK;
    }
    return end_entry(entry, is_good, out, err);
}

static tr_code answer_mapping(tr_id_call *ids, void *ctx, tr_err *err)
{
    uint32_t count = 0, unprocessed = 0;
    TR_TRY(tr_buf_format(&ids->call->response->body, err, "{\"version\":1,"));
    TR_TRY(tr_id_put_entries(ids, "mappings", make_mapping, ctx, &count, err));
    TR_TRY(put_both_unprocessed(ids, &unprocessed, err));
    return count + unprocessed > 0 ? TR_OK : tr_reply_empty(ids->call, 204, err);
}

static const kind mapping_kind = {read_mapping, answer_mapping};

static tr_code run_mapping(tr_call *call, bool is_post, tr_err *err)
{
    mapping *m = tr_arena_array(call->request->arena, 1, sizeof *m);
    if (m == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for identities");
    return run(call, &mapping_kind, m, is_post, err);
}

static tr_code get_mapping(tr_call *call, tr_err *err)
{
    return run_mapping(call, false, err);
}

static tr_code post_mapping(tr_call *call, tr_err *err)
{
    return run_mapping(call, true, err);
}

#define IDENTITY "/data/core/identity"

const tr_endpoint tr_api_identity_clusters[] = {
    {"GET", IDENTITY "/cluster/members", TR_SCOPE_READ, get_members, 0, true},
    {"POST", IDENTITY "/clusters/members", TR_SCOPE_READ, post_members, 0, false},
    {"GET", IDENTITY "/cluster/history", TR_SCOPE_READ, get_history, 0, true},
    {"POST", IDENTITY "/clusters/history", TR_SCOPE_READ, post_history, 0, false},
    {"GET", IDENTITY "/mapping", TR_SCOPE_READ, get_mapping, 0, true},
    {"POST", IDENTITY "/mapping", TR_SCOPE_READ, post_mapping, 0, false},
    {"POST", IDENTITY "/mappings", TR_SCOPE_READ, post_mapping, 0, false},
    {0}};
