/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_list.c - order and page of the Catalog's lists, and the shape of all its answers
 * (reference: catalog, sections 1.1, 3.1, 4.1, 9).
 *
 * A list comes from one of three plans; which one never shows in the answer:
 *
 *     ids     the query names them: each is fetched
 *     scan    the order is that of creation: the catalog walks it, and stops behind the page
 *     sort    any other order: the sort values of all matches are kept, the page is fetched
 */
#include "api/catalog_api_internal.h"
#include "api/core_internal.h"
#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LIMIT_DEFAULT = 20,
    LIMIT_MAX = 100,
    LIMIT_WIDE = 20,
    ORDER_MAX = 4,
    LIST_STATE_BYTES = 200
};

typedef struct sort_key {
    const char *name;
    bool is_descending;
} sort_key;

typedef struct found { /* a match of the sort plan */
    char id[256];
    json_t *values[ORDER_MAX]; /* owned; NULL: absent */
    const struct lister *of;
} found;

typedef struct lister {
    tr_call *call;
    tr_filter filter;
    sort_key order[ORDER_MAX];
    size_t order_count;
    int64_t start, limit;
    const char *properties; /* NULL: all */
    int64_t matched;        /* of the scan */
    json_t *map;            /* the answer */
    found *found;           /* of the sort */
    size_t found_count, found_cap;
} lister;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to list objects of the catalog");
}

/* Whether a comma list names a member. */
static bool is_listed(const char *list, const char *name)
{
    const size_t len = strlen(name);
    for (const char *at = list; *at != '\0';) {
        while (*at == ' ')
            at++;
        const size_t part = strcspn(at, ",");
        size_t own = part;
        while (own > 0 && at[own - 1] == ' ')
            own--;
        if (own == len && memcmp(at, name, len) == 0)
            return true;
        at += part + (at[part] == ',');
    }
    return false;
}

json_t *tr_catalog_show(const json_t *doc, const char *properties)
{
    json_t *shown = json_object(), *all = (json_t *)(uintptr_t)doc, *member;
    const char *name;
    json_object_foreach (all, name, member) {
        if (name[0] == '_' || (properties != NULL && !is_listed(properties, name)))
            continue;
        if (json_object_set(shown, name, member) != 0) {
            json_decref(shown);
            return NULL;
        }
    }
    return shown;
}

tr_code tr_catalog_map_add(json_t *map, const char *id, json_t *doc, tr_err *err)
{
    return doc != NULL && json_object_set_new(map, id, doc) == 0 ? TR_OK : no_memory(err);
}

static tr_code add_to_map(lister *l, const tr_object *object, tr_err *err)
{
    return tr_catalog_map_add(l->map, object->id, tr_catalog_show(object->doc, l->properties), err);
}

/* ---- Reading the query */

/* [asc:|desc:]name[,...]: a direction holds until the next one. */
static tr_code read_order(lister *l, tr_err *err)
{
    static const char *const names[] = {"orderBy", "orderby", "sort"};
    const char *text = NULL;
    bool is_descending = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && text == NULL; i++)
        text = tr_catalog_parameter(l->call, names[i]);
    while (text != NULL && *text != '\0') {
        const size_t part = strcspn(text, ",");
        size_t skip = 0;
        if (strncmp(text, "asc:", 4) == 0 || strncmp(text, "desc:", 5) == 0) {
            is_descending = text[0] == 'd';
            skip = is_descending ? 5 : 4;
        }
        const tr_str name = {(const uint8_t *)text + skip, part - (part < skip ? part : skip)};
        if (name.len == 0 || memchr(name.at, ':', name.len) != NULL)
            return TR_FAIL(err, TR_INVALID, "orderBy: \"%.*s\" is not [asc:|desc:]<member>",
                           (int)part, text);
        if (l->order_count == ORDER_MAX)
            return TR_FAIL(err, TR_INVALID, "orderBy has more than %d members", ORDER_MAX);
        sort_key *key = &l->order[l->order_count++];
        key->is_descending = is_descending;
        key->name = tr_arena_text(l->call->request->arena, name);
        if (key->name == NULL)
            return no_memory(err);
        text += part + (text[part] == ',');
    }
    return TR_OK;
}

