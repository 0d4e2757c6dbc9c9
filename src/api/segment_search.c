/* SPDX-License-Identifier: Apache-2.0 */
/* segment_search.c - /data/core/ups/search: audiences by namespace and text (reference:
 * segmentation API, section 10). There are no folders: a taxonomy is empty.
 */
#include "api/segment_list.h"
#include "codec/base64.h"
#include "segment/audience.h"

enum { ENTITIES_MAX = 50 };

static tr_code want(tr_call *call, const char *name, tr_str *out, tr_err *err)
{
    *out = tr_segment_query(call, name);
    return out->len > 0 ? TR_OK : TR_FAIL(err, TR_INVALID, "%s is required", name);
}

/* Only audiences can be searched; schemaClass is schema.name of other pages. */
static tr_code check_class(tr_call *call, tr_err *err)
{
    tr_str name = tr_segment_query(call, "schema.name");
    if (name.len == 0)
        name = tr_segment_query(call, "schemaClass");
    if (name.len == 0)
        return TR_FAIL(err, TR_INVALID, "schema.name is required: _xdm.context.segmentdefinition");
    if (!tr_str_is(name, "_xdm.context.segmentdefinition"))
        return TR_FAIL(err, TR_INVALID,
                       "schema.name is \"%.*s\": expected _xdm.context.segmentdefinition",
                       name.len > 80 ? 80 : (int)name.len, (const char *)name.at);
    return TR_OK;
}

/* Of a Lucene query one term: text, or field:text; * at its ends says what is so anyway. */
static tr_code read_term(tr_call *call, tr_list_request *request, tr_err *err)
{
    static const char *const fields[][2] = {{"name", "name"},
                                            {"segmentName", "name"},
                                            {"description", "description"},
                                            {"segmentDescription", "description"},
                                            {"id", "id"},
                                            {"segmentId", "id"}};
    tr_str term = tr_segment_query(call, "s");
    const char *path = "name";
    if (term.len == 0)
        return TR_OK;
    for (size_t i = 0; i < term.len; i++)
        if (term.at[i] == ':') {
            const tr_str field = {term.at, i};
            path = NULL;
            for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
                if (tr_str_is(field, fields[f][0]))
                    path = fields[f][1];
            if (path == NULL)
                return TR_FAIL(err, TR_INVALID, "s: \"%.*s\" is no field that can be searched",
                               i > 60 ? 60 : (int)i, (const char *)term.at);
            term = tr_str_from(term, i + 1);
            break;
        }
    while (term.len > 0 && (term.at[0] == '*' || term.at[0] == '"'))
        term = tr_str_from(term, 1);
    while (term.len > 0 && (term.at[term.len - 1] == '*' || term.at[term.len - 1] == '"'))
        term.len--;
    return tr_list_add(request, path, term, TR_LIST_CONTAINS, err);
}

static tr_code reply(tr_call *call, json_t *body, tr_err *err)
{
    const int bad = json_object_set_new(body, "status", json_pack("{s:s}", "message", "Success"));
    if (bad == 0)
        return tr_reply_json(call, 200, body, err);
    json_decref(body);
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to search");
}

/* ---- namespaces */

static tr_code count_namespaces(const json_t *items, json_t *namespaces, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *name = tr_json_text(json_array_get(items, i), "namespace", "");
        json_t *own = NULL;
        for (size_t n = 0; n < json_array_size(namespaces); n++)
            if (strcmp(tr_json_text(json_array_get(namespaces, n), "namespace", ""), name) == 0)
                own = json_array_get(namespaces, n);
        if (own == NULL) {
            own = json_pack("{s:s, s:s, s:i}", "namespace", name, "displayName", name, "count", 0);
            if (json_array_append_new(namespaces, own) != 0)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory to search");
        }
        (void)json_object_set_new(own, "count", json_integer(tr_json_int(own, "count", 0) + 1));
    }
    return TR_OK;
}

