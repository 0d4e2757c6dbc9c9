/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots.h - a table as it was: its batches are its snapshots.
 *
 *     FROM crm SNAPSHOT SINCE 17   "crm@since 17"       batches after it
 *     FROM crm SNAPSHOT AS OF 17   "crm@as of 17"       up to it, and it
 *     ... BETWEEN 17 AND 23        "crm@between 17 23"  after the first, up to the second, and it
 *     (SELECT history_meta('crm')) "crm@history"        one row a batch; also without the ( )
 *     table_exists('crm')          "crm@exists"         one row: is_there
 *     public.crm, where crm is a temporary table, too   "crm@public": all of it
 *
 * The rewriter makes the names on the right (snapshots.c), the tables of these names are found
 * here. A snapshot's id is the time in microseconds at which its batch was ingested, which grows
 * with every batch of a sandbox. HEAD is before the first, TAIL is the last. A batch that was
 * removed is no snapshot any more.
 */
#ifndef TR_SQL_SNAPSHOTS_H
#define TR_SQL_SNAPSHOTS_H

#include "codec/json.h"
#include "sql/lex.h"

typedef struct tr_snapshot_batch {
    int64_t id; /* of the snapshot */
    const char *batch;
    json_t *files; /* paths */
    int64_t rows;
} tr_snapshot_batch;

/* Whether a token is a name of this kind: the table's name and what is wanted of it. */
bool tr_snapshot_name(tr_str name, tr_str *table, tr_str *wanted);
/* The one that tells whether there is such a table; returned. */
TR_MUST_CHECK tr_code tr_snapshot_exists(bool is_there, json_t **out, tr_err *err);
/* The table of that name, as tr_query_session_send takes it; returned. batches: by id
 * falls_back  an id that is not there is HEAD, for AS OF and the end TAIL; else TR_INVALID */
TR_MUST_CHECK tr_code tr_snapshot_table(tr_str table, tr_str wanted,
                                        const tr_snapshot_batch *batches, size_t count,
                                        bool falls_back, json_t **out, tr_err *err);

#endif