static tr_code read_number(tr_call *call, const char *name, int64_t otherwise, int64_t least,
                           int64_t most, int64_t *out, tr_err *err)
{
    const char *text = tr_catalog_parameter(call, name);
    int64_t number = otherwise;
    if (text != NULL &&
        (!tr_str_to_i64(tr_str_of(text), &number) || number < least || number > most))
        return TR_FAIL(err, TR_INVALID, "%s is \"%.40s\": expected a number from %lld to %lld",
                       name, text, (long long)least, (long long)most);
    *out = number;
    return TR_OK;
}

static tr_code read_start(tr_call *call, int64_t *out, tr_err *err)
{
    const char *name = tr_catalog_parameter(call, "start") != NULL ? "start" : "offset";
    return read_number(call, name, 0, 0, INT32_MAX, out, err);
}

tr_code tr_catalog_page(tr_call *call, int64_t *start, int64_t *limit, tr_err *err)
{
    TR_TRY(read_start(call, start, err));
    return read_number(call, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, limit, err);
}

static tr_code read_page(lister *l, tr_err *err)
{
    l->properties = tr_catalog_parameter(l->call, "properties");
    const bool is_wide = l->properties != NULL && is_listed(l->properties, "observableSchema");
    TR_TRY(read_number(l->call, "limit", LIMIT_DEFAULT, 1, is_wide ? LIMIT_WIDE : LIMIT_MAX,
                       &l->limit, err));
    return read_start(l->call, &l->start, err);
}

/* ---- The three plans */

static tr_code scan_one(void *ctx, const tr_object *object, tr_err *err)
{
    lister *l = ctx;
    if (!tr_filter_matches(&l->filter, object))
        return TR_OK;
    if (l->matched++ < l->start)
        return TR_OK;
    TR_TRY(add_to_map(l, object, err));
    return l->matched < l->start + l->limit ? TR_OK
                                            : TR_FAIL(err, TR_CANCELLED, "the page is full");
}

static tr_code keep_one(void *ctx, const tr_object *object, tr_err *err)
{
    lister *l = ctx;
    if (!tr_filter_matches(&l->filter, object))
        return TR_OK;
    if (l->found_count == l->found_cap) {
        const size_t cap = l->found_cap == 0 ? 128 : l->found_cap * 2;
        found *more = tr_grow_array(l->found, cap, sizeof *more);
        if (more == NULL)
            return no_memory(err);
        l->found = more;
        l->found_cap = cap;
    }
    found *f = &l->found[l->found_count++];
    *f = (found){.of = l};
    memcpy(f->id, object->id, sizeof f->id);
    for (size_t i = 0; i < l->order_count; i++) {
        const json_t *value =
            l->order[i].name[0] == '_' ? NULL : tr_member_of(object->doc, l->order[i].name);
        f->values[i] = value == NULL ? NULL : json_copy((json_t *)(uintptr_t)value);
    }
    return TR_OK;
}

static int compare_found(const void *a, const void *b)
{
    const found *x = a, *y = b;
    const lister *l = x->of;
    for (size_t i = 0; i < l->order_count; i++) {
        const int order = tr_member_compare(x->values[i], y->values[i]);
        if (order != 0)
            return l->order[i].is_descending ? -order : order;
    }
    return strcmp(x->id, y->id);
}

