/* SPDX-License-Identifier: Apache-2.0 */
/* query_list.c - see query_list.h. */
#include "api/query_list.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONDITIONS_MAX = 16, LIMIT_DEFAULT = 20, LIMIT_MAX = 1000, IDS_MAX = 10 };
enum { PAGE_SIZE = 50, PAGE_NUMBER_MAX = 1000000 }; /* of numbered pages */
enum { PAGE_BYTES = 8 * 1024 * 1024 }; /* a page of statements ends early, when it has so much */

typedef struct condition {
    const tr_query_field *field;
    char op[3];
    tr_str value; /* borrowed from the request */
    int64_t value_ms;
} condition;

typedef struct entry {
    int64_t ms; /* of the orderby property */
    char id[256];
} entry;

typedef struct listing {
    tr_call *call;
    const tr_query_list *of;
    condition conditions[CONDITIONS_MAX];
    uint32_t condition_count;
    bool is_updated, is_descending; /* the order */
    entry *found;
    size_t count;
    uint32_t cap;
} listing;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list");
}

/* Filters ------------------------------------------------------------------------------------- */

static tr_str take_op(tr_str text, size_t at)
{
    static const char *const ops[] = {">=", "<=", "==", "!=", ">", "<", "~", "="};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (text.len - at >= strlen(ops[i]) && memcmp(text.at + at, ops[i], strlen(ops[i])) == 0)
            return tr_str_of(ops[i]);
    return (tr_str){0};
}

/* In a list of operators apart by spaces. */
static bool has_op(const char *ops, const char *op)
{
    const size_t len = strlen(op);
    for (const char *at = ops; at != NULL; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, op, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
            return true;
    }
    return false;
}

static const tr_query_field *find_field(const tr_query_list *of, tr_str name)
{
    for (const tr_query_field *f = of->fields; f->name != NULL; f++)
        if (tr_str_equal_folded(name, tr_str_of(f->name)))
            return f;
    return NULL;
}

/* A time, or milliseconds since 1970. */
static tr_code read_ms(const char *name, tr_str text, int64_t *out, tr_err *err)
{
    int64_t us;
    if (tr_str_to_i64(text, out))
        return TR_OK;
    if (tr_time_parse(text, false, &us, NULL) != TR_OK)
        return TR_FAIL(err, TR_INVALID, "%s: \"%.*s\" is no time, such as 2024-05-01T00:00:00.000Z",
                       name, text.len > 40 ? 40 : (int)text.len, (const char *)text.at);
    *out = us / 1000;
    return TR_OK;
}

static tr_code read_condition(listing *l, tr_str text, tr_err *err)
{
    size_t at = 0;
    tr_str op = {0};
    for (; at < text.len && op.len == 0; at += op.len == 0)
        op = take_op(text, at);
    if (op.len == 0)
        return TR_FAIL(err, TR_INVALID,
                       "property: \"%.*s\" is not of the form <name><operator><value>",
                       text.len > 80 ? 80 : (int)text.len, (const char *)text.at);
    if (l->condition_count == CONDITIONS_MAX)
        return TR_FAIL(err, TR_INVALID, "property: more than %d conditions", CONDITIONS_MAX);
    tr_str name = {text.at, at};
    while (name.len > 0 && name.at[name.len - 1] == ' ')
        name.len--;
    condition *c = &l->conditions[l->condition_count++];
    (void)snprintf(c->op, sizeof c->op, "%s", tr_str_is(op, "=") ? "==" : (const char *)op.at);
    c->value = tr_str_from(text, at + op.len);
    while (c->value.len > 0 && c->value.at[0] == ' ')
        c->value = tr_str_from(c->value, 1);
    c->field = find_field(l->of, name);
    if (c->field == NULL)
        return TR_FAIL(err, TR_INVALID, "property: this list has no filter by \"%.*s\"",
                       name.len > 60 ? 60 : (int)name.len, (const char *)name.at);
    if (!has_op(c->field->ops, c->op))
        return TR_FAIL(err, TR_INVALID, "property: %s takes %s, not %s", c->field->name,
                       c->field->ops, c->op);
    const bool is_time = c->field->kind == TR_QUERY_CREATED || c->field->kind == TR_QUERY_UPDATED;
    return is_time && c->op[0] != '~' ? read_ms(c->field->name, c->value, &c->value_ms, err)
                                      : TR_OK;
}

