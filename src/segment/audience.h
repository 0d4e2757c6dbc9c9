/* SPDX-License-Identifier: Apache-2.0 */
/* audience.h - audiences: every segment definition, and those of other systems (reference:
 * segmentation API, 8).
 *
 * An external audience is a name for memberships that come with the data: records list them in
 * segmentMembership under the audience's own namespace and audienceId, and exports select by them.
 *
 * Threads: any.
 */
#ifndef TR_SEGMENT_AUDIENCE_H
#define TR_SEGMENT_AUDIENCE_H

#include "segment/segment.h"

/* Every *out is a wire document; returned. Errors as in segment.h. */
TR_MUST_CHECK tr_code tr_audience_create(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *body, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_audience_get(tr_segment *segment, const tr_tenant *tenant, const char *id,
                                      json_t **out, tr_err *err);
/* The body is all of it; what it lacks goes. Its namespace and audienceId stay. */
TR_MUST_CHECK tr_code tr_audience_replace(tr_segment *segment, const tr_tenant *tenant,
                                         const char *id, const json_t *body, json_t **out,
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_audience_remove(tr_segment *segment, const tr_tenant *tenant,
                                         const char *id, tr_err *err);
TR_MUST_CHECK tr_code tr_audience_find(tr_segment *segment, const tr_tenant *tenant,
                                       const tr_list_request *request, json_t **items,
                                       uint64_t *total, tr_err *err);

#endif