static tr_code fetch(lister *l, const char *kind, const char *id, bool must_match, tr_err *err)
{
    tr_object object = {0};
    tr_code code =
        tr_catalog_get(l->call->parts->catalog, &l->call->tenant, kind, id, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_OK; /* removed since; or a list of ids of which some are unknown */
    TR_TRY(code);
    if (!must_match || tr_filter_matches(&l->filter, &object))
        code = add_to_map(l, &object, err);
    tr_object_clear(&object);
    return code;
}

static tr_code by_sort(lister *l, const tr_catalog_list_of *of, const tr_catalog_filter *filter,
                       tr_err *err)
{
    tr_code code = tr_catalog_list(l->call->parts->catalog, &l->call->tenant, of->kind, filter,
                                   keep_one, l, err);
    if (code == TR_OK && l->found_count > 1)
        qsort(l->found, l->found_count, sizeof *l->found, compare_found);
    for (size_t i = (size_t)l->start;
         code == TR_OK && i < l->found_count && (int64_t)i < l->start + l->limit; i++)
        code = fetch(l, of->kind, l->found[i].id, false, err);
    for (size_t i = 0; i < l->found_count; i++)
        for (size_t k = 0; k < l->order_count; k++)
            json_decref(l->found[i].values[k]);
    tr_free(l->found);
    return code;
}

static tr_code by_scan(lister *l, const tr_catalog_list_of *of, const tr_catalog_filter *filter,
                       tr_err *err)
{
    const tr_code code = tr_catalog_list(l->call->parts->catalog, &l->call->tenant, of->kind,
                                         filter, scan_one, l, err);
    return code == TR_CANCELLED ? TR_OK : code;
}

/* The condition "one of these ids", if the query has one. */
static const tr_condition *find_ids(const lister *l)
{
    for (uint32_t i = 0; i < l->filter.count; i++)
        if (l->filter.conditions[i].op == TR_FILTER_IS &&
            strcmp(l->filter.conditions[i].name, "id") == 0)
            return &l->filter.conditions[i];
    return NULL;
}

/* What the catalog can look for by itself: one parent, one state. True: there is nothing else. */
static bool narrow(const lister *l, tr_catalog_filter *out, char state[LIST_STATE_BYTES])
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < l->filter.count; i++) {
        const tr_condition *c = &l->filter.conditions[i];
        if (c->op != TR_FILTER_IS || c->has_wild_name || c->value_count != 1)
            continue;
        if (strcmp(c->name, "dataSet") == 0 && out->parent == NULL) {
            out->parent = c->values[0];
            known++;
        }
        if (strcmp(c->name, "status") == 0 && out->state == NULL && strlen(c->values[0]) < 40) {
            const char *other = tr_batch_status_synonym(c->values[0]);
            (void)snprintf(state, LIST_STATE_BYTES, "%s%s%s", c->values[0],
                           other == NULL ? "" : ",", other == NULL ? "" : other);
            out->state = state;
            known++;
        }
    }
    return known == l->filter.count;
}

static tr_code list(lister *l, const tr_catalog_list_of *of, tr_err *err)
{
    char state[LIST_STATE_BYTES];
    tr_catalog_filter filter = {.parent = of->parent};
    const tr_condition *ids = find_ids(l);
    const bool is_by_creation =
        l->order_count == 0 || (l->order_count == 1 && strcmp(l->order[0].name, "created") == 0);
    if (ids != NULL && l->order_count == 0 && l->start == 0 && ids->value_count <= l->limit) {
        for (uint32_t i = 0; i < ids->value_count; i++)
            TR_TRY(fetch(l, of->kind, ids->values[i], true, err));
        return TR_OK;
    }
    filter.is_descending = l->order_count == 1 && l->order[0].is_descending;
    const bool is_narrow = narrow(l, &filter, state);
    if (!is_by_creation)
        return by_sort(l, of, &filter, err);
    if (is_narrow) {
        filter.offset = l->matched = l->start;
        filter.limit = l->limit;
    }
    return by_scan(l, of, &filter, err);
}

/* ---- Answers */

tr_code tr_catalog_reply_list(tr_call *call, const tr_catalog_list_of *of, tr_err *err)
{
    lister *l = tr_arena_array(call->request->arena, 1, sizeof *l);
    if (l == NULL)
        return no_memory(err);
    l->call = call;
    TR_TRY(read_order(l, err));
    TR_TRY(read_page(l, err));
    TR_TRY(tr_filter_read(call, of->aliases, &l->filter, err));
    l->map = json_object();
    const tr_code code = l->map == NULL ? no_memory(err) : list(l, of, err);
    tr_filter_free(&l->filter);
    if (code != TR_OK) {
        json_decref(l->map);
        return code;
    }
    return tr_reply_json(call, 200, l->map, err);
}

static tr_code set_version(tr_call *call, const json_t *doc, tr_err *err)
{
    char tag[48];
    (void)snprintf(tag, sizeof tag, "\"%.40s\"", tr_json_text(doc, "version", "1.0.0"));
    return tr_reply_header(call, "ETag", tag, err);
}