static tr_code read_conditions(listing *l, tr_err *err)
{
    const char *text = tr_call_query(l->call, "property");
    tr_str rest = tr_str_of(text);
    while (rest.len > 0) {
        const uint8_t *comma = memchr(rest.at, ',', rest.len);
        const size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.at);
        if (len > 0)
            TR_TRY(read_condition(l, (tr_str){rest.at, len}, err));
        rest = comma == NULL ? (tr_str){0} : tr_str_from(rest, len + 1);
    }
    return TR_OK;
}

static bool fits_order(const char *op, int order)
{
    if (strcmp(op, "==") == 0)
        return order == 0;
    if (strcmp(op, "!=") == 0)
        return order != 0;
    return op[0] == '<' ? order < 0 || (op[1] == '=' && order == 0)
                        : order > 0 || (op[1] == '=' && order == 0);
}

static bool contains(tr_str text, tr_str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (tr_str_equal_folded((tr_str){text.at + i, part.len}, part))
            return true;
    return false;
}

static const json_t *member_of(const json_t *doc, const char *path)
{
    char name[64];
    const char *dot = strchr(path, '.');
    if (dot == NULL)
        return json_object_get(doc, path);
    (void)snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
    return member_of(json_object_get(doc, name), dot + 1);
}

/* One of the ids of the value is in the array. */
static bool has_id(const json_t *ids, tr_str value)
{
    for (int i = 0; i < IDS_MAX && value.len > 0; i++) {
        const uint8_t *bar = memmem(value.at, value.len, "||", 2);
        const tr_str one = {value.at, bar == NULL ? value.len : (size_t)(bar - value.at)};
        for (size_t k = 0; k < json_array_size(ids); k++)
            if (tr_str_is(one, json_string_value(json_array_get(ids, k))))
                return true;
        value = bar == NULL ? (tr_str){0} : tr_str_from(value, one.len + 2);
    }
    return false;
}

static bool fits_text(const condition *c, const tr_object *object)
{
    const json_t *member = member_of(object->doc, c->field->member);
    const bool is_state = strcmp(c->field->member, "state") == 0;
    tr_str text = is_state ? tr_str_of(object->state) : tr_str_of(json_string_value(member));
    tr_str value = c->value;
    if (strcmp(c->field->member, "id") == 0)
        text = tr_str_of(object->id);
    if (is_state && tr_str_is(value, "TIMED_OUT"))
        value = tr_str_of("TIMEOUT");
    return c->op[0] == '~' ? contains(text, value) : fits_order(c->op, tr_str_compare(text, value));
}

static bool fits_time(const condition *c, int64_t ms)
{
    char text[TR_QUERY_TIME_BYTES];
    if (c->op[0] == '~')
        return contains(tr_str_of(tr_query_time(ms, text)), c->value);
    return fits_order(c->op, (ms > c->value_ms) - (ms < c->value_ms));
}

static bool fits(const condition *c, const tr_object *object)
{
    switch (c->field->kind) {
    case TR_QUERY_CREATED: return fits_time(c, object->created_ms);
    case TR_QUERY_UPDATED: return fits_time(c, object->updated_ms);
    case TR_QUERY_IDS: return has_id(member_of(object->doc, c->field->member), c->value);
    case TR_QUERY_BOOLEAN:
        return json_is_true(member_of(object->doc, c->field->member)) ==
               tr_str_equal_folded(c->value, tr_str_of("true"));
    case TR_QUERY_TEXT: break;
    }
    return fits_text(c, object);
}

/* Found --------------------------------------------------------------------------------------- */

