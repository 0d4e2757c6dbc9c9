/* SPDX-License-Identifier: Apache-2.0 */
/* evaluate.h - many definitions of one merge policy, evaluated over a partition at once.
 *
 * Threads: immutable once open; tr_evaluate from any. Ownership: close it before the schema's
 * tenant ends.
 */
#ifndef TR_SEGMENT_EVALUATE_H
#define TR_SEGMENT_EVALUATE_H

#include "catalog/schemas.h"
#include "merge/merge.h"

typedef struct tr_evaluator tr_evaluator;

/* definitions  an array of stored documents; borrowed until close. One whose expression does not
 * fit the
 *              schema of now is left out; *problems (an array, the caller's) says why:
 *              {"code","msg","callStack","segmentId"} */
TR_MUST_CHECK tr_code tr_evaluator_open(tr_catalog *catalog, const tr_tenant *tenant,
                                        const json_t *definitions, int64_t now_us, json_t *problems,
                                        tr_evaluator **out, tr_err *err);
void tr_evaluator_close(tr_evaluator *evaluator); /* accepts NULL */

/* The shape that a merge plan needs as its probe. */
const tr_shape *tr_evaluator_probe(const tr_evaluator *evaluator);
bool tr_evaluator_reads_events(const tr_evaluator *evaluator);
/* False: left out. */
bool tr_evaluator_has(const tr_evaluator *evaluator, uint32_t definition);

/* masks  [definitions][profiles], written; those left out stay as they are
 * times  [definitions] microseconds, added to; NULL: not wanted */
TR_MUST_CHECK tr_code tr_evaluate(const tr_evaluator *evaluator, tr_merge_view *view,
                                  uint8_t *const *masks, int64_t *times, const atomic_bool *cancel,
                                  tr_err *err);

#endif