static tr_code list_namespaces(tr_call *call, tr_err *err)
{
    tr_list_request request = {.limit = INT64_MAX};
    json_t *items = NULL, *namespaces = json_array();
    uint64_t total = 0;
    TR_TRY(check_class(call, err));
    TR_TRY(read_term(call, &request, err));
    TR_TRY(tr_list_read_sort(&request, tr_str_of("namespace:asc"),
                             (const char *const[]){"namespace", NULL}, err));
    TR_TRY(tr_audience_find(call->parts->segment, &call->tenant, &request, &items, &total, err));
    const tr_code code = count_namespaces(items, namespaces, err);
    json_decref(items);
    if (code != TR_OK) {
        json_decref(namespaces);
        return code;
    }
    return reply(call,
                 json_pack("{s:I, s:o}", "totalCount", (json_int_t)json_array_size(namespaces),
                           "namespaces", namespaces),
                 err);
}

/* ---- entities */

static tr_code add_entity(json_t *entities, const json_t *audience, tr_err *err)
{
    tr_buf encoded = {0};
    const char *id = tr_json_text(audience, "id", "");
    const char *source = tr_json_text(audience, "audienceId", id);
    tr_code code = tr_base64url(tr_str_of(source), &encoded, err);
    json_t *entity =
        code != TR_OK
            ? NULL
            : json_pack("{s:s, s:o, s:s, s:b, s:s, s:s, s:s}", "id", id, "base64EncodedSourceId",
                        tr_json_str(tr_buf_str(&encoded)), "sourceId", source, "isFolder", 0,
                        "parentFolderId", "", "name", tr_json_text(audience, "name", ""),
                        "description", tr_json_text(audience, "description", ""));
    tr_buf_free(&encoded);
    if (code == TR_OK && json_array_append_new(entities, entity) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to search");
    return code;
}

static tr_code read_page(tr_call *call, tr_list_request *request, int64_t *page, tr_err *err)
{
    int64_t limit;
    TR_TRY(tr_call_given_int(call, "limit", ENTITIES_MAX, 1, INT64_MAX, &limit, err));
    TR_TRY(tr_call_given_int(call, "page", 0, 0, INT32_MAX, page, err));
    request->limit = limit > ENTITIES_MAX ? ENTITIES_MAX : limit;
    request->start = *page * request->limit;
    return TR_OK;
}

static tr_code list_entities(tr_call *call, tr_err *err)
{
    tr_list_request request = {0};
    tr_str namespace;
    int64_t page = 0;
    uint64_t total = 0;
    json_t *items = NULL;
    TR_TRY(check_class(call, err));
    TR_TRY(want(call, "namespace", &namespace, err));
    TR_TRY(read_page(call, &request, &page, err));
    TR_TRY(read_term(call, &request, err));
    TR_TRY(tr_list_add(&request, "namespace", namespace, TR_LIST_EQUAL, err));
    TR_TRY(tr_list_add(&request, "id", tr_segment_query(call, "entityId"), TR_LIST_EQUAL, err));
    TR_TRY(tr_list_read_sort(&request, tr_str_of("name:asc"), (const char *const[]){"name", NULL},
                             err));
    TR_TRY(tr_audience_find(call->parts->segment, &call->tenant, &request, &items, &total, err));
    json_t *entities = json_array();
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(items) && code == TR_OK; i++)
        code = add_entity(entities, json_array_get(items, i), err);
    json_decref(items);
    if (code != TR_OK) {
        json_decref(entities);
        return code;
    }
    const uint64_t limit = (uint64_t)request.limit;
    const json_int_t size = (json_int_t)json_array_size(entities);
    return reply(call,
                 json_pack("{s:o, s:{s:I, s:I, s:I, s:I}}", "entities", entities, "page",
                           "totalCount", (json_int_t)total, "totalPages",
                           (json_int_t)((total + limit - 1) / limit), "pageOffset",
                           (json_int_t)page, "pageSize", size),
                 err);
}

/* ---- taxonomy */

static tr_code get_taxonomy(tr_call *call, tr_err *err)
{
    tr_str given;
    TR_TRY(check_class(call, err));
    TR_TRY(want(call, "namespace", &given, err));
    TR_TRY(want(call, "entityId", &given, err));
    return reply(call, json_pack("{s:[]}", "taxonomy"), err);
}

#define SEARCH "/data/core/ups/search"

const tr_endpoint tr_api_segment_search[] = {
    {"GET", SEARCH "/namespaces", TR_SCOPE_READ, list_namespaces, 0},
    {"GET", SEARCH "/entities", TR_SCOPE_READ, list_entities, 0},
    {"GET", SEARCH "/taxonomy", TR_SCOPE_READ, get_taxonomy, 0},
    {0}};
