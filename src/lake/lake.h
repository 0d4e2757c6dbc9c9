/* SPDX-License-Identifier: Apache-2.0 */
/* lake.h - objects and batches: staging, atomic publication, reading.
 *
 *     <data>/lake/<tenant folder>/staging/<stage id>/...     being written; no reader looks here
 *     <data>/lake/<tenant folder>/data/<dataset>/<batch>/    published: a folder appears by rename
 *     <data>/lake/<tenant folder>/uploads/<batch>/...        raw files of a batch until it is done
 *
 * A stage is filled file by file (each synced and hashed), then published as one folder by one
 * rename; only the catalog's transaction afterwards makes it visible. What is published but not in
 * the catalog is an orphan of a crash and is swept at start-up.
 *
 * Names that come from clients are never path pieces: ids are checked, upload paths are stored by
 * the hash of their text.
 *
 * Threads: any; one writer a file.
 */
#ifndef TR_LAKE_LAKE_H
#define TR_LAKE_LAKE_H

#include "catalog/catalog.h"
#include "codec/hash.h"
#include "os/os.h"

typedef struct tr_lake tr_lake;

/* folder  the server's data folder; <folder>/lake is made */
TR_MUST_CHECK tr_code tr_lake_open(const char *folder, tr_lake **out, tr_err *err);
void tr_lake_close(tr_lake *lake); /* accepts NULL */

/* A file of a stage while it is written. */
typedef struct tr_lake_file {
    tr_file file;
    tr_hash_stream *hash;
    char *path; /* NULL: finished, or not open */
} tr_lake_file;

typedef struct tr_lake_written {
    uint64_t bytes;
    char xxh128[33];
} tr_lake_written;

/* name  [a-zA-Z0-9._-]{1,100}; an unfinished file of that name is replaced */
TR_MUST_CHECK tr_code tr_lake_create(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                                     const char *name, tr_lake_file *out, tr_err *err);
/* A tr_sink's write with ctx = tr_lake_file *. */
tr_code tr_lake_write(void *ctx, tr_str bytes, tr_err *err);
/* Syncs and closes. */
TR_MUST_CHECK tr_code tr_lake_finish(tr_lake_file *file, tr_lake_written *out, tr_err *err);
/* Removes what is not finished: a stage is published with all that lies in it. Idempotent; after
 * finish it does nothing. */
void tr_lake_abandon(tr_lake_file *file);

/* The whole stage becomes the folder of (dataset, batch): one rename and syncs. A repeat after a
 * crash between rename and catalog is TR_OK when the folder is already there and the stage is gone.
 * TR_CONFLICT  both are there; TR_NOT_FOUND  neither is */
TR_MUST_CHECK tr_code tr_lake_publish(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                                      const char *dataset, const char *batch, tr_err *err);
/* Adds a staged file to a published folder, under another name; what was there of that name is
 * replaced. Only the catalog's transaction makes it known. */
TR_MUST_CHECK tr_code tr_lake_add(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                                  const char *name, const char *dataset, const char *batch,
                                  const char *new_name, tr_err *err);
/* Removes one file of a published folder; absent is fine. Who has it open or mapped reads on. */
TR_MUST_CHECK tr_code tr_lake_remove_file(tr_lake *lake, const tr_tenant *tenant,
                                          const char *dataset, const char *batch, const char *name,
                                          tr_err *err);
TR_MUST_CHECK tr_code tr_lake_drop_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                                         tr_err *err);
/* True when stage/name is there with exactly these bytes and hash: what resume asks. */
bool tr_lake_stage_has(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                       const tr_lake_written *expected);
/* A finished file of a stage. */
TR_MUST_CHECK tr_code tr_lake_map_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                                        const char *name, tr_map *out, tr_err *err);
/* The same of a published file. */
bool tr_lake_has(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                 const char *name, const tr_lake_written *expected);

TR_MUST_CHECK tr_code tr_lake_map(tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                                  const char *batch, const char *name, tr_map *out, tr_err *err);
/* Appends the path, for the SQL worker's allow list and for sending files; never for an answer. A
 * NUL that len does not count follows. Whether the file exists is not asked.
 * name  NULL: the batch's folder */
TR_MUST_CHECK tr_code tr_lake_path(tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                                   const char *batch, const char *name, tr_buf *out, tr_err *err);
TR_MUST_CHECK tr_code tr_lake_remove_batch(tr_lake *lake, const tr_tenant *tenant,
                                           const char *dataset, const char *batch, tr_err *err);
TR_MUST_CHECK tr_code tr_lake_remove_tenant(tr_lake *lake, const tr_tenant *tenant, tr_err *err);

/* Raw uploads. `path` is the client's name for the file and may be anything. */
/* The whole file; an earlier one of that path is replaced. */
TR_MUST_CHECK tr_code tr_lake_upload_put(tr_lake *lake, const tr_tenant *tenant, const char *batch,
                                         tr_str path, tr_str bytes, tr_err *err);
/* One part of a large file, at its offset. */
TR_MUST_CHECK tr_code tr_lake_upload_part(tr_lake *lake, const tr_tenant *tenant, const char *batch,
                                          tr_str path, uint64_t offset, tr_str bytes, tr_err *err);
/* Appends the path, as tr_lake_path does. */
TR_MUST_CHECK tr_code tr_lake_upload_path(tr_lake *lake, const tr_tenant *tenant, const char *batch,
                                          tr_str path, tr_buf *out, tr_err *err);
TR_MUST_CHECK tr_code tr_lake_upload_drop(tr_lake *lake, const tr_tenant *tenant, const char *batch,
                                          tr_err *err);

/* The folder of all published batches of a tenant, made when missing: all that its SQL may read. */
TR_MUST_CHECK tr_code tr_lake_data_folder(tr_lake *lake, const tr_tenant *tenant, tr_buf *out,
                                          tr_err *err);

/* Bytes of the disk that it is on: left, and all. */
TR_MUST_CHECK tr_code tr_lake_space(const tr_lake *lake, uint64_t *left, uint64_t *all,
                                    tr_err *err);

/* A folder for scratch files of this process, emptied by the sweep. */
const char *tr_lake_scratch(const tr_lake *lake);

/* Removes stages, uploads and batch folders that `is_known` does not know: once, at start-up,
 * before anything else. When the catalog does not answer, say true.
 * kind  "stage" (id: the stage), "upload" (id: the batch), "batch" (id: the folder, which is a
 *       batch, a compacted run, or "<batch>-diagnostics") */
typedef bool (*tr_lake_is_known)(void *ctx, const char *tenant_folder, const char *kind,
                                 const char *id);
TR_MUST_CHECK tr_code tr_lake_sweep(tr_lake *lake, tr_lake_is_known is_known, void *ctx,
                                    tr_err *err);

#endif
