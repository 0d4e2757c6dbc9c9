/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - GET /export/jobs: filters, orders and pages (reference: profile API, 2.8).
 *
 * By default newest first, and then a page ends in a cursor "<creation time>_<id>" that stays
 * true while jobs are added. Other orders (sort=updateTime:asc) can only count: their next link
 * has a number.
 */
#include "export/export_internal.h"

#include "base/limits.h"

#include <stdlib.h>

typedef struct page {
    int64_t limit, skip;
    int64_t after_ms; /* with after_id[0] != 0: a cursor */
    char after_id[24];
    char states[128]; /* "" : any */
    char field[24];   /* createdTime, updateTime, id, status */
    bool is_ascending;
    const tr_export_list *query;
} page;

static tr_code read_number(const char *name, tr_str text, int64_t least, int64_t otherwise,
                           int64_t *out, tr_err *err)
{
    int64_t value = otherwise;
    if (text.at != NULL && (!tr_str_to_i64(text, &value) || value < least))
        return TR_FAIL(err, TR_INVALID, "%s is \"%.*s\": expected a number from %lld on", name,
                       text.len > 40 ? 40 : (int)text.len, (const char *)text.at, (long long)least);
    *out = value;
    return TR_OK;
}

static tr_code read_offset(tr_str text, page *p, tr_err *err)
{
    int64_t id = 0;
    const uint8_t *mark = text.at == NULL || text.len == 0 ? NULL : memchr(text.at, '_', text.len);
    if (mark == NULL) {
        int64_t skip = 0;
        TR_TRY(read_number("offset", text, 0, 0, &skip, err));
        if (skip > INT32_MAX)
            return TR_FAIL(err, TR_INVALID, "offset must be at most %d", INT32_MAX);
        p->skip += skip;
        return TR_OK;
    }
    const tr_str time = {text.at, (size_t)(mark - text.at)};
    if (!tr_str_to_i64(time, &p->after_ms) || p->after_ms < 0 ||
        !tr_str_to_i64(tr_str_from(text, time.len + 1), &id) || id < 0)
        return TR_FAIL(err, TR_INVALID,
                       "offset is \"%.*s\": expected a number or <creation time>_<id>",
                       text.len > 40 ? 40 : (int)text.len, (const char *)text.at);
    (void)snprintf(p->after_id, sizeof p->after_id, "%lld", (long long)id);
    return TR_OK;
}

/* SUCEEDED is how one client spells it. States that jobs never have are accepted and match
 * nothing. */
static tr_code read_status(tr_str text, page *p, tr_err *err)
{
    static const char *const known[][2] = {{"NEW", "NEW"},
                                           {"QUEUED", "QUEUED"},
                                           {"PROCESSING", "PROCESSING"},
                                           {"SUCCEEDED", "SUCCEEDED"},
                                           {"SUCEEDED", "SUCCEEDED"},
                                           {"FAILED", "FAILED"},
                                           {"CANCELLING", "CANCELLING"},
                                           {"CANCELLED", "CANCELLED"},
                                           {"CANCELED", "CANCELLED"}};
    enum { KNOWN_COUNT = sizeof known / sizeof known[0] };
    size_t used = 0;
    while (text.at != NULL && text.len > 0) {
        const uint8_t *comma = memchr(text.at, ',', text.len);
        const tr_str word = {text.at, comma == NULL ? text.len : (size_t)(comma - text.at)};
        size_t k = 0;
        while (k < KNOWN_COUNT && !tr_str_equal_folded(word, tr_str_of(known[k][0])))
            k++;
        if (k == KNOWN_COUNT || used + 16 > sizeof p->states)
            return TR_FAIL(err, TR_INVALID,
                           "status is \"%.*s\": expected NEW, PROCESSING, SUCCEEDED, FAILED "
                           "or CANCELLED",
                           word.len > 40 ? 40 : (int)word.len, (const char *)word.at);
        used += (size_t)snprintf(p->states + used, sizeof p->states - used, "%s%s",
                                 used == 0 ? "" : ",", known[k][1]);
        text = comma == NULL ? (tr_str){0} : tr_str_from(text, word.len + 1);
    }
    return TR_OK;
}

