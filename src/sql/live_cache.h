/* SPDX-License-Identifier: Apache-2.0 */
/* live_cache.h - merged profiles as Parquet files in the scratch folder, made when a statement
 * names them and kept while they are what merging would give again.
 *
 *     tenant, key (runs, policy, members: export/live.h)   columns   files
 *     7       4f0c...                                      a b c     live-812-0/3/part-*.parquet
 *
 * RIGHT AT EVERY MOMENT. A statement asks the catalog first what there is now; the answer is the
 * key. An entry of that key with the statement's columns, or more, is what it reads. Nobody has
 * to be told of changes: after one, the key is another. Entries of the policy's old keys go then.
 *
 * ONCE. Who asks for what is being made waits for it; when its maker fails or is cancelled, the
 * next one makes it. Merging runs on the workers of `compute`, which take turns with exports.
 *
 * Threads: any.
 */
#ifndef TR_SQL_LIVE_CACHE_H
#define TR_SQL_LIVE_CACHE_H

#include "export/live.h"
#include "query/query.h"

typedef struct tr_live_cache tr_live_cache;

typedef struct tr_live_cache_parts {
    tr_export *export;
    tr_compute *compute;
    const char *scratch_folder;
    uint64_t bytes_max; /* of all entries; 0: TR_LIVE_BYTES_MAX */
} tr_live_cache_parts;

TR_MUST_CHECK tr_code tr_live_cache_open(const tr_live_cache_parts *parts, tr_live_cache **out,
                                         tr_err *err);
void tr_live_cache_close(tr_live_cache *cache); /* accepts NULL */

typedef struct tr_live_question {
    const char *policy_id;                        /* NULL: the default one */
    bool (*wants)(void *ctx, const char *column); /* NULL: all columns */
    void *ctx;
    bool is_columns_only; /* a file without rows will do: nothing is merged */
} tr_live_question;

/* The paths of the files, an array; returned. They may go at any moment: whoever finds one gone
 * asks again.
 * TR_CANCELLED, TR_LIMIT  the patience, or the bytes, are at an end */
TR_MUST_CHECK tr_code tr_live_cache_files(tr_live_cache *cache, const tr_tenant *tenant,
                                          const tr_live_question *question,
                                          const tr_query_patience *patience, json_t **out,
                                          tr_err *err);
/* Data of the tenant was taken back: what was made of it goes at once, not when somebody asks
 * next. */
void tr_live_cache_forget(tr_live_cache *cache, const tr_tenant *tenant);
/* A file of no bytes that is always there. */
const char *tr_live_cache_empty(const tr_live_cache *cache);
/* A new file for the caller to write and remove. */
TR_MUST_CHECK tr_code tr_live_cache_file(tr_live_cache *cache, const char *end, char out[4096],
                                         tr_err *err);

#endif
