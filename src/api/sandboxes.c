/* SPDX-License-Identifier: Apache-2.0 */
/* sandboxes.c - /data/foundation/sandbox-management (reference: sandboxes and auth, section 7).
 *
 *     create: active at once, answered as "creating"
 *     delete: "deleting" (no call gets in), jobs cancelled, files and objects gone, then only its
 *             document is left, "deleted", in the list of the org's deleted ones; the name is free
 *     reset:  the same, and a new sandbox under the old name: nothing of the old one can come back
 *
 * How one ends, also over a crash, is in sandbox_end.c.
 *
 * The default production sandbox can neither be deleted nor reset. One writer at a time.
 */
#include "api/sandbox_internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { TITLE_CHARACTERS_MAX = 256, SANDBOXES_MAX = 75, LIMIT_MAX = 100 };

#define BASE "/data/foundation/sandbox-management"

static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

static tr_code refuse(tr_call *call, int number, int status, const char *title, tr_err *err)
{
    char type[64], text[256];
    (void)snprintf(type, sizeof type, "http://ns.adobe.com/aep/errors/SMS-%d-%d", number, status);
    (void)snprintf(text, sizeof text, "%s", title);
    tr_text_mend(text); /* it may quote a name that was cut */
    return tr_reply_json(call, status,
                         json_pack("{s:i, s:s, s:s, s:s, s:{s:s}}", "status", status, "title", text,
                                   "message", text, "type", type, "report", "requestId",
                                   call->request_id),
                         err);
}

/* Documents ---------------------------------------------------------------------------------- */

/* A document as the API shows it. Those that an org begins with have no dates of their own. */
static json_t *show(const json_t *doc)
{
    static const char *const texts[] = {"name",   "title",       "state",
                                        "type",   "region",      NULL,
                                        "createdDate", "lastModifiedDate", "createdBy",
                                        "modifiedBy",  "id"};
    json_t *shown = json_object();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] == NULL) {
            (void)json_object_set_new(shown, "isDefault",
                                      json_boolean(tr_json_bool(doc, "isDefault", false)));
            (void)json_object_set_new(shown, "eTag", json_integer(tr_json_int(doc, "eTag", 1)));
            continue;
        }
        const bool is_date = strstr(texts[i], "Date") != NULL;
        const char *text = tr_json_text(doc, texts[i], is_date ? "1970-01-01 00:00:00" : "");
        (void)json_object_set_new(shown, texts[i], json_string(text[0] == '\0' ? "system" : text));
    }
    return shown;
}

static json_t *show_short(const json_t *doc, const char *state)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", tr_json_text(doc, "id", ""), "name",
                     tr_json_text(doc, "name", ""), "title", tr_json_text(doc, "title", ""),
                     "state", state, "type", tr_json_text(doc, "type", ""), "region",
                     tr_json_text(doc, "region", "VA7"));
}

static tr_code touch(tr_call *call, json_t *doc, tr_err *err)
{
    const bool is_good =
        json_object_set_new(doc, "eTag", json_integer(tr_json_int(doc, "eTag", 1) + 1)) == 0 &&
        json_object_set_new(doc, "lastModifiedDate", tr_api_now_text()) == 0 &&
        json_object_set_new(doc, "modifiedBy", json_string(call->client_id)) == 0;
    return is_good ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a sandbox");
}

