/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - lists of catalog documents as the wire has them: filtered, sorted, paged.
 *
 * A PATH leads to a member: "evaluationInfo.batch.enabled". "segments~segmentId" leads to that
 * member of each object in an array. Values are compared as texts; booleans in any case.
 *
 * Threads: none of its own.
 */
#ifndef TR_SEGMENT_LIST_H
#define TR_SEGMENT_LIST_H

#include "catalog/catalog.h"

enum { TR_LIST_FILTERS_MAX = 16, TR_LIST_ORDERS_MAX = 4, TR_LIST_PATH_BYTES = 128 };

typedef enum tr_list_match {
    TR_LIST_EQUAL,    /* or one item of an array is */
    TR_LIST_CONTAINS, /* in any case of ASCII letters */
} tr_list_match;

typedef struct tr_list_filter {
    char path[TR_LIST_PATH_BYTES];
    tr_str value; /* borrowed */
    tr_list_match match;
} tr_list_filter;

typedef struct tr_list_order {
    char path[TR_LIST_PATH_BYTES];
    bool is_ascending;
} tr_list_order;

typedef struct tr_list_request {
    int64_t start, limit;
    const char *state; /* of the catalog; NULL: any */
    tr_list_filter filters[TR_LIST_FILTERS_MAX];
    uint32_t filter_count;
    tr_list_order orders[TR_LIST_ORDERS_MAX]; /* none: creationTime, descending */
    uint32_t order_count;
} tr_list_request;

/* "name:asc,creationTime:desc"; .at NULL: the default.
 * allowed     NULL-terminated
 * TR_INVALID  another attribute or direction */
TR_MUST_CHECK tr_code tr_list_read_sort(tr_list_request *request, tr_str text,
                                        const char *const *allowed, tr_err *err);
/* value  .at NULL: no filter */
TR_MUST_CHECK tr_code tr_list_add(tr_list_request *request, const char *path, tr_str value,
                                  tr_list_match match, tr_err *err);
/* "path==value" or "arrayPath~key==value"; value is borrowed from the text. */
TR_MUST_CHECK tr_code tr_list_add_property(tr_list_request *request, tr_str text, tr_err *err);

/* A stored document as the list shows it, returned; NULL: no memory. */
typedef json_t *(*tr_list_show)(const json_t *doc);
/* The commonest: the document without "_", which is the server's own. */
json_t *tr_list_show_doc(const json_t *doc);
/* Appends what `kind` has and the filters let through to *items (an array, the caller's). */
TR_MUST_CHECK tr_code tr_list_collect(tr_catalog *catalog, const tr_tenant *tenant,
                                      const char *kind, const tr_list_request *request,
                                      tr_list_show show, json_t *items, tr_err *err);
/* Sorts the items, leaves those of the page; *total: how many there were. */
TR_MUST_CHECK tr_code tr_list_page(const tr_list_request *request, json_t *items, uint64_t *total,
                                   tr_err *err);
/* The page of one kind: collect, then page. *items is returned. */
TR_MUST_CHECK tr_code tr_list_find(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                   const tr_list_request *request, tr_list_show show,
                                   json_t **items, uint64_t *total, tr_err *err);

#endif
