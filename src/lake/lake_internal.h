/* SPDX-License-Identifier: Apache-2.0 */
/* lake_internal.h - paths and folders: what the lake's own files share.
 *
 * A folder that must outlive a power cut is made and synced once per process; `durable` remembers
 * which, so that the thousandth upload of a batch costs one sync and not five.
 */
#ifndef TR_LAKE_LAKE_INTERNAL_H
#define TR_LAKE_LAKE_INTERNAL_H

#include "lake/lake.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TR_LAKE_PATH_BYTES = 4096, TR_LAKE_DURABLE_MAX = 256 };

struct tr_lake {
    char *root;                              /* <data>/lake */
    char *scratch;                           /* <data>/lake/scratch */
    pthread_mutex_t mutex;                   /* guards `durable`; held while folders are made */
    tr_hash128 durable[TR_LAKE_DURABLE_MAX]; /* of paths, each in the slot of its first byte */
};

/* The lake's words for what lies in a tenant's folder. */
#define TR_LAKE_STAGING "staging"
#define TR_LAKE_DATA    "data"
#define TR_LAKE_UPLOADS "uploads"
/* A stage of this name is something that is being removed. */
#define TR_LAKE_TRASH "trash-"

/* [a-zA-Z0-9_-]{1,64}: stages, datasets, batches. */
bool tr_lake_is_id(const char *id);
/* [a-zA-Z0-9._-]{1,100}, no dot in front. */
bool tr_lake_is_name(const char *name);
/* TR_INVALID tells which `what` is not an id. */
TR_MUST_CHECK tr_code tr_lake_check_id(const char *what, const char *id, tr_err *err);

/* <root>/<tenant folder>/<the rest> */
TR_MUST_CHECK tr_code tr_lake_inside(const tr_lake *lake, const tr_tenant *tenant,
                                     char out[TR_LAKE_PATH_BYTES], tr_err *err, const char *format,
                                     ...) __attribute__((format(printf, 5, 6)));
/* Makes a folder below the root and all above it, so that they survive a power cut. */
TR_MUST_CHECK tr_code tr_lake_make_durable(tr_lake *lake, const char *path, tr_err *err);
/* Removes a folder that readers may look at: it vanishes by one rename, then its bytes go. */
TR_MUST_CHECK tr_code tr_lake_discard(tr_lake *lake, const char *path, const char *trash_folder,
                                      tr_err *err);

#endif
