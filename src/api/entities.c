/* SPDX-License-Identifier: Apache-2.0 */
/* entities.c - /data/core/ups/access/entities: one profile, or a page of its events, by an
 * identity
 * (reference: profile API, section 4).
 *
 * A GET is answered on the thread that serves its connection, unless its view has to be made or
 * columns be decoded first. Errors have the shape of this service:
 * {"message","cause","statusCode":"404"}.
 */
#include "api/entities_internal.h"
#include "base/limits.h"
#include "catalog/namespaces.h"

#include <stdio.h>

#define PROFILE_SCHEMA "_xdm.context.profile"
#define EVENT_SCHEMA "_xdm.context.experienceevent"
static const int64_t TIME_LEAST_MS = -62135596800000, TIME_MOST_MS = 253402300799999;

/* The answer of a refusal that is the caller's; any other failure is forwarded. */
static tr_code refuse(tr_call *call, tr_code code, const tr_err *why, tr_err *err)
{
    char status[16];
    const int number = tr_code_http_status(code);
    const char *title = code == TR_NOT_FOUND  ? "Not found"
                        : code == TR_SEMANTIC ? "The request cannot be carried out"
                                              : "Bad request";
    if (code != TR_NOT_FOUND && code != TR_SEMANTIC && code != TR_INVALID && code != TR_LIMIT)
        return code;
    (void)snprintf(status, sizeof status, "%d", code == TR_LIMIT ? 400 : number);
    return tr_reply_json(
        call, code == TR_LIMIT ? 400 : number,
        json_pack("{s:s, s:s, s:s}", "message", why->text, "cause", title, "statusCode", status),
        err);
}

/* Names -------------------------------------------------------------------------------------- */

/* A code as it stands in keys: a number is looked up. */
static tr_code resolve_code(tr_call *call, tr_identity *identity, tr_err *err)
{
    int64_t number;
    json_t *doc = NULL;
    if (!tr_str_to_i64(identity->code, &number))
        return TR_OK;
    const tr_code code =
        tr_namespace_get(call->parts->catalog, call->org, identity->code, &doc, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "entityIdNS: there is no namespace with the id %lld",
                       (long long)number);
    TR_TRY(code);
    identity->code = tr_arena_copy(call->request->arena, tr_str_of(tr_json_text(doc, "code", "")));
    json_decref(doc);
    return identity->code.at != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a name");
}

static tr_code read_name(tr_call *call, tr_str id, tr_str code, const char *member,
                         tr_entity_name *out, tr_err *err)
{
    if (id.len == 0)
        return TR_FAIL(err, TR_INVALID, "%s is required", member);
    if (id.len > TR_IDENTITY_ID_BYTES_MAX * 2)
        return TR_FAIL(err, TR_INVALID, "%s is longer than %d bytes", member,
                       TR_IDENTITY_ID_BYTES_MAX);
    *out = (tr_entity_name){.identity = {code, id}, .is_by_namespace = code.len > 0};
    if (code.len == 0) {
        if (tr_xid_read(id, call->request->arena, &out->identity, err) != TR_OK) {
            tr_err_context(err, "%s without %sNS", member, member);
            return err == NULL ? TR_INVALID : err->code;
        }
    } else if (id.len > TR_IDENTITY_ID_BYTES_MAX) {
        return TR_FAIL(err, TR_INVALID, "%s is longer than %d bytes", member,
                       TR_IDENTITY_ID_BYTES_MAX);
    } else if (!tr_namespace_code_is_valid(code)) {
        return TR_FAIL(err, TR_INVALID,
                       "%sNS is \"%.*s\": expected a namespace's code, of letters, digits, '_', "
                       "'.' and '-'",
                       member, code.len > 80 ? 80 : (int)code.len, (const char *)code.at);
    }
    return resolve_code(call, &out->identity, err);
}

/* Nobody has it. Data may speak of a namespace that was never defined, so only a miss asks
 * whether
 * there is one. */
static tr_code check_namespace(tr_call *call, tr_profile_view *view, const tr_entity_name *name,
                               tr_err *err)
{
    json_t *doc = NULL;
    bool is_used = false;
    const tr_code code =
        tr_namespace_get(call->parts->catalog, call->org, name->identity.code, &doc, err);
    json_decref(doc);
    if (code != TR_NOT_FOUND)
        return code;
    TR_TRY(tr_profile_knows(view, name->identity.code, &is_used, err));
    if (is_used)
        return TR_OK;
    const tr_str own = name->identity.code;
    return TR_FAIL(err, TR_INVALID,
                   "entityIdNS is \"%.*s\": there is no such namespace, and no data of it",
                   TR_STR_ARG(own));
}

