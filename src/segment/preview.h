/* SPDX-License-Identifier: Apache-2.0 */
/* preview.h - how many profiles an expression would match, and some of them, before it is a
 * definition (reference: segmentation API, 6).
 *
 * Below PREVIEW_ROWS_MAX profiles all are looked at; above, whole partitions, which are random
 * samples because profile keys are hashes: then the size is an estimate with its standard error.
 * Previews live in memory: the last 64 of the server, gone with it.
 *
 * Threads: any. Close after compute.
 */
#ifndef TR_SEGMENT_PREVIEW_H
#define TR_SEGMENT_PREVIEW_H

#include "segment/segment.h"

#define PREVIEW_ROWS_MAX (1000 * 1000)

typedef struct tr_previews tr_previews;
TR_MUST_CHECK tr_code tr_previews_open(const tr_segment_parts *parts, tr_previews **out,
                                       tr_err *err);
void tr_previews_close(tr_previews *previews); /* accepts NULL */

/* {predicateExpression, predicateType?, ...}; *out is {state, previewId, ...}; returned.
 * TR_INVALID  the expression does not fit: line, column and token */
TR_MUST_CHECK tr_code tr_preview_create(tr_previews *previews, const tr_tenant *tenant,
                                        const json_t *body, json_t **out, tr_err *err);
/* {state, results: [{"namespace","id"}]} of all results; returned. */
TR_MUST_CHECK tr_code tr_preview_get(tr_previews *previews, const tr_tenant *tenant, const char *id,
                                     json_t **out, tr_err *err);
/* The document of /estimate, without its links; returned. */
TR_MUST_CHECK tr_code tr_preview_estimate(tr_previews *previews, const tr_tenant *tenant,
                                          const char *id, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_preview_remove(tr_previews *previews, const tr_tenant *tenant,
                                        const char *id, tr_err *err);
/* Data of the tenant was taken back: forgets all its previews, those under way too. */
void tr_previews_forget(tr_previews *previews, const tr_tenant *tenant);

#endif
