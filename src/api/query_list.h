/* SPDX-License-Identifier: Apache-2.0 */
/* query_list.h - Query Service's lists: filter, order, page (reference: Query Service, section 1).
 *
 *     ?property=state==SUCCESS,created>2024-05-01T00:00:00Z    all must hold
 *     ?orderby=-created|+updated   ?limit=20   ?start=<value of the orderby property>
 *     ?isPrevLink=true             the page that ends before start
 *
 * `start` is the first one of the page; the links name its id as well (startId), for the case that
 * two were updated in one millisecond. Lists of alerts have ?page (from 0) and ?pagesize instead.
 */
#ifndef TR_API_QUERY_LIST_H
#define TR_API_QUERY_LIST_H

#include "api/api_internal.h"

#define TR_QUERY_BASE "/data/foundation/query"

enum { TR_QUERY_TIME_BYTES = 32 };

typedef enum tr_query_field_kind {
    TR_QUERY_CREATED,
    TR_QUERY_UPDATED,
    TR_QUERY_TEXT, /* compared as text */
    TR_QUERY_BOOLEAN,
    TR_QUERY_IDS   /* an array of ids; the value may be several, "a||b" */
} tr_query_field_kind;

typedef struct tr_query_field {
    const char *name;
    const char *ops;    /* those it takes: "> < >= <= == != ~" */
    tr_query_field_kind kind;
    const char *member; /* of the stored document, dotted */
} tr_query_field;

typedef struct tr_query_list {
    const char *kind;   /* of the catalog */
    const char *parent; /* NULL: any */
    const char *key;    /* of the answer: "queries" */
    const char *page_key; /* of a list with numbered pages: "_page" or "page"; NULL: by start */
    const char *path;   /* below TR_QUERY_BASE: "/queries" */
    int version;
    const tr_query_field *fields; /* ends with a NULL name */
    /* NULL: every one */
    bool (*is_listed)(tr_call *call, const tr_object *object);
    json_t *(*show)(tr_call *call, const tr_object *object); /* NULL: no memory */
} tr_query_list;

TR_MUST_CHECK tr_code tr_query_list_reply(tr_call *call, const tr_query_list *of, tr_err *err);
TR_MUST_CHECK tr_code tr_query_list_count(tr_call *call, const tr_query_list *of, int64_t *out,
                                          tr_err *err);

/* `shown` with the members of `more`; both are taken. NULL: no memory. */
json_t *tr_query_add_members(json_t *shown, json_t *more);
/* 202 {"message","statusCode"}: what was asked for is done, or will be. */
TR_MUST_CHECK tr_code tr_query_reply_message(tr_call *call, const char *message, tr_err *err);

/* A boolean query parameter: true, True, or empty for the default. */
bool tr_query_flag(tr_call *call, const char *name, bool otherwise);
/* 2024-05-01T00:00:00.000Z */
const char *tr_query_time(int64_t ms, char out[TR_QUERY_TIME_BYTES]);
/* {"href","method"?,"body"?} of a path below TR_QUERY_BASE; NULL: no memory. */
json_t *tr_query_link(tr_call *call, const char *method, const char *body, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
