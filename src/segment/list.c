/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - see list.h. */
#include "segment/list.h"

#include <stdio.h>
#include <stdlib.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list");
}

static tr_str cut(tr_str *rest, uint8_t mark)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->at, mark, rest->len);
    const tr_str part = {rest->at, end == NULL ? rest->len : (size_t)(end - rest->at)};
    *rest = end == NULL ? (tr_str){0} : tr_str_from(*rest, part.len + 1);
    return part;
}

static tr_code read_order(tr_list_request *request, tr_str part, const char *const *allowed,
                          tr_err *err)
{
    tr_str way = part;
    const tr_str name = cut(&way, ':');
    tr_list_order *order = &request->orders[request->order_count];
    size_t i = 0;
    while (allowed[i] != NULL && !tr_str_is(name, allowed[i]))
        i++;
    if (allowed[i] == NULL)
        return TR_FAIL(err, TR_INVALID, "sort: there is no attribute \"%.*s\" to sort by",
                       name.len > 60 ? 60 : (int)name.len, (const char *)name.at);
    order->is_ascending = tr_str_equal_folded(way, tr_str_of("asc"));
    if (!order->is_ascending && way.at != NULL && !tr_str_equal_folded(way, tr_str_of("desc")))
        return TR_FAIL(err, TR_INVALID, "sort: \"%.*s\" is neither asc nor desc",
                       way.len > 60 ? 60 : (int)way.len, (const char *)way.at);
    (void)snprintf(order->path, sizeof order->path, "%s", allowed[i]);
    request->order_count++;
    return TR_OK;
}

tr_code tr_list_read_sort(tr_list_request *request, tr_str text, const char *const *allowed,
                          tr_err *err)
{
    while (text.at != NULL) {
        if (request->order_count == TR_LIST_ORDERS_MAX)
            return TR_FAIL(err, TR_INVALID, "sort: more than %d attributes", TR_LIST_ORDERS_MAX);
        TR_TRY(read_order(request, cut(&text, ','), allowed, err));
    }
    return TR_OK;
}

static tr_code add(tr_list_request *request, tr_str path, tr_str value, tr_list_match match,
                   tr_err *err)
{
    if (request->filter_count == TR_LIST_FILTERS_MAX)
        return TR_FAIL(err, TR_INVALID, "more than %d filters", TR_LIST_FILTERS_MAX);
    if (path.len == 0 || path.len >= TR_LIST_PATH_BYTES)
        return TR_FAIL(err, TR_INVALID, "property: a path must have 1 to %d bytes",
                       TR_LIST_PATH_BYTES - 1);
    tr_list_filter *filter = &request->filters[request->filter_count++];
    (void)snprintf(filter->path, sizeof filter->path, "%.*s", TR_STR_ARG(path));
    filter->value = value;
    filter->match = match;
    return TR_OK;
}

tr_code tr_list_add(tr_list_request *request, const char *path, tr_str value, tr_list_match match,
                    tr_err *err)
{
    return value.at == NULL ? TR_OK : add(request, tr_str_of(path), value, match, err);
}

tr_code tr_list_add_property(tr_list_request *request, tr_str text, tr_err *err)
{
    for (size_t i = 0; i + 1 < text.len; i++)
        if (text.at[i] == '=' && text.at[i + 1] == '=')
            return add(request, (tr_str){text.at, i}, tr_str_from(text, i + 2), TR_LIST_EQUAL, err);
    return TR_FAIL(err, TR_INVALID, "property is \"%.*s\": expected path==value",
                   text.len > 80 ? 80 : (int)text.len, (const char *)text.at);
}

/* ---- one document */

static bool contains(tr_str text, tr_str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++)
        if (tr_str_equal_folded((tr_str){text.at + i, part.len}, part))
            return true;
    return false;
}

static bool fits(const json_t *value, const tr_list_filter *filter)
{
    char number[32];
    tr_str text = {0};
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            if (!json_is_array(json_array_get(value, i)) && fits(json_array_get(value, i), filter))
                return true;
        return false;
    }
    if (json_is_boolean(value))
        return tr_str_equal_folded(filter->value,
                                   tr_str_of(json_is_true(value) ? "true" : "false"));
    if (json_is_integer(value)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        text = tr_str_of(number);
    } else if (json_is_string(value)) {
        text = (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)};
    } else {
        return false;
    }
    return filter->match == TR_LIST_EQUAL ? tr_str_equal(text, filter->value)
                                          : contains(text, filter->value);
}

