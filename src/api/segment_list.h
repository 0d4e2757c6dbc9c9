/* SPDX-License-Identifier: Apache-2.0 */
/* segment_list.h - what the lists of the segmentation service have in common. */
#ifndef TR_API_SEGMENT_LIST_H
#define TR_API_SEGMENT_LIST_H

#include "api/api_internal.h"

enum { TR_SEGMENT_LIMIT = 100, TR_SEGMENT_LIMIT_MAX = 1000 };

/* tr_call_given, .at NULL when it is not. */
tr_str tr_segment_query(tr_call *call, const char *name);
/* start, limit, sort, property. start is a record's number; limit is clamped.
 * TR_INVALID  a number that is none, limit below 1, an unknown attribute */
TR_MUST_CHECK tr_code tr_segment_list_read(tr_call *call, const char *const *sortable,
                                           tr_list_request *out, tr_err *err);
/* {_page, children, _links}; items is taken. */
TR_MUST_CHECK tr_code tr_segment_list_reply(tr_call *call, const tr_list_request *request,
                                            const char *name, json_t *items, uint64_t total,
                                            tr_err *err);

/* {"ids":[{"id":...}]} -> 207 {"results":{id: document or error}}. get: finds one. */
typedef tr_code (*tr_segment_get_one)(tr_call *call, const char *id, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_segment_bulk_get(tr_call *call, tr_segment_get_one get, bool needs_one,
                                          tr_err *err);

#endif