/* Every sandbox of the org; is_all: with the deleted ones. */
static tr_code read_all(tr_call *call, bool is_all, json_t **out, tr_err *err)
{
    json_t *list = NULL, *deleted = NULL;
    TR_TRY(tr_catalog_sandbox_list(call->parts->catalog, call->org, &list, err));
    tr_code code =
        is_all ? tr_sandbox_deleted(call->parts->catalog, call->org, &deleted, err) : TR_OK;
    if (code == TR_OK && is_all && json_array_extend(list, deleted) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of sandboxes");
    json_decref(deleted);
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

static json_t *by_name(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(tr_json_text(json_array_get(list, i), "name", ""), name) == 0)
            return json_incref(json_array_get(list, i));
    return NULL;
}

/* *doc is returned; NULL: there is none. */
static tr_code find(tr_call *call, const char *name, bool is_all, json_t **doc, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(read_all(call, is_all, &list, err));
    *doc = by_name(list, name);
    json_decref(list);
    return TR_OK;
}

/* Lists -------------------------------------------------------------------------------------- */

/* name==x, name!=x, name~x (contains; '*' at the ends is ignored). */
static tr_code passes(const json_t *doc, tr_str filter, bool *out, tr_err *err)
{
    static const char *const members[] = {"name", "title", "state", "type", "isDefault"};
    static const char *const operators[] = {"==", "!=", "=~", "~"};
    char text[300];
    (void)snprintf(text, sizeof text, "%.*s", TR_STR_ARG(filter));
    for (size_t o = 0; o < 4; o++) {
        char *at = strstr(text, operators[o]);
        if (at == NULL)
            continue;
        *at = '\0';
        char *value = at + strlen(operators[o]);
        for (size_t m = 0; m < 5; m++) {
            if (strcmp(text, members[m]) != 0)
                continue;
            const char *have = m == 4 ? (tr_json_bool(doc, "isDefault", false) ? "true" : "false")
                                      : tr_json_text(doc, members[m], "");
            while (o >= 2 && *value == '*')
                value++;
            while (o >= 2 && value[0] != '\0' && value[strlen(value) - 1] == '*')
                value[strlen(value) - 1] = '\0';
            *out = o == 0   ? strcmp(have, value) == 0
                   : o == 1 ? strcmp(have, value) != 0
                            : strstr(have, value) != NULL;
            return TR_OK;
        }
        break;
    }
    return TR_FAIL(err, TR_INVALID,
                   "property is \"%.60s\": expected name, title, state, type or isDefault, then "
                   "==, != or ~ and a value",
                   text);
}

static tr_code filter_list(tr_call *call, json_t *list, bool is_for_user, tr_err *err)
{
    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *doc = json_array_get(list, i - 1);
        bool stays = !is_for_user || strcmp(tr_json_text(doc, "state", ""), "active") == 0;
        if (stays)
            TR_TRY(tr_rights_may_use(call, tr_json_text(doc, "name", ""), &stays, err));
        for (uint32_t q = 0; stays && q < call->request->query_count; q++) {
            const tr_http_pair *pair = &call->request->query[q];
            if (tr_str_is(pair->name, "property") && pair->value.len > 0)
                TR_TRY(passes(doc, pair->value, &stays, err));
        }
        if (!stays)
            (void)json_array_remove(list, i - 1);
    }
    return TR_OK;
}

typedef struct order {
    char member[32];
    bool is_down;
} order;

static const char *sort_text(const json_t *doc, const char *member, char room[24])
{
    const json_t *value = json_object_get(doc, member);
    if (json_is_integer(value))
        (void)snprintf(room, 24, "%020lld", (long long)json_integer_value(value));
    else
        (void)snprintf(room, 24, "%d", json_is_true(value));
    return json_is_string(value) ? json_string_value(value) : room;
}

static int compare(const void *a, const void *b, void *ctx)
{
    const order *by = ctx;
    char one[24], two[24];
    const int result = strcmp(sort_text(*(json_t *const *)a, by->member, one),
                              sort_text(*(json_t *const *)b, by->member, two));
    return by->is_down ? -result : result;
}