/* True when If-None-Match or If-Match (by name) names the version: plain, quoted, weak, or *. */
static bool names_version(tr_call *call, const char *header, const json_t *doc)
{
    char text[256];
    const tr_str value = tr_http_header(call->request, header);
    const char *version = tr_json_text(doc, "version", "1.0.0");
    const size_t len = strlen(version);
    if (value.len >= sizeof text)
        return false;
    (void)snprintf(text, sizeof text, "%.*s", TR_STR_ARG(value));
    for (const char *at = text; *at != '\0';) {
        const size_t part = strcspn(at, ",");
        const char *from = at;
        size_t own = part;
        while (own > 0 && (from[0] == ' ' || from[0] == '"' || from[0] == 'W' || from[0] == '/')) {
            from++;
            own--;
        }
        while (own > 0 && (from[own - 1] == ' ' || from[own - 1] == '"'))
            own--;
        if ((own == 1 && from[0] == '*') || (own == len && memcmp(from, version, len) == 0))
            return true;
        at += part + (at[part] == ',');
    }
    return false;
}

static tr_code reply_one(tr_call *call, const char *kind, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(call->parts->catalog, &call->tenant, kind, id, &object, err));
    tr_code code = set_version(call, object.doc, err);
    if (code == TR_OK && names_version(call, "If-None-Match", object.doc)) {
        tr_object_clear(&object);
        return tr_reply_empty(call, 304, err);
    }
    json_t *map = json_object();
    if (code == TR_OK)
        code = tr_catalog_map_add(
            map, id, tr_catalog_show(object.doc, tr_catalog_parameter(call, "properties")), err);
    tr_object_clear(&object);
    if (code == TR_OK)
        return tr_reply_json(call, 200, map, err);
    json_decref(map);
    return code;
}

tr_code tr_catalog_reply_ids(tr_call *call, const char *kind, const char *ids, tr_err *err)
{
    lister l = {.call = call, .properties = tr_catalog_parameter(call, "properties")};
    uint32_t count = 0;
    tr_code code = TR_OK;
    if (strchr(ids, ',') == NULL)
        return reply_one(call, kind, ids, err);
    l.map = json_object();
    for (const char *at = ids; *at != '\0' && code == TR_OK;) {
        const size_t len = strcspn(at, ",");
        const char *id = tr_arena_text(call->request->arena, (tr_str){(const uint8_t *)at, len});
        if (++count > LIMIT_MAX)
            code = TR_FAIL(err, TR_INVALID, "more than %d ids in one path", LIMIT_MAX);
        else
            code = id == NULL ? no_memory(err) : fetch(&l, kind, id, false, err);
        at += len + (at[len] == ',');
    }
    if (code == TR_OK && json_object_size(l.map) == 0)
        code = TR_FAIL(err, TR_NOT_FOUND, "no %s with id \"%.200s\"", kind, ids);
    if (code == TR_OK)
        return tr_reply_json(call, 200, l.map, err);
    json_decref(l.map);
    return code;
}

tr_code tr_catalog_reply_reference(tr_call *call, int status, const char *type,
                                   const tr_object *object, tr_err *err)
{
    TR_TRY(set_version(call, object->doc, err));
    return tr_reply_json(call, status, json_pack("[o]", json_sprintf("@/%s/%s", type, object->id)),
                         err);
}

/* ---- Writes */

bool tr_catalog_is_dry(tr_call *call)
{
    return tr_str_equal_folded(tr_http_header(call->request, "Pragma"), tr_str_of("validate-only"));
}

bool tr_catalog_may_write(tr_call *call, const json_t *doc)
{
    char detail[128];
    if (tr_http_header(call->request, "If-Match").len == 0 || names_version(call, "If-Match", doc))
        return true;
    (void)snprintf(detail, sizeof detail, "If-Match names another version than \"%.40s\"",
                   tr_json_text(doc, "version", "1.0.0"));
    tr_error_service(call, 412, detail);
    return false;
}

typedef struct changing {
    const char *kind;
    tr_catalog_apply apply;
    const json_t *body;
    tr_object object; /* as written */
    bool is_answered; /* with 412 */
} changing;

static tr_code change_once(tr_call *call, changing *c, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    const char *id = tr_call_param(call, 0);
    tr_object_clear(&c->object);
    c->object = (tr_object){0};
    TR_TRY(tr_catalog_get(catalog, &call->tenant, c->kind, id, &c->object, err));
    c->is_answered = !tr_catalog_may_write(call, c->object.doc);
    if (c->is_answered)
        return TR_OK;
    TR_TRY(c->apply(call, &c->object, c->body, err));
    if (tr_catalog_is_dry(call))
        return TR_OK;
    return tr_catalog_put(catalog, &call->tenant, c->kind, &c->object, c->object.revision, err);
}