/* GET ---------------------------------------------------------------------------------------- */

/* A query parameter; absent also when it is a template that the client did not fill in. */
static tr_str query(tr_call *call, const char *name)
{
    const tr_str value = tr_http_query(call->request, name);
    return value.len >= 2 && memcmp(value.at, "{{", 2) == 0 ? (tr_str){0} : value;
}

static tr_str query_either(tr_call *call, const char *name, const char *other)
{
    const tr_str value = query(call, name);
    return value.len > 0 ? value : query(call, other);
}

static tr_code read_schema(tr_str name, tr_str related, tr_entity_ask *ask, tr_err *err)
{
    if (name.len == 0)
        return TR_FAIL(err, TR_INVALID,
                       "schema.name is required: " PROFILE_SCHEMA " or " EVENT_SCHEMA);
    ask->is_of_events = tr_str_is(name, EVENT_SCHEMA);
    if (!ask->is_of_events && !tr_str_is(name, PROFILE_SCHEMA))
        return TR_FAIL(err, TR_INVALID,
                       "schema.name is \"%.*s\": expected " PROFILE_SCHEMA " or " EVENT_SCHEMA,
                       name.len > 80 ? 80 : (int)name.len, (const char *)name.at);
    if (ask->is_of_events && related.len > 0 && !tr_str_is(related, PROFILE_SCHEMA))
        return TR_FAIL(err, TR_INVALID, "relatedSchema.name is \"%.*s\": expected " PROFILE_SCHEMA,
                       related.len > 80 ? 80 : (int)related.len, (const char *)related.at);
    return TR_OK;
}

/* "+timestamp" arrives as " timestamp": a '+' is a blank in a URL. */
static tr_code read_order(tr_str order, tr_entity_ask *ask, tr_err *err)
{
    const bool has_sign = order.len > 0 && strchr("+- ", order.at[0]) != NULL;
    const tr_str what = has_sign ? tr_str_from(order, 1) : order;
    ask->page.is_descending = has_sign && order.at[0] == '-';
    if (order.len > 0 && !tr_str_is(what, "timestamp"))
        return TR_FAIL(err, TR_INVALID, "orderby is \"%.*s\": expected +timestamp or -timestamp",
                       order.len > 40 ? 40 : (int)order.len, (const char *)order.at);
    return TR_OK;
}

static tr_code query_time(tr_call *call, const char *name, int64_t *out_us, tr_err *err)
{
    int64_t ms = 0;
    *out_us = TR_TIME_NONE;
    if (query(call, name).len == 0)
        return TR_OK;
    TR_TRY(tr_call_query_int(call, name, 0, TIME_LEAST_MS, TIME_MOST_MS, &ms, err));
    *out_us = ms * 1000;
    return TR_OK;
}

/* Who is asked for by entityId and entityIdNS. */
static tr_code query_name(tr_call *call, tr_entity_name *name, tr_err *err)
{
    return read_name(call, query(call, "entityId"), query_either(call, "entityIdNS", "entityIdNs"),
                     "entityId", name, err);
}

/* Filters may be many: each counts. */
static tr_code read_properties(tr_call *call, tr_entity_ask *ask, tr_err *err)
{
    const tr_http_request *request = call->request;
    tr_buf paths = {0};
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < request->query_count && code == TR_OK; i++) {
        const tr_str value = request->query[i].value;
        if (!tr_str_is(request->query[i].name, "property") || value.len == 0 ||
            (value.len >= 2 && memcmp(value.at, "{{", 2) == 0))
            continue;
        code = tr_property_add(&ask->properties, value, err);
        if (code == TR_OK)
            code = tr_buf_format(&paths, err, "%s%.*s", paths.len == 0 ? "" : ",",
                                 TR_STR_ARG(ask->properties.each[ask->properties.count - 1].path));
    }
    if (code == TR_OK && paths.len > 0) {
        ask->property_paths = tr_arena_copy(request->arena, tr_buf_str(&paths));
        if (ask->property_paths.at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for filters of events");
    }
    tr_buf_free(&paths);
    return code;
}

