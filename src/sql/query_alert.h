/* SPDX-License-Identifier: Apache-2.0 */
/* query_alert.h - who wants to know how a query or a schedule's queries go (reference: Query
 * Service, section 6).
 *
 * An alert is an object of kind "queryAlert", one for each asset (a query or a schedule) and type
 * (start, success, failure); its id is "query_service_flow_run_<type>-<asset>", its parent the
 * asset, and its document
 *
 *     {"id","assetId","alertType","status","version",
 *      "_subscribers":[{"email","byEmail","inContext"}], "lastTriggered"?:{"queryId","time"}}
 *
 * Nothing is mailed: this server has no mail. An alert that is enabled and whose time has come is a
 * line of the log (`query_alert`) and its own "lastTriggered".
 *
 * Threads: any.
 */
#ifndef TR_SQL_QUERY_ALERT_H
#define TR_SQL_QUERY_ALERT_H

#include "catalog/catalog.h"

#define TR_QUERY_ALERT_KIND "queryAlert"

/* Makes the alert, or adds subscribers to the one that is there. *out: filled
 * body  {"assetId","alertType","subscriptions":{"emailIds":[1 to 5],"inContextNotifications",
 *       "emailNotifications"}}
 * TR_INVALID    names the member; or the alert is disabled
 * TR_NOT_FOUND  the asset is no query and no schedule */
TR_MUST_CHECK tr_code tr_query_alert_subscribe(tr_catalog *catalog, const tr_tenant *tenant,
                                               const json_t *body, tr_object *out, tr_err *err);
/* TR_INVALID  there is no such type;  TR_NOT_FOUND */
TR_MUST_CHECK tr_code tr_query_alert_get(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *asset, const char *type, tr_object *out,
                                         tr_err *err);
/* patch  {"op":"replace","path":"/status","value":"enable"|"disable"} */
TR_MUST_CHECK tr_code tr_query_alert_patch(tr_catalog *catalog, const tr_tenant *tenant,
                                           const char *asset, const char *type, const json_t *patch,
                                           tr_object *out, tr_err *err);
TR_MUST_CHECK tr_code tr_query_alert_remove(tr_catalog *catalog, const tr_tenant *tenant,
                                            const char *asset, const char *type, tr_err *err);
/* All of an asset, which is no more. */
TR_MUST_CHECK tr_code tr_query_alerts_drop(tr_catalog *catalog, const tr_tenant *tenant,
                                           const char *asset, tr_err *err);
/* A query, maybe a run of a schedule, has come to a state: "IN_PROGRESS" or one that ends it. */
void tr_query_alert_tell(tr_catalog *catalog, const tr_tenant *tenant, const tr_object *query,
                         const char *state);

/* What looks like an address: one @ with something before and behind it, and no blanks. */
bool tr_is_email(const char *text);
/* The subscriber of that address, in any case; NULL: it is none. */
const json_t *tr_query_alert_subscriber(const json_t *alert, const char *email);

#endif
