/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h - every limit of Tributary, with its unit and its reason. AEP's published guardrails come
 * first, so that clients meet familiar walls.
 */
#ifndef TR_BASE_LIMITS_H
#define TR_BASE_LIMITS_H

/* AEP's guardrails. */
#define TR_EVENT_BYTES_MAX (10 * 1024)          /* one ExperienceEvent that goes to Profile */
#define TR_RECORD_BYTES_MAX (100 * 1024)        /* one record that goes to Profile */
#define TR_ROW_FIELDS_MAX 10000                 /* leaves of one schema */
#define TR_BATCH_FILES_MAX 25000
#define TR_BATCH_BYTES_MAX UINT64_C(1099511627776) /* 1 TB of raw files */
#define TR_UPLOAD_BYTES_MAX (512000000 + 1)     /* one PUT or one part of a large file */
#define TR_IDENTITIES_PER_PROFILE_MAX 50
#define TR_LINK_IDENTITIES_MAX 20u              /* distinct ones of a row: more, and none of them link */
#define TR_MERGE_POLICIES_MAX 5                 /* per sandbox and class */
#define TR_MERGE_POLICY_DATASETS_MAX 100        /* in one order: AEP lets 50 record and 50 event datasets be picked */

/* Ours. */
#define TR_MEMORY_KEPT_BYTES (64 * 1024 * 1024) /* freed, and kept for the next use: a partition's arenas */
#define TR_MEMORY_MAPPED_BYTES (32 * 1024 * 1024) /* blocks from here on are mapped one by one: glibc's maximum */
#define TR_EXPORT_LIST_MAX 1000                 /* jobs in one answer: what clients ask for at most */
#define TR_DATASET_NAME_BYTES_MAX 255           /* what a table of datasets can show */
#define TR_CATALOG_BODY_BYTES_MAX (1024 * 1024) /* a dataset's or batch's document: a hundred are in one answer */
#define TR_TABLE_NAME_BYTES_MAX 63              /* an SQL table: PostgreSQL's tools cut there */
#define TR_ROW_BYTES_MAX (16 * 1024 * 1024)     /* one JSON row of a batch: above, the row is refused */
#define TR_JSON_DEPTH_MAX 64
#define TR_SCHEMA_DEPTH_MAX 32                  /* nesting of a resolved schema: cuts recursion */
#define TR_SCHEMA_NODES_MAX 60000               /* JSON nodes of a resolved schema: 10,000 fields and their papers */
#define TR_SCHEMAS_CACHED_MAX 64                /* resolved schemas kept: the largest take half a megabyte */
#define TR_BODY_BYTES_MAX (8 * 1024 * 1024)     /* a JSON request body */
#define TR_BODY_MEMORY_BYTES_MAX (256 * 1024)   /* larger bodies go to a file */
#define TR_URL_BYTES_MAX (8 * 1024)
#define TR_HEADER_BLOCK_BYTES_MAX (16 * 1024)
#define TR_PATH_SEGMENT_BYTES_MAX 255
#define TR_PQL_TEXT_BYTES_MAX (256 * 1024)      /* one segment expression */
#define TR_PQL_DEPTH_MAX 64                     /* of its tree: whoever walks it may recurse */
#define TR_PQL_NODES_MAX 4096                   /* of its tree */
#define TR_PQL_REGEX_STEPS_MAX (1000 * 1000)    /* of one match: above, it counts as no match */
#define TR_PQL_CHAIN_STEPS_MAX (10 * 1000 * 1000) /* of one sequence on one profile's events */
#define TR_PQL_PAIRS_MAX (4 * 1000 * 1000)      /* rows of a product of arrays that are looked at together */
#define TR_SEGMENTS_MAX 4000                    /* definitions in a sandbox: AEP's guardrail */
#define TR_SEGMENT_NAME_BYTES_MAX 255
#define TR_SEGMENT_JSON_BYTES_MAX (1024 * 1024) /* a pql/json expression: a node takes some 100 bytes */
#define TR_SEGMENT_DEPTH_MAX 32                 /* segments that use segments */
#define TR_SEGMENT_IDS_MAX 100                  /* of one bulk-get */
#define TR_SEGMENT_JOB_IDS_MAX 1500             /* named by one segment job: AEP's */
#define TR_PARQUET_FOOTER_BYTES_MAX (64 * 1024 * 1024)
#define TR_PARQUET_PAGE_BYTES_MAX (64 * 1024 * 1024)
#define TR_PARQUET_ENTRIES_PER_BYTE_MAX 65536  /* of a column chunk: a page of one value repeated */
#define TR_LOOKUP_CACHE_BYTES_MAX ((uint64_t)1 << 30) /* decoded columns kept: 2 M profiles of 30 fields */
#define TR_GRAPH_PREPARATIONS_MAX 4     /* commits that take data back, at a time: each may hold an HTTP thread */
#define TR_LOOKUP_IDS_MAX 10000                 /* identities of one request: what an answer may have to hold */
#define TR_LOOKUP_EVENTS_MAX 1000               /* events of one page: AEP's default, and more is another page */
#define TR_LOOKUP_ANSWER_BYTES_MAX ((size_t)256 << 20) /* of one request for many: it stands in memory */
#define TR_LOOKUP_FIELDS_BYTES_MAX (64 * 1024)  /* a choice of fields: it is kept with its view */
#define TR_SELECTOR_DEPTH_MAX 32               /* parentheses within each other in a choice of fields */
#define TR_SELECTOR_BYTES_MAX (1024 * 1024)    /* of its paths written out */
#define TR_PLANS_IN_A_ROW_MAX 64                /* by who finds that data of its plan was taken back */
#define TR_LOOKUP_VIEWS_MAX 64                  /* policies and choices of fields that are kept ready */
#define TR_SQL_BYTES_MAX (1024 * 1024)          /* one statement */
#define TR_SQL_CALLS_DEPTH_MAX 64               /* of struct, array, map, explode in each other: rewriting recurses */
/* How far threads stand back (priority.h) behind those that answer requests over HTTP. A SQL
 * worker's own, 10, is behind both (query-worker/main.c), until its statement takes long: query/pace.c. */
