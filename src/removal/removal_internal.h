/* SPDX-License-Identifier: Apache-2.0 */
/* removal_internal.h - what the files of delete requests share.
 *
 *     request.c   a request checked and made into a job; jobs looked up, listed, forgotten
 *     job.c       the queue, a job's states, datasets and batches
 *     identity.c  jobs about identities
 *
 * Private members of a job's document, in "_": {"began": ms, "code", "id" of an identity, "number":
 * what its rewritten files are named by, "bytes": files that have gone and whose bytes have not}.
 */
#ifndef TR_REMOVAL_REMOVAL_INTERNAL_H
#define TR_REMOVAL_REMOVAL_INTERNAL_H

#include "base/clock.h"
#include "removal/removal.h"

#include <pthread.h>
#include <stdio.h>

#define TR_REMOVAL_KIND "system_job"
#define TR_REMOVAL_UNFINISHED "NEW,IN-PROGRESS"
enum { TR_REMOVAL_GROUP_MAX = 256 }; /* identities whose files are rewritten together */

typedef struct tr_removal_waiting tr_removal_waiting;
struct tr_removal_waiting {
    tr_removal_waiting *next;
    tr_tenant tenant;
    char id[48];
    bool is_of_identity;
};

struct tr_removals {
    tr_removal_parts parts;
    pthread_mutex_t lock;        /* guards all below */
    tr_removal_waiting *waiting; /* in the order of creation */
    bool is_working;             /* a background job works on them */
};

/* ---- job.c */
/* Puts a job at the end of the queue. Failing that it runs after the next start. */
void tr_removal_queue(tr_removals *removals, const tr_tenant *tenant, const char *id,
                      bool is_of_identity);
/* Now, with microseconds, so that texts sort as times do. */
void tr_removal_time(char out[TR_TIME_TEXT_BYTES]);
/* Status, state and times of a job that will be put. */
TR_MUST_CHECK tr_code tr_removal_move(tr_object *job, const char *status, tr_err *err);
/* Counts and time of a job that ends. */
TR_MUST_CHECK tr_code tr_removal_tell(tr_object *job, uint64_t records, tr_err *err);
/* Changes a job in one transaction; a code other than TR_OK undoes everything. */
typedef tr_code (*tr_removal_edit_fn)(void *ctx, tr_object *job, tr_err *err);
TR_MUST_CHECK tr_code tr_removal_edit(tr_removals *removals, const tr_tenant *tenant,
                                      const char *id, tr_removal_edit_fn edit, void *ctx,
                                      tr_err *err);

/* ---- identity.c */
/* Works on jobs of one tenant, all about identities. TR_CANCELLED: the server stops, they go on
 * later. */
TR_MUST_CHECK tr_code tr_removal_run_identities(tr_removals *removals,
                                                const tr_removal_waiting *const *jobs,
                                                uint32_t count, tr_err *err);

#endif
