/* SPDX-License-Identifier: Apache-2.0 */
/* ingest_internal.h - what the files about batches share (the row reader's: row_internal.h).
 *
 *     batch_create.c    a request into a batch's document
 *     batch_upload.c    raw files: whole ones, and large ones in parts
 *     batch_action.c    COMPLETE, ABORT, FAIL, REVERT
 *     batch_document.c  states, versions, what the wire shows
 *     batch_queue.c     which batch is worked on; who is still uploading
 *     batch_job.c       a batch's life after COMPLETE, step by step
 *     batch_cut.c       raw files into blocks of rows
 *     batch_rows.c      a block of rows into a staged run; bad rows
 *     batch_report.c    bad rows into errors and diagnostics
 *     batch_end.c       the transactions that end a batch, and what follows
 *     batch_preview.c   the first rows of an upload
 *
 * In the catalog, beside kind "batch":
 *
 * upload        id "<batch>:<hash of path>", parent the batch, state "open" (parts arrive) or
 * "done":
 *                   {"path","bytes","parts":[[first,last]...],"total"?}; gone when the batch ends
 *     external      id the client's externalId: {"batch"}
 *
 * Batches of one dataset are worked on one after the other, in the order of their COMPLETE, because
 * later ones replace what earlier ones say. Each is read by all cores.
 */
#ifndef TR_INGEST_INGEST_INTERNAL_H
#define TR_INGEST_INGEST_INTERNAL_H

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/ingest.h"

#include <pthread.h>
#include <stdio.h>

/* Raw bytes of a block: one task, one reader, one run. Enough rows for good encodings; small enough
 * that a core's share of memory stays in the low hundreds of megabytes. */
#define TR_INGEST_BLOCK_BYTES ((size_t)64 << 20)
/* A reader that holds more than this is written out in the middle of its block. */
#define TR_INGEST_READER_BYTES_MAX ((uint64_t)384 << 20)
/* Rejected rows are kept whole up to this, per block; then only their errors. */
#define TR_INGEST_REJECTED_BYTES_MAX ((size_t)8 << 20)
#define TR_INGEST_PARTS_MAX 10000 /* of one large file */
#define TR_INGEST_PREVIEW_ROWS_MAX 100

typedef struct tr_ingest_active tr_ingest_active;
struct tr_ingest_active { /* a batch that is worked on, or waits for it */
    tr_ingest_active *next;
    tr_ingest *ingest;
    tr_tenant tenant;
    char batch[64];
    char dataset[32];
    bool is_submitted;
    atomic_bool cancel;
};

typedef struct tr_ingest_gate tr_ingest_gate; /* uploads of one batch that are under way */

struct tr_ingest {
    tr_ingest_parts parts;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t gate_moved;
    tr_ingest_active *active; /* in the order of COMPLETE */
    tr_ingest_gate *gates;
    json_t *compacting; /* {"<tenant> <dataset>": true}: a compaction waits in the queue */
    bool is_closing;
};

/* ---- batch_document.c */
/* The wire's view of a batch: without what is private. *out is returned. */
TR_MUST_CHECK tr_code tr_batch_show(const json_t *doc, json_t **out, tr_err *err);
/* TR_NOT_FOUND: no such batch, or one that was not made here. */
TR_MUST_CHECK tr_code tr_batch_get(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                   tr_object *out, tr_err *err);
/* Moves state, status, updated and version of a batch that will be put. */
TR_MUST_CHECK tr_code tr_batch_move(tr_object *batch, const char *status, tr_err *err);
/* Changes a batch in one transaction; a code other than TR_OK undoes everything. */
typedef tr_code (*tr_batch_edit_fn)(void *ctx, tr_object *batch, tr_err *err);
TR_MUST_CHECK tr_code tr_batch_edit(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                    tr_batch_edit_fn edit, void *ctx, tr_err *err);
TR_MUST_CHECK tr_code tr_batch_set(json_t *doc, const char *member, json_t *value, tr_err *err);
/* {"code","description","recordCount"?} at the end of errors; count < 0: none. */
TR_MUST_CHECK tr_code tr_batch_add_error(json_t *errors, const char *code, const char *description,
                                         int64_t count, tr_err *err);
bool tr_batch_is_one_of(const char *state, const char *comma_separated);

/* ---- batch_upload.c */
/* The batch's uploads by path: [{"path","bytes","state"}]; *out is returned. */
TR_MUST_CHECK tr_code tr_upload_list(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                     json_t **out, tr_err *err);
/* Forgets the upload objects of a batch. Within a transaction. */
TR_MUST_CHECK tr_code tr_upload_forget(tr_ingest *ingest, const tr_tenant *tenant,
                                       const char *batch, tr_err *err);

/* ---- batch_queue.c */
/* An upload to this batch begins; TR_INVALID: the batch is being completed. */
TR_MUST_CHECK tr_code tr_gate_enter(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                    tr_err *err);
void tr_gate_leave(tr_ingest *ingest, const tr_tenant *tenant, const char *batch);
/* Lets uploads under way end and no new ones begin, until tr_gate_open. */
TR_MUST_CHECK tr_code tr_gate_close(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                    tr_err *err);
void tr_gate_open(tr_ingest *ingest, const tr_tenant *tenant, const char *batch);
/* Puts a batch at the end of its dataset's queue. */
TR_MUST_CHECK tr_code tr_queue_add(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                   const char *dataset, tr_err *err);
/* Tells the job of a batch, if there is one, to give up. */
bool tr_queue_cancel(tr_ingest *ingest, const tr_tenant *tenant, const char *batch);
/* Removes the raw data of a reverted batch, by a job. */
TR_MUST_CHECK tr_code tr_queue_removal(tr_ingest *ingest, const tr_tenant *tenant,
                                       const char *batch, tr_err *err);
