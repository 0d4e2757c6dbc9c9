/* SPDX-License-Identifier: Apache-2.0 */
/* projection.h - which fields of a profile are kept ready, and for where (reference: profile, 6).
 *
 * A DESTINATION says where projected profiles go and how; a PROJECTION says which fields, by a
 * selector (xdm/fields.h), and by which policy. Both are objects of the catalog, kinds
 * "destination" and "projection", whose documents are what a client sent, its defaults, id and
 * version.
 *
 * This server is its own edge: a projection is served from the view of its policy and fields
 * (profile.h), which reads its columns only. Writing a projection makes its view.
 *
 * Writing: currentVersion, when given, must be the version that is replaced (TR_CONFLICT).
 * Threads: any. Ownership: every *out is returned.
 */
#ifndef TR_PROFILE_PROJECTION_H
#define TR_PROFILE_PROJECTION_H

#include "profile/profile.h"

#define TR_PROJECTIONS_MAX 1000 /* of a sandbox: a list has them all */

/* id  NULL: a new one; else it is replaced */
TR_MUST_CHECK tr_code tr_destination_put(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *id, const json_t *body, json_t **out,
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_destination_get(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *id, json_t **out, tr_err *err);
/* All of them, in order of creation. */
TR_MUST_CHECK tr_code tr_destination_list(tr_catalog *catalog, const tr_tenant *tenant,
                                          json_t **out, tr_err *err);
/* TR_CONFLICT: a projection uses it. */
TR_MUST_CHECK tr_code tr_destination_remove(tr_catalog *catalog, const tr_tenant *tenant,
                                            const char *id, tr_err *err);

/* schema_name  the class, of a new one; names are unique in it. NULL with id */
TR_MUST_CHECK tr_code tr_projection_put(tr_profiles *profiles, const tr_tenant *tenant,
                                        const char *id, const char *schema_name, const json_t *body,
                                        json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_projection_get(tr_catalog *catalog, const tr_tenant *tenant,
                                        const char *id, json_t **out, tr_err *err);
/* schema_name, name  NULL: any */
TR_MUST_CHECK tr_code tr_projection_list(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *schema_name, const char *name, json_t **out,
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_projection_remove(tr_catalog *catalog, const tr_tenant *tenant,
                                           const char *id, tr_err *err);

#endif