static tr_code read_sort(tr_str text, page *p, tr_err *err)
{
    static const char *const fields[][2] = {{"createdTime", "createdTime"},
                                            {"creationTime", "createdTime"},
                                            {"updateTime", "updateTime"},
                                            {"updatedTime", "updateTime"},
                                            {"id", "id"},
                                            {"status", "status"}};
    (void)snprintf(p->field, sizeof p->field, "createdTime");
    if (text.at == NULL)
        return TR_OK;
    const uint8_t *colon = memchr(text.at, ':', text.len);
    const tr_str name = {text.at, colon == NULL ? text.len : (size_t)(colon - text.at)};
    const tr_str way = colon == NULL ? tr_str_of("desc") : tr_str_from(text, name.len + 1);
    p->is_ascending = tr_str_equal_folded(way, tr_str_of("asc"));
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (tr_str_is(name, fields[i][0]) &&
            (p->is_ascending || tr_str_equal_folded(way, tr_str_of("desc")))) {
            (void)snprintf(p->field, sizeof p->field, "%s", fields[i][1]);
            return TR_OK;
        }
    return TR_FAIL(err, TR_INVALID,
                   "sort is \"%.*s\": expected <field>:asc or <field>:desc, the field one of "
                   "createdTime, updateTime, id, status",
                   text.len > 40 ? 40 : (int)text.len, (const char *)text.at);
}

static tr_code read_query(const tr_export_list *query, page *p, tr_err *err)
{
    int64_t start = 0, number = 1;
    *p = (page){.query = query};
    TR_TRY(read_number("limit", query->limit, 1, TR_EXPORT_LIST_MAX, &p->limit, err));
    if (p->limit > TR_EXPORT_LIST_MAX)
        p->limit = TR_EXPORT_LIST_MAX;
    TR_TRY(read_number("start", query->start, 0, 0, &start, err));
    TR_TRY(read_number("page", query->page, 0, 1, &number, err));
    if (number > INT32_MAX || start > INT32_MAX)
        return TR_FAIL(err, TR_INVALID, "page and start must be at most %d", INT32_MAX);
    p->skip = start + (number > 1 ? (number - 1) * p->limit : 0);
    TR_TRY(read_offset(query->offset, p, err));
    TR_TRY(read_status(query->status, p, err));
    TR_TRY(read_sort(query->sort, p, err));
    if (p->after_id[0] != '\0' && strcmp(p->field, "createdTime") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "offset: a cursor goes with sort=createdTime, give a number");
    return TR_OK;
}

typedef struct found {
    tr_object *jobs; /* their documents are held */
    size_t count, cap;
} found;

