/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - how a sandbox's profiles are made up (reference: profile API, 7.1 and 7.2).
 *
 * All profiles under the default policy are looked at: a report is no sample, so its sampling
 * ratio is 1. It is made when somebody asks and the data changed since the last one; the last one
 * of a day is kept, as an object of kind "profile_report" with the day as its id.
 *
 *     {"timestamp":"2026-05-01T10:00:00.000","policy":id,"profiles":n,"events":n,"fragments":n,
 *      "documents":n,                          rows in the store
 *      "batch":id|null,"batchTimestamp":ms,    the newest
 *      "datasets":{id:profiles},"datasetOverlap":{"id,id":profiles with exactly these},
 *      "namespaces":{code:profiles},"namespaceDocuments":{code:rows stored under it},
 *      "namespaceOverlap":{"a,b":profiles},
 *      "unstitched":{"7days":{"countOfProfiles","eventsAssociated",
 *                             "nsDistribution":{code:{both}}},...}}
 *
 * A profile is unstitched when it has a single fragment, and in the report of a window when it
 * has no event in these last days.
 *
 * Threads: any. Ownership: *out is returned.
 */
#ifndef TR_PROFILE_REPORT_H
#define TR_PROFILE_REPORT_H

#include "profile/profile.h"

/* As of now. TR_BUSY: others are being made, and waited for. */
TR_MUST_CHECK tr_code tr_profile_report(tr_profiles *profiles, const tr_tenant *tenant,
                                        json_t **out, tr_err *err);
/* The last one of a day, "2026-05-01". TR_NOT_FOUND: none was made. */
TR_MUST_CHECK tr_code tr_profile_report_of(tr_profiles *profiles, const tr_tenant *tenant,
                                           const char *date, json_t **out, tr_err *err);

#endif
