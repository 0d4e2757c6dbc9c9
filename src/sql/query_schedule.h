/* SPDX-License-Identifier: Apache-2.0 */
/* query_schedule.h - queries that run at set times (reference: Query Service, section 5).
 *
 * A schedule is an object of kind "querySchedule" (id uuid), state "ENABLED" or "DISABLED"; its
 * document is what the wire shows. A run is a query (query_job.h) whose parent is the schedule. A
 * run's id is base64 of "scheduled__<start>", or of "manual__<start>" when it was asked for.
 *
 * Between startDate and endDate it runs when its crontab line says, in UTC; "@once" at startDate,
 * or at once. It runs as who made it, or changed it last: while that client may not write, nothing
 * runs, as AEP stops a schedule with its user's access. What falls due meanwhile, while
 * maxActiveRuns runs are under way, or while the server is down, does not run later; but "@once"
 * does.
 *
 * Threads: any. Close before the jobs.
 */
#ifndef TR_SQL_QUERY_SCHEDULE_H
#define TR_SQL_QUERY_SCHEDULE_H

#include "sql/query_job.h"

#define TR_QUERY_SCHEDULE_KIND "querySchedule"

typedef struct tr_query_schedules tr_query_schedules;

typedef struct tr_schedule_guard {
    void *ctx;
    /* Whether a client may still write in the tenant's sandbox. TR_OK, or why not */
    tr_code (*admit)(void *ctx, const tr_tenant *tenant, const char *client_id, tr_err *err);
} tr_schedule_guard;

TR_MUST_CHECK tr_code tr_query_schedules_open(tr_catalog *catalog, tr_query_jobs *jobs,
                                              const tr_schedule_guard *guard,
                                              tr_query_schedules **out, tr_err *err);
void tr_query_schedules_close(tr_query_schedules *schedules); /* accepts NULL */

/* body  {"query","schedule":{"schedule","startDate"?,"endDate"?,"maxActiveRuns"?}}; id: filled.
 * TR_INVALID  names the member */
TR_MUST_CHECK tr_code tr_query_schedule_create(tr_query_schedules *schedules,
                                               const tr_tenant *tenant, const json_t *body,
                                               const char *client_id, char id[40], tr_err *err);
TR_MUST_CHECK tr_code tr_query_schedule_get(tr_query_schedules *schedules, const tr_tenant *tenant,
                                            const char *id, tr_object *out, tr_err *err);
/* body  {"op":"enable"|"disable"}, [{"op":"replace","path","value"}], or {"body":[...]} */
TR_MUST_CHECK tr_code tr_query_schedule_patch(tr_query_schedules *schedules,
                                              const tr_tenant *tenant, const char *id,
                                              const json_t *body, const char *client_id,
                                              tr_err *err);
/* TR_INVALID  it is enabled, or a run is under way */
TR_MUST_CHECK tr_code tr_query_schedule_remove(tr_query_schedules *schedules,
                                               const tr_tenant *tenant, const char *id,
                                               tr_err *err);
/* Starts a run now. TR_INVALID  it is disabled, or has maxActiveRuns already */
TR_MUST_CHECK tr_code tr_query_schedule_trigger(tr_query_schedules *schedules,
                                                const tr_tenant *tenant, const char *id,
                                                tr_err *err);
/* The query that a run is. TR_NOT_FOUND */
TR_MUST_CHECK tr_code tr_query_schedule_run(tr_query_schedules *schedules, const tr_tenant *tenant,
                                            const char *id, const char *run, tr_object *out,
                                            tr_err *err);

#endif