static tr_code note(void *ctx, const tr_object *object, tr_err *err)
{
    listing *l = ctx;
    if (l->of->is_listed != NULL && !l->of->is_listed(l->call, object))
        return TR_OK;
    for (uint32_t i = 0; i < l->condition_count; i++)
        if (!fits(&l->conditions[i], object))
            return TR_OK;
    if (!tr_list_room(&l->found, l->count, &l->cap, sizeof *l->found))
        return no_memory(err);
    entry *e = &l->found[l->count++];
    e->ms = l->is_updated ? object->updated_ms : object->created_ms;
    memcpy(e->id, object->id, sizeof e->id);
    return TR_OK;
}

static int compare(const entry *a, const entry *b)
{
    return a->ms != b->ms ? (a->ms > b->ms ? 1 : -1) : strcmp(a->id, b->id);
}

static int upwards(const void *a, const void *b)
{
    return compare(a, b);
}

static int downwards(const void *a, const void *b)
{
    return compare(b, a);
}

static tr_code read_order(listing *l, tr_err *err)
{
    const char *text = tr_call_query(l->call, "orderby");
    if (text == NULL)
        text = "-created";
    const char *name = text;
    l->is_descending = name[0] == '-';
    if (name[0] == '-' || name[0] == '+' || name[0] == ' ')
        name++;
    l->is_updated = strcmp(name, "updated") == 0;
    return l->is_updated || strcmp(name, "created") == 0
               ? TR_OK
               : TR_FAIL(err, TR_INVALID,
                         "orderby is \"%.40s\": expected created or updated, with - or + before it",
                         text);
}

static tr_code find(tr_call *call, const tr_query_list *of, listing *l, tr_err *err)
{
    const tr_catalog_filter filter = {.parent = of->parent};
    *l = (listing){.call = call, .of = of};
    TR_TRY(read_order(l, err));
    TR_TRY(read_conditions(l, err));
    TR_TRY(tr_catalog_list(call->parts->catalog, &call->tenant, of->kind, &filter, note, l, err));
    if (l->count > 0)
        qsort(l->found, l->count, sizeof *l->found, l->is_descending ? downwards : upwards);
    return TR_OK;
}

/* The index of the first entry at or behind `start`. */
static tr_code find_start(const listing *l, size_t *out, tr_err *err)
{
    const char *text = tr_call_query(l->call, "start"), *id = tr_call_query(l->call, "startId");
    entry from = {.ms = 0};
    *out = 0;
    if (text == NULL || strcmp(text, "0") == 0)
        return TR_OK;
    TR_TRY(read_ms("start", tr_str_of(text), &from.ms, err));
    (void)snprintf(from.id, sizeof from.id, "%s", id == NULL ? "" : id);
    for (; *out < l->count; ++*out) {
        const entry *e = &l->found[*out];
        const int order = id == NULL ? (e->ms > from.ms) - (e->ms < from.ms) : compare(e, &from);
        if (l->is_descending ? order <= 0 : order >= 0)
            break;
    }
    return TR_OK;
}

/* Answers ------------------------------------------------------------------------------------- */

json_t *tr_query_add_members(json_t *shown, json_t *more)
{
    if (more == NULL || json_object_update(shown, more) != 0) {
        json_decref(shown);
        shown = NULL;
    }
    json_decref(more);
    return shown;
}

tr_code tr_query_reply_message(tr_call *call, const char *message, tr_err *err)
{
    return tr_reply_json(call, 202, json_pack("{s:s,s:i}", "message", message, "statusCode", 202),
                         err);
}

bool tr_query_flag(tr_call *call, const char *name, bool otherwise)
{
    const char *text = tr_call_query(call, name);
    if (text == NULL)
        return otherwise;
    return tr_str_equal_folded(tr_str_of(text), tr_str_of("true"));
}

const char *tr_query_time(int64_t ms, char out[TR_QUERY_TIME_BYTES])
{
    char text[TR_TIME_TEXT_BYTES];
    const char *whole = tr_time_format(ms / 1000 * 1000000, text);
    (void)snprintf(out, TR_QUERY_TIME_BYTES, "%.*s.%03dZ", (int)strlen(whole) - 1, whole,
                   (int)(ms % 1000));
    return out;
}

