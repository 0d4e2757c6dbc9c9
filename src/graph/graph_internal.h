/* SPDX-License-Identifier: Apache-2.0 */
/* graph_internal.h - the graphs of all tenants, and how files become links.
 *
 *     catalog --files.c--> files in order --feed.c--> sheets --update.c--> clusters
 *                                            a sheet: the identities and rows of one row group,
 *                                            read ahead on other cores, taken in order (sheet.c)
 *     catalog --classes.c--> which namespaces link, and as what
 *     files as a deletion will leave them --beside.c--> the clusters that will be
 */
#ifndef TR_GRAPH_GRAPH_INTERNAL_H
#define TR_GRAPH_GRAPH_INTERNAL_H

#include "graph/graph.h"

#include <pthread.h>
#include <stdatomic.h>

/* The namespaces of an org (classes.c), ordered by code in lower case. */
typedef struct tr_graph_class {
    tr_str code; /* as the org writes it */
    tr_node_class kind;
} tr_graph_class;
typedef struct tr_graph_classes {
    tr_arena arena;
    tr_graph_class *list;
    uint32_t count;
    uint64_t digest; /* of all codes and kinds */
} tr_graph_classes;
#define TR_GRAPH_NO_CLASS UINT32_MAX

TR_MUST_CHECK tr_code tr_graph_classes_read(tr_catalog *catalog, const tr_tenant *tenant,
                                            tr_graph_classes *out, tr_err *err);
void tr_graph_classes_free(tr_graph_classes *classes);
/* The place of a code, in any case of letters; TR_GRAPH_NO_CLASS: the org has no such namespace. */
uint32_t tr_graph_class_find(const tr_graph_classes *classes, tr_str code);

/* The files that make a tenant's graph (files.c). */
typedef struct tr_graph_file {
    char id[48], dataset[32], batch[32], name[104];
    char xxh128[33]; /* of its bytes */
    bool is_event;
    bool is_profile; /* it was made live in the store: others are not the graph's */
    uint64_t bytes, rows;
    int64_t ingested_us;
    int64_t revision; /* of the catalog's object; 0: its document was not read yet */
} tr_graph_file;
typedef struct tr_graph_files {
    tr_graph_file *list;
    uint32_t count, cap;
} tr_graph_files;

/* In the order of ingestion; files of a batch by name.
 * known  all files that were ever looked at and are still there, by id: only what is new, or was
 * changed, is
 *        read. Empty at first */
TR_MUST_CHECK tr_code tr_graph_files_read(tr_catalog *catalog, const tr_tenant *tenant,
                                          tr_graph_files *known, tr_graph_files *out, tr_err *err);
void tr_graph_files_free(tr_graph_files *files);
TR_MUST_CHECK tr_code tr_graph_files_add(tr_graph_files *files, const tr_graph_file *file,
                                         tr_err *err);
bool tr_graph_file_same(const tr_graph_file *a, const tr_graph_file *b);

/* What a row group says (sheet.c). Rows that link nothing are left out. */
typedef struct tr_sheet_identity {
    uint8_t key[16];
    tr_str id;      /* points into the sheet, or into the file's mapping */
    uint32_t class; /* in tr_graph_classes */
} tr_sheet_identity;
typedef struct tr_sheet_row {
    int64_t time_us;
    uint64_t token;        /* of its profile key: the order among rows of one time */
    uint32_t first, count; /* of `places` */
} tr_sheet_row;
typedef struct tr_sheet {
    tr_arena arena;
    tr_sheet_identity *identities;
    uint32_t identity_count, identity_cap;
    tr_sheet_row *rows;
    uint32_t row_count, row_cap;
    uint32_t *places; /* identities, row by row */
    uint32_t place_count, place_cap;
    tr_graph_counts counts;
} tr_sheet;

typedef struct tr_sheet_source {
    const tr_run *run;
    const tr_graph_file *file;
    const tr_graph_classes *classes;
    const uint8_t *secret; /* [192] */
} tr_sheet_source;
TR_MUST_CHECK tr_code tr_sheet_read(const tr_sheet_source *source, uint32_t group, tr_sheet *out,
                                    tr_err *err);