/* Follows the dots of a path; a tilde steps into each item of an array. */
static bool follow(const json_t *value, tr_str path, const tr_list_filter *filter)
{
    while (path.len > 0) {
        size_t len = 0;
        while (len < path.len && path.at[len] != '.' && path.at[len] != '~')
            len++;
        value = json_object_getn(value, (const char *)path.at, len);
        if (len == path.len)
            break;
        const bool is_each = path.at[len] == '~';
        path = tr_str_from(path, len + 1);
        if (!is_each)
            continue;
        for (size_t i = 0; i < json_array_size(value); i++)
            if (follow(json_array_get(value, i), path, filter))
                return true;
        return false;
    }
    return fits(value, filter);
}

static const json_t *member(const json_t *doc, const char *path)
{
    tr_str rest = tr_str_of(path);
    while (rest.at != NULL) {
        const tr_str name = cut(&rest, '.');
        doc = json_object_getn(doc, (const char *)name.at, name.len);
    }
    return doc;
}

/* ---- all of them */

typedef struct collecting {
    const tr_list_request *request;
    tr_list_show show;
    json_t *items;
} collecting;

static tr_code collect(void *ctx, const tr_object *object, tr_err *err)
{
    const collecting *c = ctx;
    json_t *shown = c->show(object->doc);
    if (shown == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < c->request->filter_count; i++) {
        const tr_list_filter *filter = &c->request->filters[i];
        if (!follow(shown, tr_str_of(filter->path), filter)) {
            json_decref(shown);
            return TR_OK;
        }
    }
    return json_array_append_new(c->items, shown) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_list_collect(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                        const tr_list_request *request, tr_list_show show, json_t *items,
                        tr_err *err)
{
    collecting c = {.request = request, .show = show, .items = items};
    const tr_catalog_filter all = {.state = request->state};
    return tr_catalog_list(catalog, tenant, kind, &all, collect, &c, err);
}

static int order_of(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        const json_int_t one = json_integer_value(a), two = json_integer_value(b);
        return (one > two) - (one < two);
    }
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    return (a != NULL) - (b != NULL);
}

static int compare(const void *a, const void *b, void *ctx)
{
    static const tr_list_order by_creation = {.path = "creationTime"};
    const tr_list_request *request = ctx;
    const json_t *one = *(const json_t *const *)a, *two = *(const json_t *const *)b;
    const uint32_t count = request->order_count == 0 ? 1 : request->order_count;
    const tr_list_order *orders = request->order_count == 0 ? &by_creation : request->orders;
    for (uint32_t i = 0; i < count; i++) {
        const int order = order_of(member(one, orders[i].path), member(two, orders[i].path));
        if (order != 0)
            return orders[i].is_ascending ? order : -order;
    }
    return order_of(json_object_get(one, "id"), json_object_get(two, "id"));
}

tr_code tr_list_page(const tr_list_request *request, json_t *items, uint64_t *total, tr_err *err)
{
    union { /* qsort_r takes what every comparison takes; ours only reads it */
        const tr_list_request *own;
        void *ctx;
    } self = {.own = request};
    const size_t count = json_array_size(items);
    json_t **sorted = tr_alloc_array(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_incref(json_array_get(items, i));
    qsort_r(sorted, count, sizeof *sorted, compare, self.ctx);
    const size_t from = (uint64_t)request->start < count ? (size_t)request->start : count;
    const size_t left = count - from;
    const size_t to = (uint64_t)request->limit < left ? from + (size_t)request->limit : count;
    bool is_good = json_array_clear(items) == 0;
    for (size_t i = 0; i < count; i++) {
        if (i >= from && i < to)
            is_good = json_array_append(items, sorted[i]) == 0 && is_good;
        json_decref(sorted[i]);
    }
    tr_free(sorted);
    if (!is_good)
        return no_memory(err);
    *total = count;
    return TR_OK;
}

tr_code tr_list_find(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                     const tr_list_request *request, tr_list_show show, json_t **items,
                     uint64_t *total, tr_err *err)
{
    json_t *found = json_array();
    tr_code code = found == NULL
                       ? no_memory(err)
                       : tr_list_collect(catalog, tenant, kind, request, show, found, err);
    if (code == TR_OK)
        code = tr_list_page(request, found, total, err);
    if (code == TR_OK)
        *items = found;
    else
        json_decref(found);
    return code;
}

json_t *tr_list_show_doc(const json_t *doc)
{
    union { /* jansson copies from what it could change */
        const json_t *read;
        json_t *own;
    } from = {.read = doc};
    json_t *shown = json_copy(from.own);
    (void)json_object_del(shown, "_");
    return shown;
}