static tr_code read_query(tr_call *call, tr_entity_ask *ask, tr_entity_name *name, tr_err *err)
{
    int64_t limit = TR_LOOKUP_EVENTS_MAX;
    const tr_str policy = query(call, "mergePolicyId");
    *ask = (tr_entity_ask){.fields = query(call, "fields")};
    TR_TRY(read_schema(query(call, "schema.name"), query(call, "relatedSchema.name"), ask, err));
    if (policy.len > 0)
        ask->policy_id = tr_call_query(call, "mergePolicyId");
    ask->is_explained = tr_str_is(query(call, "explain"), "true");
    if (!ask->is_of_events)
        return query_name(call, name, err);
    TR_TRY(read_properties(call, ask, err));
    TR_TRY(read_order(query_either(call, "orderby", "orderBy"), ask, err));
    TR_TRY(query_time(call, "startTime", &ask->page.from_us, err));
    TR_TRY(query_time(call, "endTime", &ask->page.before_us, err));
    if (query(call, "limit").len > 0)
        TR_TRY(tr_call_query_int(call, "limit", limit, 1, TR_LOOKUP_EVENTS_MAX, &limit, err));
    ask->page.limit = (uint32_t)limit;
    ask->page.start = query_either(call, "start", "offsets");
    tr_str id = query(call, "entityId"), code = query_either(call, "entityIdNS", "entityIdNs");
    if (query(call, "relatedEntityId").len > 0) {
        id = query(call, "relatedEntityId");
        code = query_either(call, "relatedEntityIdNS", "relatedEntityIdNs");
    }
    return read_name(call, id, code, "relatedEntityId", name, err);
}

static tr_code open_view(tr_call *call, const tr_entity_ask *ask, tr_profile_view **out,
                         tr_err *err)
{
    const tr_profile_view_spec spec = {.policy_id = ask->policy_id,
                                       .fields = ask->fields,
                                       .properties = ask->property_paths,
                                       .is_of_events = ask->is_of_events,
                                       .may_wait = ask->may_wait};
    return tr_profile_view_open(call->parts->profiles, &call->tenant, &spec, out, err);
}

static tr_code put_escaped(tr_str text, tr_buf *out, tr_err *err)
{
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.at[i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || (c != 0 && strchr("-_.~", c) != NULL);
        if (is_plain)
            TR_TRY(tr_buf_append(out, (tr_str){&text.at[i], 1}, err));
        else
            TR_TRY(tr_buf_format(out, err, "%%%02X", c));
    }
    return TR_OK;
}

/* The next page's link: this request with another start. One client reads `offsets` for `start`.
 * */
static tr_code put_link(tr_call *call, tr_str next, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_format(out, err, ",\"_links\":{\"next\":{\"href\":\""));
    if (next.at != NULL) {
        TR_TRY(tr_buf_format(out, err, "/entities?start="));
        TR_TRY(put_escaped(next, out, err));
        TR_TRY(tr_buf_format(out, err, "&offsets="));
        TR_TRY(put_escaped(next, out, err));
        for (uint32_t i = 0; i < call->request->query_count; i++) {
            const tr_http_pair *pair = &call->request->query[i];
            if (tr_str_is(pair->name, "start") || tr_str_is(pair->name, "offsets") ||
                pair->value.len == 0)
                continue;
            TR_TRY(tr_buf_format(out, err, "&"));
            TR_TRY(put_escaped(pair->name, out, err));
            TR_TRY(tr_buf_format(out, err, "="));
            TR_TRY(put_escaped(pair->value, out, err));
        }
    }
    return tr_buf_format(out, err, "\"}}}");
}

static tr_code put_answer(tr_call *call, const tr_entity_ask *ask, tr_profile_view *view,
                          const tr_entity_name *name, tr_err *err)
{
    tr_buf *out = &call->response->body;
    tr_arena *arena = call->request->arena;
    tr_merge_events found;
    if (!ask->is_of_events) {
        TR_TRY(tr_buf_format(out, err, "{"));
        const tr_code code = tr_entity_put_profile(ask, view, name, arena, out, err);
        if (code == TR_NOT_FOUND) {
            TR_TRY(check_namespace(call, view, name, err));
            return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
        }
        TR_TRY(code);
        return tr_buf_format(out, err, "}");
    }
    TR_TRY(tr_entity_put_events(ask, view, name, arena, out, &found, err));
    if (found.count == 0)
        TR_TRY(check_namespace(call, view, name, err));
    return put_link(call, found.next, out, err);
}