void tr_sheet_free(tr_sheet *sheet);

/* The sheets of many files, in order (feed.c). */
typedef struct tr_feed tr_feed;
typedef struct tr_feed_spec { /* all borrowed until close */
    tr_lake *lake;
    const tr_tenant *tenant;
    const tr_graph_file *files;
    uint32_t file_count;
    const tr_graph_classes *classes;
    const uint8_t *secret;
} tr_feed_spec;
TR_MUST_CHECK tr_code tr_feed_open(const tr_feed_spec *spec, tr_feed **out, tr_err *err);
/* *sheet: borrowed until the next call; NULL at the end. *file: whose it is. */
TR_MUST_CHECK tr_code tr_feed_next(tr_feed *feed, const tr_sheet **sheet, uint32_t *file,
                                   tr_err *err);
void tr_feed_close(tr_feed *feed); /* accepts NULL */

/* A batch that has rows in the graph; its number is its place in the list. */
typedef struct tr_graph_batch_entry {
    char id[32], dataset[32];
} tr_graph_batch_entry;

typedef struct tr_graph_state {
    tr_clusters *clusters; /* NULL: nothing was read yet */
    tr_graph_batch_entry *batches;
    uint32_t batch_count, batch_cap;
    tr_graph_files files;  /* whose rows are in */
    uint64_t class_digest; /* of the namespaces by which they were read */
    tr_graph_counts counts;
    bool is_whole; /* false: a replay has begun and not ended */
} tr_graph_state;

/* A tenant's graph. What tr_graph_reading is. */
struct tr_graph_reading {
    tr_graph_reading *next;
    int64_t tenant;
    uint32_t holders;          /* tr_graph.mutex */
    bool is_retired;           /* tr_graph.mutex */
    pthread_mutex_t preparing; /* from a preparation to its end: one at a time */
    pthread_mutex_t updating;  /* held while it is brought up to date: one at a time */
    pthread_rwlock_t lock;     /* state, version: written for as long as linking takes */
    _Atomic uint64_t seen;     /* the catalog's version that the state has all of */
    tr_graph_state state;
    uint64_t version;
    tr_graph_files known;    /* `updating` */
    tr_graph_state prepared; /* `updating`: what it will be when files go, or was; beside.c */
    tr_graph *graph;
};

struct tr_graph {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    pthread_mutex_t mutex; /* tenants, holders, preparations */
    tr_graph_reading *tenants;
    uint32_t preparations; /* under way, and waiting */
    atomic_bool is_stopping;
    struct tr_stitcher *stitcher; /* stitch.c */
};

/* Makes room for `more` in an array. `array` is a pointer to the array's pointer. */
TR_MUST_CHECK tr_code tr_graph_room(void *array, uint32_t count, uint64_t more, uint32_t *cap,
                                    size_t size, tr_err *err);
typedef struct tr_stitcher tr_stitcher;
TR_MUST_CHECK tr_code tr_stitcher_open(tr_stitcher **out, tr_err *err);
void tr_stitcher_close(tr_stitcher *stitcher); /* accepts NULL */

/* Holds the graph of a tenant that somebody asked for before; NULL: nobody has. Neither looks into
 * the catalog nor locks. */
tr_graph_reading *tr_graph_hold_known(tr_graph *graph, int64_t tenant);
void tr_graph_let_go(tr_graph_reading *own);

/* Reads files into a state of its own, which is empty at first; nobody is kept waiting.
 * TR_CANCELLED: the server stops. */
typedef struct tr_graph_replay {
    tr_graph *graph;
    const tr_tenant *tenant;
    tr_graph_files *files; /* in order */
} tr_graph_replay;
TR_MUST_CHECK tr_code tr_graph_replay_beside(const tr_graph_replay *replay, tr_graph_state *out,
                                             tr_err *err);
/* Puts files into the order in which their rows link. */
void tr_graph_files_sort(tr_graph_files *files);

/* Takes in what the catalog has and the state has not; `updating` is held. */
TR_MUST_CHECK tr_code tr_graph_update(tr_graph *graph, const tr_tenant *tenant,
                                      tr_graph_reading *own, tr_err *err);
void tr_graph_state_free(tr_graph_state *state);

#endif