/* orderBy=asc:name, desc:createdDate (the first of several), or -name as other services have it. */
static tr_code sort_list(tr_call *call, json_t *list, tr_err *err)
{
    static const char *const members[] = {"name",  "title",       "state",
                                          "type",  "createdDate", "lastModifiedDate",
                                          "eTag"};
    const char *asked = tr_call_query(call, "orderBy");
    order by = {0};
    if (asked == NULL)
        return TR_OK;
    by.is_down = strncmp(asked, "desc:", 5) == 0 || asked[0] == '-';
    const char *colon = strchr(asked, ':');
    const char *member = colon != NULL ? colon + 1 : asked + strspn(asked, "-+ ");
    (void)snprintf(by.member, sizeof by.member, "%.*s", (int)strcspn(member, ","), member);
    bool is_known = false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        is_known = is_known || strcmp(members[i], by.member) == 0;
    if (!is_known)
        return TR_FAIL(err, TR_INVALID, "orderBy is \"%.60s\": expected asc:name, desc:title ...",
                       asked);
    const size_t count = json_array_size(list);
    json_t **items = tr_arena_array(call->request->arena, count + 1, sizeof *items);
    if (items == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to order sandboxes");
    for (size_t i = 0; i < count; i++)
        items[i] = json_incref(json_array_get(list, i));
    qsort_r(items, count, sizeof *items, compare, &by);
    (void)json_array_clear(list);
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(list, items[i]);
    return TR_OK;
}

static json_t *link_to(const tr_call *call, int64_t limit, int64_t offset, bool is_there)
{
    const char *url = call->parts->public_url == NULL ? "" : call->parts->public_url;
    json_t *href = is_there ? json_sprintf("%s" BASE "/sandboxes/?limit=%lld&offset=%lld", url,
                                           (long long)limit, (long long)offset)
                            : json_string("");
    return json_pack("{s:o, s:n}", "href", href, "templated");
}

static tr_code reply_page(tr_call *call, const json_t *list, int64_t limit, int64_t offset,
                          tr_err *err)
{
    const int64_t total = (int64_t)json_array_size(list);
    json_t *page = json_array();
    for (int64_t i = offset; i < total && i < offset + limit; i++)
        (void)json_array_append_new(page, show(json_array_get(list, (size_t)i)));
    const char *url = call->parts->public_url == NULL ? "" : call->parts->public_url;
    json_t *template = json_pack("{s:o, s:b}", "href",
                                 json_sprintf("%s" BASE "/sandboxes?limit={limit}&offset={offset}",
                                              url),
                                 "templated", 1);
    return tr_reply_json(
        call, 200,
        json_pack("{s:o, s:{s:I, s:I}, s:{s:o, s:o, s:o}}", "sandboxes", page, "_page", "limit",
                  (json_int_t)limit, "count", (json_int_t)json_array_size(page), "_links", "next",
                  link_to(call, limit, offset + limit, offset + limit < total), "prev",
                  link_to(call, limit, offset < limit ? 0 : offset - limit, offset > 0), "page",
                  template),
        err);
}

static tr_code list_of(tr_call *call, bool is_for_user, tr_err *err)
{
    json_t *list = NULL;
    int64_t limit = 0, offset = 0;
    const bool has_limit = tr_call_query(call, "limit") != NULL;
    if (has_limit != (tr_call_query(call, "offset") != NULL))
        return TR_FAIL(err, TR_INVALID, "limit and offset must be given together");
    TR_TRY(tr_call_query_int(call, "limit", 50, 1, LIMIT_MAX, &limit, err));
    TR_TRY(tr_call_query_int(call, "offset", 0, 0, INT32_MAX, &offset, err));
    TR_TRY(read_all(call, !is_for_user, &list, err));
    tr_code code = filter_list(call, list, is_for_user, err);
    if (code == TR_OK)
        code = sort_list(call, list, err);
    if (code == TR_OK)
        code = reply_page(call, list, limit, offset, err);
    json_decref(list);
    return code;
}

static tr_code list_mine(tr_call *call, tr_err *err)
{
    return list_of(call, true, err);
}

static tr_code list_all(tr_call *call, tr_err *err)
{
    return list_of(call, false, err);
}

static tr_code list_types(tr_call *call, tr_err *err)
{
    return tr_reply_json(
        call, 200, json_pack("{s:[s,s]}", "sandboxTypes", "production", "development"), err);
}

/* One sandbox -------------------------------------------------------------------------------- */

static tr_code put_etag(tr_call *call, const json_t *doc, tr_err *err)
{
    char text[32];
    (void)snprintf(text, sizeof text, "\"%lld\"", (long long)tr_json_int(doc, "eTag", 1));
    return tr_reply_header(call, "ETag", text, err);
}

static tr_code reply_unknown(tr_call *call, const char *name, tr_err *err)
{
    char title[200];
    if (!tr_scope_admits(TR_SCOPE_ORG_ADMIN, call->role))
        return refuse(call, 2003, 403, "Sandbox is not accessible", err);
    (void)snprintf(title, sizeof title, "Sandbox `%.80s` is not found.", name);
    return refuse(call, 2004, 404, title, err);
}

static tr_code get_one(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    bool may = false;
    const char *name = tr_call_param(call, 0);
    TR_TRY(tr_rights_may_use(call, name, &may, err));
    if (may)
        TR_TRY(find(call, name, true, &doc, err));
    if (doc == NULL)
        return reply_unknown(call, name, err);
    tr_code code = put_etag(call, doc, err);
    if (code == TR_OK)
        code = tr_reply_json(call, 200, show(doc), err);
    json_decref(doc);
    return code;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((uint8_t)*text & 0xc0) != 0x80;
    return count;
}

static tr_code check_title(const json_t *body, const char **out, tr_err *err)
{
    const char *title = tr_json_text(body, "title", NULL);
    if (title == NULL || title[0] == '\0' || characters(title) > TITLE_CHARACTERS_MAX)
        return TR_FAIL(err, TR_INVALID, "title is required: a text of 1 to %d characters",
                       TITLE_CHARACTERS_MAX);
    *out = title;
    return TR_OK;
}

/* TR_INVALID names the first member that is not among `known`. */
static tr_code check_members(const json_t *body, const char *known, tr_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the body must be an object");
    json_object_foreach((json_t *)(uintptr_t)body, key, value) {
        const char *at = strstr(known, key);
        const size_t len = strlen(key);
        if (len == 0 || at == NULL || (at != known && at[-1] != ' ') ||
            (at[len] != ' ' && at[len] != '\0'))
            return TR_FAIL(err, TR_INVALID, "\"%.60s\" cannot be set: only %s", key, known);
    }
    return TR_OK;
}

static bool is_validation_only(tr_call *call)
{
    const char *asked = tr_call_query(call, "validationOnly");
    return asked != NULL && strcmp(asked, "true") == 0;
}

static tr_code create_locked(tr_call *call, const char *name, const char *title, const char *type,
                             tr_err *err)
{
    char text[200];
    json_t *list = NULL;
    TR_TRY(read_all(call, false, &list, err));
    json_t *same = by_name(list, name);
    const bool is_taken = same != NULL, is_full = json_array_size(list) > SANDBOXES_MAX;
    json_decref(same);
    json_decref(list);
    if (is_taken) {
        (void)snprintf(text, sizeof text, "Sandbox `%.80s` already exists.", name);
        return refuse(call, 2005, 409, text, err);
    }
    if (is_full)
        return refuse(call, 2006, 403, "The limit of 75 sandboxes is reached.", err);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:o, s:o, s:s, s:s}", "title", title,
                            "state", "active", "type", type, "region", "VA7", "isDefault", 0,
                            "eTag", 1, "createdDate", tr_api_now_text(), "lastModifiedDate",
                            tr_api_now_text(), "createdBy", call->client_id, "modifiedBy",
                            call->client_id);
    tr_code code = doc == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a sandbox")
                               : tr_sandbox_begin(call->api, call->org, name, doc, err);
    json_decref(doc);
    if (code == TR_OK)
        code = find(call, name, false, &doc, err);
    if (code != TR_OK)
        return code;
    code = tr_reply_json(call, 202, show_short(doc, "creating"), err);
    json_decref(doc);
    return code;
}