json_t *tr_query_link(tr_call *call, const char *method, const char *body, const char *format, ...)
{
    char path[700];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path, sizeof path, format, args);
    va_end(args);
    json_t *link = json_object();
    const char *url = call->parts->public_url == NULL ? "" : call->parts->public_url;
    int bad = json_object_set_new(link, "href", json_sprintf("%s" TR_QUERY_BASE "%s", url, path));
    if (method != NULL)
        bad |= json_object_set_new(link, "method", json_string(method));
    if (body != NULL)
        bad |= json_object_set_new(link, "body", json_string(body));
    if (bad == 0)
        return link;
    json_decref(link);
    return NULL;
}

/* Percent-encodes what is not plain. */
static void put_encoded(tr_buf *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        const bool is_plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                              (*at >= '0' && *at <= '9') || strchr("-_.:", *at) != NULL;
        (void)!tr_buf_format(out, NULL, is_plain ? "%c" : "%%%02X", (unsigned char)*at);
    }
}

static void keep_parameters(const listing *l, tr_buf *query)
{
    static const char *const kept[] = {"property", "excludeSoftDeleted", "excludeHidden"};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const char *value = tr_call_query(l->call, kept[i]);
        if (value == NULL)
            continue;
        (void)!tr_buf_format(query, NULL, "&%s=", kept[i]);
        put_encoded(query, value);
    }
}

/* The list's path with this behind it; `query` is freed. */
static json_t *list_link(const listing *l, tr_buf *query)
{
    json_t *link = tr_query_link(l->call, NULL, NULL, "%s", l->of->path);
    json_t *href =
        json_sprintf("%s%.*s", tr_json_text(link, "href", ""), TR_STR_ARG(tr_buf_str(query)));
    tr_buf_free(query);
    (void)json_object_set_new(link, "href", href);
    return link;
}

/* The link to the page that begins at an entry, or that ends before it. */
static json_t *page_link(const listing *l, const entry *at, int64_t limit, bool is_prev)
{
    char time[TR_QUERY_TIME_BYTES];
    tr_buf query = {.bytes_max = 16 * 1024};
    (void)!tr_buf_format(&query, NULL,
                         "?orderby=%s%s&start=%s&startId=", l->is_descending ? "-" : "%2B",
                         l->is_updated ? "updated" : "created", tr_query_time(at->ms, time));
    put_encoded(&query, at->id);
    (void)!tr_buf_format(&query, NULL, "&limit=%lld", (long long)limit);
    keep_parameters(l, &query);
    (void)!tr_buf_format(&query, NULL, "%s", is_prev ? "&isPrevLink=true" : "&isPrevLink=false");
    return list_link(l, &query);
}

static json_t *number_link(const listing *l, int64_t page, int64_t size)
{
    tr_buf query = {.bytes_max = 16 * 1024};
    (void)!tr_buf_format(&query, NULL, "?orderby=%s%s&page=%lld&pagesize=%lld",
                         l->is_descending ? "-" : "%2B", l->is_updated ? "updated" : "created",
                         (long long)page, (long long)size);
    keep_parameters(l, &query);
    return list_link(l, &query);
}

static json_t *order_of(const listing *l)
{
    return json_sprintf("%s%s", l->is_descending ? "-" : "+",
                        l->is_updated ? "updated" : "created");
}

static tr_code show_one(const listing *l, size_t index, json_t **out, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(l->call->parts->catalog, &l->call->tenant, l->of->kind,
                          l->found[index].id, &object, err));
    *out = l->of->show(l->call, &object);
    tr_object_clear(&object);
    return *out == NULL ? no_memory(err) : TR_OK;
}