/* code  of what was read so far */
static tr_code reply(tr_call *call, tr_code code, tr_entity_ask *ask, const tr_entity_name *name,
                     tr_err *err)
{
    tr_profile_view *view = NULL;
    ask->may_wait = !call->request->may_defer;
    if (code == TR_OK && ask->is_explained && !ask->may_wait) {
        call->response->is_deferred = true; /* it looks through the whole graph */
        return TR_OK;
    }
    if (code == TR_OK)
        code = open_view(call, ask, &view, err);
    if (code == TR_OK)
        code = put_answer(call, ask, view, name, err);
    tr_profile_view_close(call->parts->profiles, view);
    if (code == TR_BUSY && call->request->may_defer) {
        call->response->is_deferred = true;
        return TR_OK;
    }
    if (code == TR_OK)
        call->response->status = 200;
    return code == TR_OK ? TR_OK : refuse(call, code, err, err);
}

static tr_code get_entity(tr_call *call, tr_err *err)
{
    tr_entity_ask ask;
    tr_entity_name name;
    const tr_code code = read_query(call, &ask, &name, err);
    return reply(call, code, &ask, &name, err);
}

tr_code tr_entity_reply(tr_call *call, const tr_entity_ask *ask, tr_err *err)
{
    tr_entity_name name;
    tr_entity_ask own = *ask;
    const tr_code code = query_name(call, &name, err);
    return reply(call, code, &own, &name, err);
}

/* POST --------------------------------------------------------------------------------------- */

static tr_str member_text(const json_t *object, const char *member)
{
    const json_t *value = json_object_get(object, member);
    return json_is_string(value)
               ? (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)}
               : (tr_str){0};
}

/* {"code": ...} or the code itself. */
static tr_str namespace_of(const json_t *item, const char *member)
{
    const json_t *value = json_object_get(item, member);
    return json_is_object(value) ? member_text(value, "code") : member_text(item, member);
}

static tr_code body_time(const json_t *filter, const char *name, int64_t *out_us, tr_err *err)
{
    const json_t *value = json_object_get(filter, name);
    *out_us = TR_TIME_NONE;
    if (value == NULL || json_is_null(value))
        return TR_OK;
    if (!json_is_integer(value) || json_integer_value(value) < TIME_LEAST_MS ||
        json_integer_value(value) > TIME_MOST_MS)
        return TR_FAIL(err, TR_INVALID, "timeFilter.%s: expected milliseconds since 1970", name);
    *out_us = json_integer_value(value) * 1000;
    return TR_OK;
}

