/* SPDX-License-Identifier: Apache-2.0 */
/* fakes_internal.h - the rooms below export, said slowly, for tests of a job's life: one thread,
 * a catalog and a lake in memory, a merge that writes known bytes, and crashes that are a jump
 * out of the job.
 */
#ifndef TR_EXPORT_FAKES_INTERNAL_H
#define TR_EXPORT_FAKES_INTERNAL_H

#include "export/export_internal.h"

#include <setjmp.h>

typedef struct tr_fake_faults {
    const char *crash_at; /* NULL: never */
    int crash_passage;    /* 1: the first */
    tr_code merge_code;   /* of partition merge_partition; TR_OK: none */
    uint32_t merge_partition;
    int catalog_failures; /* so many commits fail with TR_NO_SPACE, once a merge has failed */
    int runs_are_gone;    /* so many tr_store_snapshot_of fail */
    int merged_is_gone;   /* so many takes of a named one fail, and data has come */
    const char *merged;   /* the run that plans read in place of records; NULL: none */
    bool part_rots;       /* a byte of part 1 changes once it is written */
    uint32_t cancel_in_partition; /* a client cancels during it; UINT32_MAX: never */
} tr_fake_faults;

extern tr_fake_faults tr_fake_now;
extern jmp_buf tr_fake_crash;
extern uint64_t tr_fake_profiles[8]; /* of each partition */
extern uint32_t tr_fake_partitions;  /* at most 8 */
extern int tr_fake_merges;           /* partitions merged so far */
extern int64_t tr_fake_snapshot_ms;  /* when the last snapshot was taken */

void tr_fake_reset(void);     /* an empty catalog and lake, no faults */
void tr_fake_restart(void);   /* after a crash: what was not committed is gone, nothing is queued */
void tr_fake_run_queue(void); /* runs every queued job, in order */
extern tr_export *tr_fake_export;
/* Files under a prefix: "stage/", "data/". */
int tr_fake_files(const char *prefix);
/* All published bytes of a batch, in order of names; the caller frees. */
char *tr_fake_bytes(const char *batch);
/* A catalog document, borrowed; NULL: none. state may be NULL. */
const json_t *tr_fake_doc(const char *kind, const char *id, const char **state);
int tr_fake_count(const char *kind);
void tr_fake_put_dataset(const char *id, const char *schema);

#endif