#define TR_NICE_COMPUTE 5 /* jobs: exports, ingests, segments, compactions */
#define TR_NICE_SESSION 5 /* a session of SQL: it passes on what its client can take */
/* Of one sandbox. */
#define TR_SQL_IDLE_S 7200 /* of a session's silence; AEP's two hours of inactivity */
#define TR_QUERY_ROWS_MAX 50000 /* to a client whose query does not say how many; AEP's */
#define TR_QUERY_TEMPLATES_MAX 10000
#define TR_VIEWS_MAX 500
#define TR_VIEW_BYTES_MAX (32 * 1024) /* of its query: a tool that lists tables is given all of them */
#define TR_VIEW_DEPTH_MAX 16          /* of views that read views: each is a parse and a binding */
#define TR_VIEW_READS_MAX 1000        /* of views by a statement, each time that one is named */
#define TR_QUERY_SCHEDULES_MAX 1000
#define TR_QUERY_ALERTS_MAX 10000
#define TR_ALERT_SUBSCRIBERS_MAX 100
#define TR_EMAIL_BYTES_MAX 254 /* RFC 5321's path without its < > */
#define TR_QUERIES_WAITING_MAX 1000 /* submitted, not begun */
#define TR_QUERIES_KEPT_MAX 50000   /* the oldest that have ended go */
#define TR_CONVERT_BYTES_LEAST ((uint64_t)4 << 30) /* JSON lines that any foreign file may become, */
#define TR_CONVERT_RATIO_MAX 64                 /* and this many bytes for each of its own: stops bombs */
#define TR_SPILL_BYTES_MAX ((uint64_t)8 << 30)  /* what one query may put on disk beside its memory */
#define TR_TEMPORARY_BYTES_MAX ((uint64_t)32 << 30) /* temporary tables of all sessions */
#define TR_TEMPORARY_TABLES_MAX 100 /* of a session */
#define TR_TEMPORARY_FILES_MAX 1000 /* of a temporary table: one for each statement that writes to it */
#define TR_LIVE_BYTES_MAX ((uint64_t)32 << 30)  /* merged profiles kept in the scratch folder for SQL */

#endif
