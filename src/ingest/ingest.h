/* SPDX-License-Identifier: Apache-2.0 */
/* ingest.h - batches of foreign data into validated, sorted runs.
 *
 *     loading --complete--> loaded --> processing --> success | failure
 *        |                                 |             |
 *      abort -> aborted                  (crash: again)  revert -> inactive -> deleted
 *
 * Uploads are kept raw until COMPLETE. Then a job reads every file as rows (JSON directly; CSV and
 * Parquet through the SQL worker), checks and converts each row by the dataset's schema
 * (reference: ingestion, sections 4 and 5), finds its identities, shreds it into columns, sorts them by
 * profile key and writes runs into a stage. One catalog transaction then makes files, runs and batch state
 * visible. A batch is all there or not at all; a crash anywhere repeats the job from the raw uploads.
 *
 * Identities of a row, united into the run's identityMap column: its own identityMap, fields with identity
 * descriptors, and the old `identities` array. The primary: the primary descriptor's field; else the
 * item with primary true; else, when the row has exactly one identity, that one. Rows of a
 * Profile dataset without one stay in the lake (counted as invalidRecordsProfile) under the key 0.
 *
 * Bad rows: collected with row number, path, code and message (at most TR_INGEST_DIAGNOSTICS_MAX kept);
 * partialIngestionPercent decides whether the batch lives.
 *
 * Threads: any.
 */
#ifndef TR_INGEST_INGEST_H
#define TR_INGEST_INGEST_H

#include "catalog/schemas.h"
#include "compute/compute.h"
#include "graph/graph.h"
#include "lake/lake.h"
#include "query/query.h"
#include "store/store.h"

#define TR_INGEST_DIAGNOSTICS_MAX 10000

typedef struct tr_ingest tr_ingest;
typedef struct tr_ingest_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_graph *graph;
    tr_compute *compute;
    tr_query *query;
} tr_ingest_parts;

TR_MUST_CHECK tr_code tr_ingest_open(const tr_ingest_parts *parts, tr_ingest **out, tr_err *err);
void tr_ingest_close(tr_ingest *ingest); /* accepts NULL; jobs were ended by tr_compute_close */
/* Submits again what was under way when the server stopped; once, at start-up. */
TR_MUST_CHECK tr_code tr_ingest_resume(tr_ingest *ingest, tr_err *err);

/* Every *batch is the batch's wire document; returned. */
/* body  the request of POST /batches (reference: ingestion 2.1, 2.6, 6) */
TR_MUST_CHECK tr_code tr_ingest_create(tr_ingest *ingest, const tr_tenant *tenant, const json_t *body,
                                       const char *client_id, json_t **batch, tr_err *err);
/* Small file; *file is the File document. */
TR_MUST_CHECK tr_code tr_ingest_put(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                    const char *dataset, tr_str path, tr_str bytes, json_t **file, tr_err *err);
/* Large file: initialize, parts (content_range as sent), complete; ranges: what HEAD answers, e.g. "bytes=0-99". */
TR_MUST_CHECK tr_code tr_ingest_file_begin(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                           const char *dataset, tr_str path, json_t **file, tr_err *err);
TR_MUST_CHECK tr_code tr_ingest_file_part(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                          const char *dataset, tr_str path, tr_str content_range,
                                          tr_str bytes, json_t **file, tr_err *err);
TR_MUST_CHECK tr_code tr_ingest_file_end(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                         const char *dataset, tr_str path, json_t **file, tr_err *err);
TR_MUST_CHECK tr_code tr_ingest_file_ranges(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                            const char *dataset, tr_str path, tr_buf *ranges, tr_err *err);
/* The first rows of the batch's first file, as columns and rows of text (reference: ingestion 2.4).
 * options  format and CSV options that go before the batch's own; may be NULL */
TR_MUST_CHECK tr_code tr_ingest_preview(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                        const char *dataset, const json_t *options, uint32_t rows,
                                        json_t **preview, tr_err *err);