static tr_code create(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    const char *title = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(check_members(body, "name title type region", err));
    const char *name = tr_json_text(body, "name", "");
    const char *type = tr_json_text(body, "type", "");
    if (!tr_sandbox_name_is_valid(tr_str_of(name)))
        return TR_FAIL(err, TR_INVALID,
                       "name is \"%.80s\": expected a lower-case letter, then lower-case letters, "
                       "digits and '-', 63 at most, and not \"all\"",
                       name);
    TR_TRY(check_title(body, &title, err));
    if (strcmp(type, "production") != 0 && strcmp(type, "development") != 0)
        return TR_FAIL(err, TR_INVALID, "type is \"%.40s\": expected production or development",
                       type);
    pthread_mutex_lock(&write_lock);
    const tr_code code = create_locked(call, name, title, type, err);
    pthread_mutex_unlock(&write_lock);
    return code;
}

/* If-Match: "3", 3 or *; absent is fine. */
static bool matches(const tr_call *call, const json_t *doc)
{
    char wanted[32];
    tr_str sent = tr_http_header(call->request, "If-Match");
    if (sent.len >= 2 && sent.at[0] == '"' && sent.at[sent.len - 1] == '"')
        sent = (tr_str){sent.at + 1, sent.len - 2};
    (void)snprintf(wanted, sizeof wanted, "%lld", (long long)tr_json_int(doc, "eTag", 1));
    return sent.len == 0 || tr_str_is(sent, "*") || tr_str_is(sent, wanted);
}