static tr_code keep(void *ctx, const tr_object *object, tr_err *err)
{
    found *f = ctx;
    if (f->count == f->cap) {
        const size_t cap = f->cap == 0 ? 64 : f->cap * 2;
        tr_object *jobs = tr_grow_array(f->jobs, cap, sizeof *jobs);
        if (jobs == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to list export jobs");
        f->jobs = jobs;
        f->cap = cap;
    }
    f->jobs[f->count] = *object;
    f->jobs[f->count++].doc = json_incref(object->doc);
    return TR_OK;
}

static int order_of(const tr_object *a, const tr_object *b, const char *field)
{
    int64_t one = 0, two = 0;
    if (strcmp(field, "updateTime") == 0) {
        one = tr_json_int(a->doc, "updateTime", 0), two = tr_json_int(b->doc, "updateTime", 0);
    } else if (strcmp(field, "status") == 0) {
        const int order = strcmp(a->state, b->state);
        if (order != 0)
            return order;
    }
    if (one == two)
        one = tr_json_int(a->doc, "id", 0), two = tr_json_int(b->doc, "id", 0);
    return one < two ? -1 : one > two;
}

static int compare(const void *a, const void *b, void *ctx)
{
    const page *p = ctx;
    const int order = order_of(a, b, p->field);
    return p->is_ascending ? order : -order;
}

/* The jobs of the page, and one more when there is a next page. */
static tr_code collect(tr_export *export, const tr_tenant *tenant, page *p, found *f, tr_err *err)
{
    tr_catalog_filter filter = {.state = p->states[0] == '\0' ? NULL : p->states,
                                .is_descending = !p->is_ascending};
    const bool is_by_creation = strcmp(p->field, "createdTime") == 0;
    if (is_by_creation) {
        filter.limit = p->limit + 1;
        filter.offset = p->skip;
        filter.after_created_ms = p->after_ms;
        filter.after_id = p->after_id[0] == '\0' ? NULL : p->after_id;
    }
    TR_TRY(tr_catalog_list(export->parts.catalog, tenant, "export", &filter, keep, f, err));
    if (is_by_creation)
        return TR_OK;
    qsort_r(f->jobs, f->count, sizeof *f->jobs, compare, p);
    const size_t skip = (size_t)p->skip < f->count ? (size_t)p->skip : f->count;
    for (size_t i = 0; i < f->count; i++)
        if (i < skip || i > skip + (size_t)p->limit)
            json_decref(f->jobs[i].doc);
    const size_t left = f->count - skip;
    f->count = left < (size_t)p->limit + 1 ? left : (size_t)p->limit + 1;
    memmove(f->jobs, f->jobs + skip, f->count * sizeof *f->jobs);
    return TR_OK;
}

/* {records, page, link} of the first `shown` jobs. */
static tr_code answer(tr_export *export, const tr_tenant *tenant, const page *p, const found *f,
                      json_t *records, json_t **out, tr_err *err)
{
    const size_t shown = f->count < (size_t)p->limit ? f->count : (size_t)p->limit;
    char offset[64] = "", link[512] = "";
    for (size_t i = 0; i < shown; i++) {
        json_t *job = NULL;
        TR_TRY(tr_export_show(export, tenant, &f->jobs[i], &job, err));
        if (json_array_append_new(records, job) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to list export jobs");
    }
    if (shown > 0 && strcmp(p->field, "createdTime") == 0)
        (void)snprintf(offset, sizeof offset, "%lld_%s", (long long)f->jobs[shown - 1].created_ms,
                       f->jobs[shown - 1].id);
    else if (shown > 0)
        (void)snprintf(offset, sizeof offset, "%lld", (long long)p->skip + (long long)shown);
    if (f->count > shown)
        (void)snprintf(link, sizeof link, "/export/jobs/?limit=%lld&offset=%s%s%s%s%.*s",
                       (long long)p->limit, offset,
                       p->states[0] == '\0' ? "" : "&status=", p->states,
                       p->query->sort.at == NULL ? "" : "&sort=", TR_STR_ARG(p->query->sort));
    json_t *body =
        json_pack("{s:O, s:{s:s, s:s, s:s, s:I}, s:{s:s}}", "records", records, "page", "sortField",
                  p->field, "sort", p->is_ascending ? "asc" : "desc", "pageOffset", offset,
                  "pageSize", (json_int_t)shown, "link", "next", link);
    if (body == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to list export jobs");
    *out = body;
    return TR_OK;
}

tr_code tr_export_find(tr_export *export, const tr_tenant *tenant, const tr_export_list *query,
                       json_t **out, tr_err *err)
{
    page p;
    found f = {0};
    TR_TRY(read_query(query, &p, err));
    json_t *records = json_array();
    tr_code code = records == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory to list export jobs")
                                   : collect(export, tenant, &p, &f, err);
    if (code == TR_OK)
        code = answer(export, tenant, &p, &f, records, out, err);
    for (size_t i = 0; i < f.count; i++)
        json_decref(f.jobs[i].doc);
    tr_free(f.jobs);
    json_decref(records);
    return code;
}