/* Removes the raw files of a batch that has ended, by a job of its own: 25,000 of them take a
 * while, and the next batch of the dataset need not wait for that. */
void tr_queue_drop(tr_ingest *ingest, const tr_tenant *tenant, const char *batch);
void tr_queue_compaction(tr_ingest *ingest, const tr_tenant *tenant, const char *dataset);

/* ---- a batch while its job works on it */
typedef struct tr_batch_file { /* one upload */
    tr_str path;
    uint64_t bytes;
    const char *upload_path;
    const char *scratch_path; /* of its conversion to JSON lines; NULL: it is JSON */
    bool is_converted;
} tr_batch_file;

typedef struct tr_batch_segment { /* rows of one file that lie together */
    uint32_t file;
    tr_json_cutter from; /* its text is not set */
    size_t to;           /* SIZE_MAX: to the end */
} tr_batch_segment;

typedef struct tr_batch_block {
    uint32_t first_segment, segment_count;
    uint64_t rows; /* good and bad */
} tr_batch_block;

typedef struct tr_batch_part { /* a staged run */
    char name[64];
    tr_lake_written written;
    uint64_t rows;
    struct tr_batch_part *next;
} tr_batch_part;

typedef struct tr_bad_row {
    struct tr_bad_row *next;
    json_t *why; /* {"code","message","column"?} */
    tr_str row;  /* its text; .at NULL: not kept */
    uint32_t file;
    uint64_t number; /* in its file, from 1 */
} tr_bad_row;

typedef struct tr_block_result { /* what a task found out; owned by it until it ends */
    tr_arena arena;
    tr_batch_part *parts, *last_part;
    tr_bad_row *bad, *last_bad;
    uint64_t rows_in, rows_good, rows_bad, rows_without_identity, rows_with_bad_identity;
    uint32_t bad_kept;
    size_t bad_bytes;
    json_t *codes;   /* {row code: count} */
    json_t *unknown; /* {path: count} */
    json_t *unknown_namespaces; /* {code: count} */
} tr_block_result;

typedef struct tr_batch_run {
    tr_ingest_active *active;
    tr_arena arena;
    json_t *options; /* of the batch */
    json_t *dataset_doc;
    json_t *namespaces; /* of the org */
    char format[16];
    char stage[64];
    char behavior[8]; /* of the files: record, event, none */
    const tr_xdm_schema *schema;
    uint8_t secret[192];
    char own_root[48];  /* "_acme" */
    int64_t written_us; /* what rows carry as their ingestion time */
    bool is_profile, is_upsert, is_unconstrained, unknown_is_error;
    bool has_diagnostics;
    double percent;
    int64_t started_ms;
    tr_batch_file *files;
    uint32_t file_count;
    uint64_t bytes_in;
    tr_batch_segment *segments;
    uint32_t segment_count, segment_cap;
    tr_batch_block *blocks;
    uint32_t block_count, block_cap;
    tr_block_result *results; /* [block_count] */
    tr_block_result total;    /* of all; lists are not joined */
    json_t *errors;           /* for the batch's document */
    json_t *diagnostics;      /* [{"name","bytes"}] */
} tr_batch_run;

void tr_batch_run_job(void *ctx); /* a tr_job_fn; ctx: tr_ingest_active */

/* ---- batch_cut.c */
/* Fills blocks. TR_INVALID: a file cannot be read; the text names it. */
TR_MUST_CHECK tr_code tr_batch_cut(tr_batch_run *run, tr_err *err);
/* The rows of a file as JSON; *text is borrowed from *map. */
TR_MUST_CHECK tr_code tr_batch_map_file(const tr_batch_run *run, uint32_t number, tr_map *map,
                                        tr_str *text, tr_err *err);
void tr_batch_remove_scratch(tr_batch_run *run);

/* ---- batch_rows.c */
/* Reads all blocks on the workers. */
TR_MUST_CHECK tr_code tr_batch_read(tr_batch_run *run, tr_err *err);
void tr_block_result_free(tr_block_result *result);

/* ---- batch_report.c */
/* Whether the batch lives, by its bad rows: TR_OK, with errors of a partial success; TR_SEMANTIC:
 * it fails, with its errors. Diagnostics are written to the lake and listed. */
TR_MUST_CHECK tr_code tr_batch_judge(tr_batch_run *run, tr_err *err);

/* ---- batch_end.c */
TR_MUST_CHECK tr_code tr_batch_publish(tr_batch_run *run, tr_err *err);
/* Ends the batch as failed, again and again until the catalog takes it or the server stops. */
void tr_batch_fail(tr_batch_run *run, const char *code, const char *text);
/* After a client's ABORT: what was staged and uploaded goes. */
void tr_batch_clean(tr_batch_run *run);
/* The live data of these batches is no longer read: files gone, and what compaction made of them
 * undone. Within a transaction. status: "inactive"; successor may be NULL. */
TR_MUST_CHECK tr_code tr_batch_withdraw(tr_ingest *ingest, const tr_tenant *tenant,
                                        const char *batch, const char *successor, tr_err *err);

#endif
