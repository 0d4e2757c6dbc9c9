/* SPDX-License-Identifier: Apache-2.0 */
/* merge_policies.c - /data/core/ups/config/mergePolicies (reference: profile API, section 5).
 *
 * Reading is lenient where clients differ: orderBy and orderby, empty or unexpanded ({{name}})
 * parameters, a patch as one operation or as an array, booleans as texts.
 */
#include "api/api_internal.h"
#include "policy/policy.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIMIT_DEFAULT = 20, LIMIT_MAX = 1000, START_MAX = 1000000 };

static const char *const filters[] = {
    "default", "isActiveOnEdge", "schema.name", "identityGraph.type", "attributeMerge.type",
    "version"};
enum { FILTER_COUNT = sizeof filters / sizeof filters[0] };

static tr_code post_policy(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *policy = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_policy_create(call->parts->catalog, &call->tenant, body, &policy, err));
    return tr_reply_json(call, 200, policy, err);
}

static tr_code get_policy(tr_call *call, tr_err *err)
{
    json_t *policy = NULL, *policies = NULL;
    int64_t version = 0;
    TR_TRY(tr_call_given_int(call, "version", 0, 1, INT32_MAX, &version, err));
    TR_TRY(tr_policy_list(call->parts->catalog, &call->tenant, &policies,
                          err)); /* makes the default */
    json_decref(policies);
    TR_TRY(tr_policy_get(call->parts->catalog, &call->tenant, tr_call_param(call, 0), version,
                         &policy, err));
    return tr_reply_json(call, 200, policy, err);
}

static tr_code put_policy(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *policy = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_policy_replace(call->parts->catalog, &call->tenant, tr_call_param(call, 0), body,
                             &policy, err));
    return tr_reply_json(call, 200, policy, err);
}

static tr_code patch_policy(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *policy = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_policy_patch(call->parts->catalog, &call->tenant, tr_call_param(call, 0), body,
                           &policy, err));
    return tr_reply_json(call, 200, policy, err);
}

static tr_code delete_policy(tr_call *call, tr_err *err)
{
    TR_TRY(tr_policy_remove(call->parts->catalog, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 200, err);
}

static tr_code post_bulk_get(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *policies = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    const json_t *ids = json_object_get(body, "ids");
    if (!json_is_array(ids))
        return TR_FAIL(err, TR_INVALID, "ids is required: an array of {\"id\": ...}");
    TR_TRY(tr_policy_list(call->parts->catalog, &call->tenant, &policies, err));
    json_t *results = json_object();
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        const char *id =
            json_is_string(item) ? json_string_value(item) : tr_json_text(item, "id", NULL);
        if (id == NULL) {
            json_decref(policies);
            json_decref(results);
            return TR_FAIL(err, TR_INVALID, "ids[%zu].id is required", i);
        }
        for (size_t p = 0; p < json_array_size(policies); p++) {
            json_t *policy = json_array_get(policies, p);
            if (strcmp(tr_json_text(policy, "id", ""), id) == 0)
                (void)json_object_set(results, id, policy);
        }
    }
    json_decref(policies);
    return tr_reply_json(call, 207, json_pack("{s:o}", "results", results), err);
}

/* The text of a member by its dotted name, for comparing with a filter. */
static void member_text(const json_t *policy, const char *dotted, char *out, size_t size)
{
    char first[64];
    const char *dot = strchr(dotted, '.');
    const json_t *value = json_object_get(policy, dotted);
    if (dot != NULL) {
        (void)snprintf(first, sizeof first, "%.*s", (int)(dot - dotted), dotted);
        value = json_object_get(json_object_get(policy, first), dot + 1);
    }
    if (json_is_boolean(value))
        (void)snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else
        (void)snprintf(out, size, "%s", json_is_string(value) ? json_string_value(value) : "");
}

