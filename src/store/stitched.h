/* SPDX-License-Identifier: Apache-2.0 */
/* stitched.h - derived runs in the catalog and the lake: kept while they are of use, made again
 * when they are lost.
 *
 * An object of kind "stitched" (id: ulid; parent: its SOURCE, the run, file or membership run it
 * was made of, or a name for what has no source) has its source's document, and
 *
 *     digest       what it was made by: of the same source and digest it is the same run
 *     isCompacted  whether the source was
 *     runs         what is made of several runs at once, without a source, names them: it is of use
 *                  while all of them are live, and removed once one is not
 *
 * It lies in the lake as batch `<id>` of its source's dataset, under its source's name. State
 * "profile", or "gone": superseded, or its source is live no more; removed TR_RUN_RETIRED_MS later
 * or when newer ones are, and at once when data was taken back.
 *
 * Threads: any.
 */
#ifndef TR_STORE_STITCHED_H
#define TR_STORE_STITCHED_H

#include "store/store.h"

/* For what is made of all clusters: no source that could go, but data that may be taken back. */
#define TR_STITCHED_MEMBERS "members"

/* The id of a run that is there, its file too. TR_NOT_FOUND: none */
TR_MUST_CHECK tr_code tr_stitched_find(tr_store *store, const tr_tenant *tenant, const char *source,
                                       const char *digest, char id[48], tr_err *err);
/* Whether one that was found before is still there and of use. */
bool tr_stitched_is_there(tr_store *store, const tr_tenant *tenant, const char *id);

typedef struct tr_stitched_new {
    const char *source;      /* id; TR_STITCHED_MEMBERS */
    const char *source_kind; /* "file", "run", "membership_run"; "" without a source */
    const char *digest;
    const char *dataset, *name; /* in the lake */
    const char *behavior;       /* NULL: the source's */
    uint64_t rows;
    const json_t *runs; /* ids: all must be there when it is inserted; NULL: it has a source */
} tr_stitched_new;

typedef tr_code (*tr_stitched_write)(void *ctx, tr_sink sink, uint64_t *rows, tr_err *err);
/* Writes, publishes and inserts one: a stage, one rename, one transaction.
 * TR_NOT_FOUND  its source was taken back meanwhile */
TR_MUST_CHECK tr_code tr_stitched_make(tr_store *store, const tr_tenant *tenant,
                                       const tr_stitched_new *of, tr_stitched_write write,
                                       void *ctx, char id[48], tr_err *err);

/* Removes one, and its file. */
TR_MUST_CHECK tr_code tr_stitched_remove(tr_store *store, const tr_tenant *tenant, const char *id,
                                         tr_err *err);
/* Whether runs of a snapshot are all live. */
TR_MUST_CHECK tr_code tr_stitched_are_live(tr_store *store, const tr_tenant *tenant,
                                           const json_t *runs, bool *out, tr_err *err);

/* Of runs that are of use no more, so many of a source stay for plans that name them, times the
 * digests that it has. A plan that named an older one, and has not opened it, begins again. */
enum { TR_STITCHED_KEPT = 2 };
/* Others of the source, of another digest, are of use no more. */
TR_MUST_CHECK tr_code tr_stitched_supersede(tr_store *store, const tr_tenant *tenant,
                                            const char *source, const char *const *digests,
                                            uint32_t digest_count, tr_err *err);

/* Removes what is of use no more; see above. */
TR_MUST_CHECK tr_code tr_stitched_sweep(tr_store *store, const tr_tenant *tenant,
                                        bool is_taken_back, tr_err *err);

#endif