static tr_code retitle(tr_call *call, const char *name, json_t *doc, tr_err *err)
{
    const json_t *body = NULL;
    const char *title = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(check_members(body, "title", err));
    TR_TRY(check_title(body, &title, err));
    if (json_object_set_new(doc, "title", json_string(title)) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a sandbox");
    TR_TRY(touch(call, doc, err));
    TR_TRY(tr_sandbox_put(call->api, call->org, name, doc, err));
    TR_TRY(put_etag(call, doc, err));
    return tr_reply_json(call, 200, show(doc), err);
}

/* Ending ------------------------------------------------------------------------------------- */

static tr_code end_sandbox(tr_call *call, const char *name, json_t *doc, bool is_reset, tr_err *err)
{
    TR_TRY(touch(call, doc, err));
    (void)json_object_set_new(doc, "state", json_string(is_reset ? "resetting" : "deleting"));
    TR_TRY(tr_sandbox_put(call->api, call->org, name, doc, err)); /* from here on nobody gets in */
    TR_TRY(tr_sandbox_end(call->api, call->org, name, doc, err));
    return tr_reply_json(call, 202, show_short(doc, is_reset ? "resetting" : "deleted"), err);
}

static tr_code refuse_default(tr_call *call, const char *name, const char *verb, tr_err *err)
{
    char title[200];
    (void)snprintf(title, sizeof title,
                   "Sandbox `%.80s` cannot be %s. It is the default production sandbox.", name,
                   verb);
    return refuse(call, 2074, 400, title, err);
}

static tr_code reset_or_delete(tr_call *call, const char *name, json_t *doc, bool is_reset,
                               tr_err *err)
{
    if (tr_json_bool(doc, "isDefault", false))
        return refuse_default(call, name, is_reset ? "reset" : "deleted", err);
    if (is_validation_only(call))
        return tr_reply_json(call, 200, show(doc), err);
    return end_sandbox(call, name, doc, is_reset, err);
}

static tr_code reset(tr_call *call, const char *name, json_t *doc, tr_err *err)
{
    const json_t *body = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(check_members(body, "action", err));
    if (strcmp(tr_json_text(body, "action", ""), "reset") != 0)
        return TR_FAIL(err, TR_INVALID, "action is \"%.40s\": expected reset",
                       tr_json_text(body, "action", ""));
    return reset_or_delete(call, name, doc, true, err);
}

static tr_code delete(tr_call *call, const char *name, json_t *doc, tr_err *err)
{
    return reset_or_delete(call, name, doc, false, err);
}

/* The frame of every change of one sandbox. */
static tr_code change(tr_call *call,
                      tr_code (*how)(tr_call *, const char *, json_t *, tr_err *), tr_err *err)
{
    json_t *doc = NULL;
    const char *name = tr_call_param(call, 0);
    bool may = false;
    TR_TRY(tr_rights_may_use(call, name, &may, err));
    pthread_mutex_lock(&write_lock);
    tr_code code = may ? find(call, name, false, &doc, err) : TR_OK;
    if (code == TR_OK && doc == NULL)
        code = reply_unknown(call, name, err);
    else if (code == TR_OK && !matches(call, doc))
        code = refuse(call, 2007, 412, "The sandbox was changed meanwhile (If-Match).", err);
    else if (code == TR_OK)
        code = how(call, name, doc, err);
    pthread_mutex_unlock(&write_lock);
    json_decref(doc);
    return code;
}

static tr_code patch_one(tr_call *call, tr_err *err)
{
    return change(call, retitle, err);
}

static tr_code put_one(tr_call *call, tr_err *err)
{
    return change(call, reset, err);
}

static tr_code delete_one(tr_call *call, tr_err *err)
{
    return change(call, delete, err);
}

#define ONE BASE "/sandboxes/{name}"

const tr_endpoint tr_api_sandboxes[] = {
    {"GET", BASE, TR_SCOPE_ORG_READ, list_mine, 0},
    {"GET", BASE "/sandboxTypes", TR_SCOPE_ORG_READ, list_types, 0},
    {"GET", BASE "/sandboxes", TR_SCOPE_ORG_READ, list_all, 0},
    {"POST", BASE "/sandboxes", TR_SCOPE_ORG_ADMIN, create, 0},
    {"GET", ONE, TR_SCOPE_ORG_READ, get_one, 0},
    {"PATCH", ONE, TR_SCOPE_ORG_ADMIN, patch_one, 0},
    {"PUT", ONE, TR_SCOPE_ORG_ADMIN, put_one, 0},
    {"DELETE", ONE, TR_SCOPE_ORG_ADMIN, delete_one, 0},
    {0}};
