/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h - a run without some identities: their rows go, and what names them in the rows of
 * others.
 *
 *     key   identityMap            key   identityMap
 *     A     {Email a}              A     {Email a}
 *     B     {Email b}        ->    C     {CRM c}          B = (Email, b) is forgotten
 *     C     {CRM c, Email b}
 *
 * Everything else stays as it is: rows, their order and times, row groups and partitions. A row
 * group without rows is left out. Which runs are concerned is found by key, and by the table of
 * values of the identities' ids; nothing else of the others is read.
 *
 * Threads: a call belongs to one thread; runs are immutable.
 */
#ifndef TR_STORE_REWRITE_H
#define TR_STORE_REWRITE_H

#include "store/store.h"

typedef struct tr_forgotten {
    uint8_t key[16];
    tr_str code, id; /* of the identity; code in any case */
} tr_forgotten;

typedef struct tr_forget_list {
    const tr_forgotten *at; /* borrowed */
    uint32_t count;
} tr_forget_list;

/* Whether a row is stored under one of the identities, or names one. */
TR_MUST_CHECK tr_code tr_run_names(const tr_run *run, const tr_forget_list *list, bool *out,
                                   tr_err *err);

typedef struct tr_rewritten {
    uint64_t rows;    /* that are left */
    uint64_t removed; /* rows that went */
    uint64_t changed; /* rows whose identityMap did */
} tr_rewritten;
TR_MUST_CHECK tr_code tr_run_rewrite(const tr_run *run, const tr_forget_list *list, tr_sink sink,
                                     tr_rewritten *out, tr_err *err);

#endif