/* ["a","b.c"] as "a,b.c"; a text is taken as it is. */
static tr_code body_fields(tr_call *call, const json_t *fields, tr_str *out, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = TR_OK;
    *out = (tr_str){0};
    if (fields == NULL || json_is_null(fields))
        return TR_OK;
    if (!json_is_array(fields) && !json_is_string(fields))
        return TR_FAIL(err, TR_INVALID, "fields: expected an array of paths");
    if (json_is_string(fields))
        code = tr_buf_append(&text, tr_str_of(json_string_value(fields)), err);
    for (size_t i = 0; i < json_array_size(fields) && code == TR_OK; i++) {
        const char *path = json_string_value(json_array_get(fields, i));
        code = path == NULL ? TR_FAIL(err, TR_INVALID, "fields[%zu]: expected a path", i)
                            : tr_buf_format(&text, err, "%s%s", i == 0 ? "" : ",", path);
    }
    if (code == TR_OK && text.len > TR_LOOKUP_FIELDS_BYTES_MAX)
        code = TR_FAIL(err, TR_INVALID, "fields has %zu bytes: at most %d", text.len,
                       TR_LOOKUP_FIELDS_BYTES_MAX);
    if (code == TR_OK && text.len > 0) {
        *out = tr_arena_copy(call->request->arena, tr_buf_str(&text));
        if (out->at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the fields");
    }
    tr_buf_free(&text);
    return code;
}

static tr_code read_body(tr_call *call, const json_t *body, tr_entity_ask *ask, tr_err *err)
{
    const json_t *ids = json_object_get(body, "identities");
    const json_t *filter = json_object_get(body, "timeFilter");
    const json_t *limit = json_object_get(body, "limit");
    const char *policy = tr_json_text(body, "mergePolicyId", "");
    *ask = (tr_entity_ask){.is_post = true,
                           .may_wait = true,
                           .policy_id = policy[0] == '\0' ? NULL : policy,
                           .is_explained = tr_json_bool(body, "explain", false)};
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the body is not an object");
    TR_TRY(read_schema(member_text(json_object_get(body, "schema"), "name"),
                       member_text(json_object_get(body, "relatedSchema"), "name"), ask, err));
    if (!json_is_array(ids) || json_array_size(ids) == 0)
        return TR_FAIL(err, TR_INVALID, "identities is required: an array of 1 to %d identities",
                       TR_LOOKUP_IDS_MAX);
    if (json_array_size(ids) > TR_LOOKUP_IDS_MAX)
        return TR_FAIL(err, TR_INVALID, "identities has %zu items: at most %d in one request",
                       json_array_size(ids), TR_LOOKUP_IDS_MAX);
    TR_TRY(body_fields(call, json_object_get(body, "fields"), &ask->fields, err));
    const tr_str order = member_text(body, "orderby");
    TR_TRY(read_order(order.len > 0 ? order : member_text(body, "orderBy"), ask, err));
    TR_TRY(body_time(filter, "startTime", &ask->page.from_us, err));
    TR_TRY(body_time(filter, "endTime", &ask->page.before_us, err));
    if (limit != NULL && (!json_is_integer(limit) || json_integer_value(limit) < 1 ||
                          json_integer_value(limit) > TR_LOOKUP_EVENTS_MAX))
        return TR_FAIL(err, TR_INVALID, "limit: expected a whole number from 1 to %d",
                       TR_LOOKUP_EVENTS_MAX);
    ask->page.limit = limit == NULL ? TR_LOOKUP_EVENTS_MAX : (uint32_t)json_integer_value(limit);
    return TR_OK;
}

static tr_code read_item(tr_call *call, const tr_entity_ask *ask, const json_t *item,
                         tr_entity_name *out, tr_err *err)
{
    const bool is_related = ask->is_of_events && json_object_get(item, "relatedEntityId") != NULL;
    const char *member = is_related ? "relatedEntityId" : "entityId";
    const tr_code code = read_name(
        call, member_text(item, member),
        namespace_of(item, is_related ? "relatedEntityIdNS" : "entityIdNS"), member, out, err);
    if (code == TR_OK)
        out->start = member_text(item, "start");
    return code;
}

/* The rest of a page's answer: what to POST for the next one. */
static tr_code put_payload(const json_t *body, const tr_entity_name *name, tr_str next, tr_buf *out,
                           tr_err *err)
{
    tr_buf xid = {0};
    tr_code code = TR_OK;
    if (next.at == NULL)
        return tr_buf_format(out, err, ",\"_links\":{\"next\":{\"href\":\"\"}}}");
    TR_TRY(tr_buf_format(out, err, ",\"_links\":{\"next\":{\"href\":\"/entities\",\"payload\":"));
    TR_TRY(tr_xid_write(name->identity, &xid, err));
    json_t *payload = json_copy((json_t *)(uintptr_t)body);
    json_t *ids = json_pack("[{s:s#, s:s#}]", "relatedEntityId", (const char *)xid.at, xid.len,
                            "start", (const char *)next.at, next.len);
    if (payload == NULL || json_object_set_new(payload, "identities", ids) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer");
    if (code == TR_OK)
        code = tr_json_write(payload, out, err);
    json_decref(payload);
    tr_buf_free(&xid);
    return code == TR_OK ? tr_buf_format(out, err, "}}}") : code;
}

static tr_code put_item(tr_call *call, const tr_entity_ask *ask, tr_profile_view *view,
                        const json_t *body, const tr_entity_name *name, tr_arena *arena,
                        tr_err *err)
{
    tr_buf *out = &call->response->body;
    tr_merge_events found;
    if (ask->is_of_events) {
        TR_TRY(tr_buf_format(out, err, "\""));
        TR_TRY(tr_xid_write(name->identity, out, err));
        TR_TRY(tr_buf_format(out, err, "\":"));
        TR_TRY(tr_entity_put_events(ask, view, name, arena, out, &found, err));
        if (found.count == 0)
            TR_TRY(check_namespace(call, view, name, err));
        return put_payload(body, name, found.next, out, err);
    }
    const tr_code code = tr_entity_put_profile(ask, view, name, arena, out, err);
    if (code != TR_NOT_FOUND)
        return code;
    TR_TRY(check_namespace(call, view, name, err));
    return tr_entity_put_missing(name, out, err);
}

/* Whether an identity is asked for a second time: an answer's members are different. */
static tr_code is_repeated(json_t *seen, const tr_entity_name *name, bool *out, tr_err *err)
{
    tr_buf xid = {0};
    tr_code code = tr_xid_write(name->identity, &xid, err);
    if (code == TR_OK)
        code = tr_buf_append(&xid, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK) {
        *out = json_object_get(seen, (const char *)xid.at) != NULL;
        if (json_object_set_new(seen, (const char *)xid.at, json_true()) != 0)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer");
    }
    tr_buf_free(&xid);
    return code;
}

/* One identity of the request; nothing when it was asked for before. */
static tr_code put_asked(tr_call *call, const tr_entity_ask *ask, tr_profile_view *view,
                         const json_t *item, json_t *seen, tr_err *err)
{
    const json_t *body = NULL;
    tr_entity_name name;
    bool is_known = false;
    tr_arena arena = {0};
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(read_item(call, ask, item, &name, err));
    TR_TRY(is_repeated(seen, &name, &is_known, err));
    if (is_known)
        return TR_OK;
    tr_buf *out = &call->response->body;
    if (out->len > 1)
        TR_TRY(tr_buf_format(out, err, ","));
    const tr_code code = put_item(call, ask, view, body, &name, &arena, err);
    tr_arena_free(&arena);
    if (code == TR_OK && out->len > TR_LOOKUP_ANSWER_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "the answer is larger than %zu bytes: ask for fewer",
                       TR_LOOKUP_ANSWER_BYTES_MAX);
    return code;
}

static tr_code put_items(tr_call *call, const tr_entity_ask *ask, tr_profile_view *view,
                         const json_t *body, tr_err *err)
{
    const json_t *ids = json_object_get(body, "identities");
    json_t *seen = json_object();
    tr_code code = seen == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer")
                                : tr_buf_format(&call->response->body, err, "{");
    for (size_t i = 0; i < json_array_size(ids) && code == TR_OK; i++) {
        code = put_asked(call, ask, view, json_array_get(ids, i), seen, err);
        if (code == TR_INVALID)
            tr_err_context(err, "identities[%zu]", i);
    }
    json_decref(seen);
    return code == TR_OK ? tr_buf_format(&call->response->body, err, "}") : code;
}

static tr_code post_entities(tr_call *call, tr_err *err)
{
    tr_entity_ask ask;
    const json_t *body = NULL;
    tr_profile_view *view = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    tr_code code = read_body(call, body, &ask, err);
    if (code == TR_OK)
        code = open_view(call, &ask, &view, err);
    if (code == TR_OK)
        code = put_items(call, &ask, view, body, err);
    tr_profile_view_close(call->parts->profiles, view);
    if (code == TR_OK)
        call->response->status = 200;
    return code == TR_OK ? TR_OK : refuse(call, code, err, err);
}

/* DELETE ------------------------------------------------------------------------------------- */

static tr_code read_deletion(tr_call *call, tr_entity_name *name, tr_err *err)
{
    const tr_str schema = query(call, "schema.name"), policy = query(call, "mergePolicyId");
    json_t *doc = NULL;
    if (!tr_str_is(schema, PROFILE_SCHEMA))
        return TR_FAIL(err, TR_INVALID, "schema.name: expected " PROFILE_SCHEMA);
    TR_TRY(query_name(call, name, err));
    if (policy.len == 0)
        return TR_OK;
    TR_TRY(tr_policy_get(call->parts->catalog, &call->tenant, tr_call_query(call, "mergePolicyId"),
                         0, &doc, err));
    json_decref(doc);
    return TR_OK;
}

/* A delete request for the identity (removal/removal.h), whatever datasets the policy looks at:
 * what is deleted is found by no other policy either. */
static tr_code delete_entity(tr_call *call, tr_err *err)
{
    tr_entity_name name;
    json_t *job = NULL;
    char href[200];
    tr_code code = read_deletion(call, &name, err);
    if (code == TR_OK)
        code = tr_removal_create_identity(call->parts->removals, &call->tenant, name.identity, &job,
                                          err);
    if (code != TR_OK)
        return refuse(call, code, err, err);
    (void)snprintf(href, sizeof href, "%.100s/data/core/ups/system/jobs/%.60s",
                   call->parts->public_url == NULL ? "" : call->parts->public_url,
                   tr_json_text(job, "id", ""));
    json_decref(job);
    TR_TRY(tr_reply_header(call, "X-Location", href, err));
    return tr_reply_empty(call, 202, err);
}

#define ENTITIES "/data/core/ups/access/entities"

const tr_endpoint tr_api_entities[] = {{"GET", ENTITIES, TR_SCOPE_READ, get_entity, 0},
                                       {"POST", ENTITIES, TR_SCOPE_READ, post_entities, 0},
                                       {"DELETE", ENTITIES, TR_SCOPE_WRITE, delete_entity, 0},
                                       {0}};
