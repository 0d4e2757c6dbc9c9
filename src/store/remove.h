/* SPDX-License-Identifier: Apache-2.0 */
/* remove.h - some identities out of everything the store knows: batches' files, folded or not, and
 * runs.
 *
 *     open        no compaction until close
 *     prepare     every file and run that was not looked at yet: rewritten beside the old one when
 *                 it names one
 *       apply     within the caller's transaction: the new ones take the place of the old ones.
 *                 When batches came meanwhile, it says so, and all begins again at prepare
 *     close       the new ones go, unless they are in force
 *
 * A rewritten file has an id and a name of its own ("<old>r7", "part-00000.r7.parquet" for removal
 * 7), so plans that name the old one find it gone, and who has it open reads on. It stays in its
 * batch's folder; a compacted run's is a folder of its own, as its id is. After the commit the old
 * ones are bytes that the caller removes: they are listed first, in the same transaction.
 *
 * Threads: a removal belongs to one thread.
 */
#ifndef TR_STORE_REMOVE_H
#define TR_STORE_REMOVE_H

#include "store/rewrite.h"

typedef struct tr_store_removal tr_store_removal;

/* number  of this removal within the tenant, the same after a restart: what its files are named by
 * list    borrowed until close */
TR_MUST_CHECK tr_code tr_store_removal_open(tr_store *store, const tr_tenant *tenant,
                                            int64_t number, const tr_forget_list *list,
                                            tr_store_removal **out, tr_err *err);
TR_MUST_CHECK tr_code tr_store_removal_prepare(tr_store_removal *removal, tr_err *err);
/* bytes  an array: {"dataset","batch","name"} of every file that goes is appended; name "": the
 * whole folder */
TR_MUST_CHECK tr_code tr_store_removal_apply(tr_store_removal *removal, json_t *bytes,
                                             bool *is_complete, tr_err *err);
/* That went, in files of batches. */
uint64_t tr_store_removal_rows(const tr_store_removal *removal);
/* is_in_force  the transaction was committed */
void tr_store_removal_close(tr_store_removal *removal, bool is_in_force);

/* Removes what a killed attempt at removal `number` left in the folders of batches. */
TR_MUST_CHECK tr_code tr_store_removal_clean(tr_store *store, const tr_tenant *tenant,
                                             int64_t number, tr_err *err);
/* The name of the file that takes the place of `old`. */
void tr_store_removal_name(const char *old, int64_t number, char out[104]);
/* Removes listed bytes. */
TR_MUST_CHECK tr_code tr_store_remove_bytes(tr_store *store, const tr_tenant *tenant,
                                            const json_t *bytes, tr_err *err);

/* One published file that is a run, looked at, and rewritten beside itself when it names one of
 * them. */
typedef struct tr_rewritten_file {
    bool is_rewritten;
    tr_rewritten rows;
    tr_lake_written written;
    char name[104]; /* of the new one: "": no row is left */
} tr_rewritten_file;
typedef struct tr_rewrite_order {
    const tr_tenant *tenant;
    const char *dataset, *folder, *name;
    const char *new_folder; /* NULL: beside the old one */
    int64_t number;
    bool is_of_batch; /* its rows carry their batch's time of writing, see store.h */
} tr_rewrite_order;
TR_MUST_CHECK tr_code tr_store_rewrite(tr_lake *lake, const tr_rewrite_order *order,
                                       const tr_forget_list *list, tr_rewritten_file *out,
                                       tr_err *err);

/* What takes the place of a batch's file in the transaction: written already. */
typedef struct tr_exchanged_file {
    const char *old_id, *new_id;
    const tr_rewritten_file *file; /* its name is "": nothing does */
} tr_exchanged_file;
/* Of the files that were looked at; the list is in the arena, what it points to is borrowed until
 * the next prepare. */
TR_MUST_CHECK tr_code tr_store_removal_exchanged(const tr_store_removal *removal, tr_arena *arena,
                                                 const tr_exchanged_file **out, uint32_t *count,
                                                 tr_err *err);

#endif