/* action  COMPLETE, ABORT, FAIL or REVERT, any case. REVERT takes as long as reading what it leaves of the identity
 * graph, when there is one: lookups go on meanwhile, and find it there behind the commit */
TR_MUST_CHECK tr_code tr_ingest_action(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                                       tr_str action, json_t **result, tr_err *err);

/* Whether a dataset's document has this value under a tag. */
bool tr_dataset_has_tag(const json_t *dataset, const char *name, const char *value);

/* Takes back what REVERT would, within the caller's transaction: one batch, or with batch NULL all of the
 * dataset's that are visible. Appends their ids to *batches and adds their rows to *rows. TR_NOT_FOUND: no such
 * batch */
TR_MUST_CHECK tr_code tr_ingest_take_back(tr_ingest *ingest, const tr_tenant *tenant, const char *dataset,
                                          const char *batch, json_t *batches, uint64_t *rows, tr_err *err);
/* After the commit: removes the bytes of these batches by background jobs; what a crash leaves, at the next start. */
void tr_ingest_remove_bytes(tr_ingest *ingest, const tr_tenant *tenant, const json_t *batches);

/* The heart, outside of any server (tools, tests, benches): rows of JSON to one run.
 * A reader shreds rows by schema; feed rows, then write the run. */
typedef struct tr_row_reader tr_row_reader;
typedef struct tr_row_options {
    const tr_xdm_schema *schema; /* borrowed until close */
    const uint8_t *secret;       /* 192 bytes, borrowed until close */
    const char *batch;           /* borrowed until close */
    int64_t ingested_us;
    const json_t *namespaces;    /* of the org (catalog/namespaces.h), borrowed until close: codes are written as
                                  * it writes them; NULL: as they come */
    bool is_profile;             /* the dataset feeds Profile */
    bool unknown_is_error;       /* a field the schema lacks: a row error instead of a counted warning */
    bool is_unconstrained;       /* acp_validationContext: disabled */
    bool is_text;                /* rows of a CSV: every value is text, also of booleans */
    const char *own_root;        /* "_acme": patterns are enforced only below it, because data in the wild,
                                  * Adobe's own sample too, breaks those of the standard; NULL: everywhere */
} tr_row_options;
TR_MUST_CHECK tr_code tr_row_reader_open(const tr_row_options *options, tr_row_reader **out, tr_err *err);
void tr_row_reader_close(tr_row_reader *reader); /* accepts NULL */
/* Adds one row. TR_INVALID: a bad row, nothing was added; *why (returned, may be NULL on other codes) is
 * {"code":"1402","message":"...","column":"person.birthYear"}. Any other code: the reader is of no more use. */
TR_MUST_CHECK tr_code tr_row_reader_add(tr_row_reader *reader, tr_str row, json_t **why, tr_err *err);
uint32_t tr_row_reader_rows(const tr_row_reader *reader);
uint64_t tr_row_reader_bytes(const tr_row_reader *reader); /* memory held: write and go on when large */
uint64_t tr_row_reader_rows_without_identity(const tr_row_reader *reader);
/* Rows with an identity that never links: its namespace is none of the org's, or its value is nobody's. */
uint64_t tr_row_reader_rows_with_bad_identity(const tr_row_reader *reader);
/* {"code": count} of identities whose namespace is none of the org's; returned. */
TR_MUST_CHECK tr_code tr_row_reader_unknown_namespaces(const tr_row_reader *reader, json_t **out, tr_err *err);
/* {"path": count} of fields that the schema lacks; borrowed. */
const json_t *tr_row_reader_unknown_fields(const tr_row_reader *reader);
/* Writes all rows so far as one run and is empty again. */
TR_MUST_CHECK tr_code tr_row_reader_write(tr_row_reader *reader, tr_sink sink, tr_err *err);

#endif