static tr_code change_at_last(tr_call *call, changing *c, tr_err *err)
{
    enum { FREE_TRIES = 4 };
    tr_code code = TR_CONFLICT;
    for (int i = 0; i < FREE_TRIES && code == TR_CONFLICT; i++)
        code = change_once(call, c, err);
    if (code != TR_CONFLICT)
        return code;
    TR_TRY(tr_catalog_begin(call->parts->catalog, err));
    return tr_catalog_end(call->parts->catalog, change_once(call, c, err), err);
}

tr_code tr_catalog_change(tr_call *call, const char *kind, const char *type,
                          tr_catalog_apply apply, tr_err *err)
{
    changing c = {.kind = kind, .apply = apply};
    TR_TRY(tr_call_json(call, &c.body, err));
    tr_code code = change_at_last(call, &c, err);
    if (code == TR_OK && !c.is_answered)
        code = tr_catalog_reply_reference(call, 200, type, &c.object, err);
    tr_object_clear(&c.object);
    return code;
}

tr_code tr_catalog_touch(tr_call *call, tr_object *object, tr_err *err)
{
    char next[48];
    const char *version = tr_json_text(object->doc, "version", "1.0.0");
    const char *dot = strrchr(version, '.');
    int64_t last = 0;
    if (dot != NULL)
        (void)tr_str_to_i64(tr_str_of(dot + 1), &last);
    (void)snprintf(next, sizeof next, "1.0.%lld", (long long)last + 1);
    object->updated_ms = tr_time_now_ms();
    if (json_object_set_new(object->doc, "version", json_string(next)) != 0 ||
        json_object_set_new(object->doc, "updated", json_integer(object->updated_ms)) != 0 ||
        json_object_set_new(object->doc, "updatedUser", json_string(call->client_id)) != 0)
        return no_memory(err);
    return TR_OK;
}

/* Members of `more` over those of `into`; null removes; is_deep: objects are merged. */
static tr_code merge(json_t *into, const json_t *more, bool is_deep, unsigned depth, tr_err *err)
{
    json_t *all = (json_t *)(uintptr_t)more, *value;
    const char *name;
    if (depth > TR_JSON_DEPTH_MAX)
        return TR_FAIL(err, TR_INVALID, "the patch is nested deeper than %d", TR_JSON_DEPTH_MAX);
    json_object_foreach (all, name, value) {
        json_t *old = json_object_get(into, name);
        if (json_is_null(value))
            (void)json_object_del(into, name);
        else if (is_deep && json_is_object(value) && json_is_object(old))
            TR_TRY(merge(old, value, true, depth + 1, err));
        else if (json_object_set_new(into, name, json_deep_copy(value)) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* The operations; "replace" of a whole tag is made "add", which also replaces; returned. */
static json_t *lenient(const json_t *operations)
{
    json_t *copy = json_deep_copy(operations);
    for (size_t i = 0; i < json_array_size(copy); i++) {
        json_t *op = json_array_get(copy, i);
        const char *path = tr_json_text(op, "path", "");
        if (strcmp(tr_json_text(op, "op", ""), "replace") == 0 && strncmp(path, "/tags/", 6) == 0 &&
            strchr(path + 6, '/') == NULL)
            (void)json_object_set_new(op, "op", json_string("add"));
    }
    return copy;
}

tr_code tr_catalog_patch(json_t **doc, const json_t *patch, bool is_deep, tr_err *err)
{
    const bool is_one =
        tr_json_text(patch, "op", NULL) != NULL && tr_json_text(patch, "path", NULL) != NULL;
    if (json_is_array(patch) || is_one) {
        json_t *list = is_one ? json_pack("[O]", patch) : NULL;
        json_t *operations = lenient(is_one ? list : patch);
        const tr_code code =
            operations == NULL ? no_memory(err) : tr_json_patch(doc, operations, err);
        json_decref(operations);
        json_decref(list);
        return code;
    }
    if (!json_is_object(patch))
        return TR_FAIL(err, TR_INVALID, "the request body must be an object or a JSON Patch array");
    json_t *copy = json_deep_copy(*doc);
    tr_code code = copy == NULL ? no_memory(err) : merge(copy, patch, is_deep, 0, err);
    if (code != TR_OK) {
        json_decref(copy);
        return code;
    }
    json_decref(*doc);
    *doc = copy;
    return TR_OK;
}