static bool passes(tr_call *call, const json_t *policy)
{
    for (int i = 0; i < FILTER_COUNT; i++) {
        char have[256];
        const char *wanted = tr_call_given(call, filters[i]);
        member_text(policy, filters[i], have, sizeof have);
        if (wanted != NULL && strcmp(wanted, have) != 0)
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const json_t *one = *(const json_t *const *)a, *two = *(const json_t *const *)b;
    const int order = strcmp(tr_json_text(one, "name", ""), tr_json_text(two, "name", ""));
    return order != 0 ? order : strcmp(tr_json_text(one, "id", ""), tr_json_text(two, "id", ""));
}

static int by_name_descending(const void *a, const void *b)
{
    return by_name(b, a);
}

/* The comparison that orderBy asks for; TR_INVALID when it is neither name, +name nor -name. */
static tr_code order_of(tr_call *call, int (**out)(const void *, const void *), const char **text,
                        tr_err *err)
{
    const char *order = tr_call_given(call, "orderBy");
    if (order == NULL)
        order = tr_call_given(call, "orderby");
    *text = order == NULL ? "" : order;
    const bool is_down = order != NULL && order[0] == '-';
    const bool has_sign = order != NULL && strchr("+- ", order[0]) != NULL; /* '+' decodes to ' ' */
    if (order != NULL && strcmp(order + has_sign, "name") != 0)
        return TR_FAIL(err, TR_INVALID, "orderBy is \"%.40s\": expected name, +name or -name",
                       order);
    *out = is_down ? by_name_descending : by_name;
    return TR_OK;
}

/* The link to the next page, with every filter kept. */
static tr_code next_link(tr_call *call, int64_t start, int64_t limit, const char *order,
                         tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_format(out, err, "@/mergePolicies?start=%lld&orderBy=%s&limit=%lld",
                         (long long)start, order[0] == ' ' || order[0] == '+' ? order + 1 : order,
                         (long long)limit));
    for (int i = 0; i < FILTER_COUNT; i++) {
        char have[64];
        const char *wanted = tr_call_given(call, filters[i]);
        if (wanted == NULL)
            continue;
        (void)snprintf(have, sizeof have, "%s",
                       wanted); /* it passed: it is one of the plain words */
        TR_TRY(tr_buf_format(out, err, "&%s=%s", filters[i], have));
    }
    return TR_OK;
}

static tr_code reply_page(tr_call *call, json_t *const *found, size_t total, int64_t start,
                          int64_t limit, const char *order, tr_err *err)
{
    tr_buf link = {0};
    json_t *children = json_array();
    for (size_t i = (size_t)start; i < total && i < (size_t)(start + limit); i++)
        (void)json_array_append(children, found[i]);
    const size_t count = json_array_size(children);
    tr_code code = TR_OK;
    if ((size_t)start + count < total)
        code = next_link(call, start + limit, limit, order, &link, err);
    if (code == TR_OK)
        code = tr_buf_append(&link, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_reply_json(call, 200,
                             json_pack("{s:{s:I, s:I, s:I, s:s}, s:O, s:{s:{s:s}}}", "_page",
                                       "totalCount", (json_int_t)total, "pageSize",
                                       (json_int_t)count, "count", (json_int_t)count, "next",
                                       (const char *)link.at, "children", children, "_links",
                                       "next", "href", (const char *)link.at),
                             err);
    json_decref(children);
    tr_buf_free(&link);
    return code;
}

static tr_code list_policies(tr_call *call, tr_err *err)
{
    int (*compare)(const void *, const void *) = NULL;
    const char *order = "";
    json_t *policies = NULL;
    int64_t start = 0, limit = 0;
    size_t total = 0;
    TR_TRY(order_of(call, &compare, &order, err));
    TR_TRY(tr_call_given_int(call, "start", 0, 0, START_MAX, &start, err));
    TR_TRY(tr_call_given_int(call, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, err));
    TR_TRY(tr_policy_list(call->parts->catalog, &call->tenant, &policies, err));
    json_t **found = tr_arena_array(call->request->arena, json_array_size(policies), sizeof *found);
    if (found == NULL) {
        json_decref(policies);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to list merge policies");
    }
    for (size_t i = 0; i < json_array_size(policies); i++)
        if (passes(call, json_array_get(policies, i)))
            found[total++] = json_array_get(policies, i);
    qsort(found, total, sizeof *found, compare);
    const tr_code code = reply_page(call, found, total, start, limit, order, err);
    json_decref(policies);
    return code;
}

#define POLICIES "/data/core/ups/config/mergePolicies"

const tr_endpoint tr_api_merge_policies[] = {
    {"GET", POLICIES, TR_SCOPE_READ, list_policies, 0},
    {"POST", POLICIES, TR_SCOPE_WRITE, post_policy, 0},
    {"POST", POLICIES "/bulk-get", TR_SCOPE_READ, post_bulk_get, 0},
    {"GET", POLICIES "/{id}", TR_SCOPE_READ, get_policy, 0},
    {"PUT", POLICIES "/{id}", TR_SCOPE_WRITE, put_policy, 0},
    {"PATCH", POLICIES "/{id}", TR_SCOPE_WRITE, patch_policy, 0},
    {"DELETE", POLICIES "/{id}", TR_SCOPE_WRITE, delete_policy, 0},
    {0}};