/* From *from on, or backwards from *to: it ends early when it has much, and moves the border. */
static tr_code show_page(const listing *l, size_t *from, size_t *to, bool is_backwards,
                         json_t *items, tr_err *err)
{
    size_t bytes = 0;
    const size_t count = *to - *from;
    for (size_t i = 0; i < count; i++) {
        json_t *item = NULL;
        const size_t index = is_backwards ? *to - 1 - i : *from + i;
        if (bytes > PAGE_BYTES) {
            *(is_backwards ? from : to) = is_backwards ? index + 1 : index;
            return TR_OK;
        }
        const tr_code code = show_one(l, index, &item, err);
        if (code == TR_NOT_FOUND) /* removed since */
            continue;
        TR_TRY(code);
        bytes += json_dumpb(item, NULL, 0, JSON_COMPACT);
        if (json_array_insert_new(items, is_backwards ? 0 : json_array_size(items), item) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code reply(const listing *l, tr_err *err)
{
    int64_t limit;
    size_t from, to;
    char time[TR_QUERY_TIME_BYTES];
    TR_TRY(tr_call_query_int(l->call, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, err));
    TR_TRY(find_start(l, &from, err));
    const bool is_prev = tr_query_flag(l->call, "isPrevLink", false);
    to = is_prev ? from : from + (size_t)limit < l->count ? from + (size_t)limit : l->count;
    if (is_prev)
        from = to > (size_t)limit ? to - (size_t)limit : 0;
    json_t *items = json_array(), *links = json_object();
    const tr_code code = show_page(l, &from, &to, is_prev, items, err);
    if (code != TR_OK) {
        json_decref(items);
        json_decref(links);
        return code;
    }
    json_t *page = json_pack("{s:o,s:s*,s:I,s:s*}", "orderby", order_of(l), "start",
                             from < to ? tr_query_time(l->found[from].ms, time) : NULL, "count",
                             (json_int_t)json_array_size(items), "property",
                             tr_call_query(l->call, "property"));
    if (to < l->count) {
        (void)json_object_set_new(page, "next", json_string(tr_query_time(l->found[to].ms, time)));
        (void)json_object_set_new(links, "next", page_link(l, &l->found[to], limit, false));
    }
    if (from > 0 && from < l->count)
        (void)json_object_set_new(links, "prev", page_link(l, &l->found[from], limit, true));
    return tr_reply_json(l->call, 200,
                         json_pack("{s:o,s:o,s:o,s:i}", l->of->key, items, "_page", page, "_links",
                                   links, "version", l->of->version),
                         err);
}

/* The last page has no link to a next one. */
static tr_code reply_numbered(const listing *l, tr_err *err)
{
    int64_t number, size;
    TR_TRY(tr_call_query_int(l->call, "page", 0, 0, PAGE_NUMBER_MAX, &number, err));
    TR_TRY(tr_call_query_int(l->call, "pagesize", PAGE_SIZE, 1, PAGE_SIZE, &size, err));
    const size_t first = (size_t)(number * size);
    size_t from = first < l->count ? first : l->count;
    size_t to = from + (size_t)size < l->count ? from + (size_t)size : l->count;
    json_t *items = json_array(), *links = json_object();
    const tr_code code = show_page(l, &from, &to, false, items, err);
    if (code != TR_OK) {
        json_decref(items);
        json_decref(links);
        return code;
    }
    if (to < l->count)
        (void)json_object_set_new(links, "next", number_link(l, number + 1, size));
    if (number > 0)
        (void)json_object_set_new(links, "prev", number_link(l, number - 1, size));
    json_t *page =
        json_pack("{s:o,s:I,s:I,s:I,s:s*}", "orderby", order_of(l), "page", (json_int_t)number,
                  "count", (json_int_t)json_array_size(items), "pageSize", (json_int_t)size,
                  "property", tr_call_query(l->call, "property"));
    return tr_reply_json(l->call, 200,
                         json_pack("{s:o,s:o,s:o,s:i}", l->of->key, items, l->of->page_key, page,
                                   "_links", links, "version", l->of->version),
                         err);
}

tr_code tr_query_list_reply(tr_call *call, const tr_query_list *of, tr_err *err)
{
    listing l;
    tr_code code = find(call, of, &l, err);
    if (code == TR_OK)
        code = of->page_key == NULL ? reply(&l, err) : reply_numbered(&l, err);
    tr_free(l.found);
    return code;
}

tr_code tr_query_list_count(tr_call *call, const tr_query_list *of, int64_t *out, tr_err *err)
{
    listing l;
    const tr_code code = find(call, of, &l, err);
    if (code == TR_OK)
        *out = (int64_t)l.count;
    tr_free(l.found);
    return code;
}
