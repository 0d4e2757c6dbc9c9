/* SPDX-License-Identifier: Apache-2.0 */
/* row_internal.h - what the files of the row reader share.
 *
 *     row_plan.c      a schema into NODES: what the walk of a row steps through
 *     row_reader.c    the events of a row, down the nodes, into column builders
 *     row_value.c     one scalar: converted, checked
 *     row_format.c    formats of strings (email, uri, ...); row_pattern.c: patterns
 *     row_identity.c  the identities of a row: identityMap, primary, bookkeeping
 *     row_namespace.c their namespaces, as the org writes them
 *     row_write.c     the builders' columns into a run
 *
 * A node mirrors a type of the run. Its `def` and `rep` are the levels of a value that is there:
 *
 *     visits        ARRAY   def 1 (present), rep 1 from the second item on
 *       element     OBJECT  def 3 (slot 2, not null 3)
 *         url       STRING  def 4
 *
 * What is absent above a unit costs nothing: a unit that a row did not touch is filled with nulls
 * when the next row touches it, or at the end (`filled` lags behind). What is absent inside a unit
 * is written when the object around it ends. So a row costs what it holds, not what its schema
 * could hold.
 *
 * Keys are found by a guess: each member remembers which member came after it in the row before.
 *
 * A row that turns out bad is undone by cutting the builders back to where it began. A key that
 * comes twice is rare: the row is undone, its duplicates are dropped (the last wins), and it is
 * walked again.
 */
#ifndef TR_INGEST_ROW_INTERNAL_H
#define TR_INGEST_ROW_INTERNAL_H

#include "base/clock.h"
#include "base/limits.h"
#include "ingest/ingest.h"

enum {
    TR_ROW_FRAMES_MAX = TR_JSON_DEPTH_MAX + 2,
    TR_ROW_IDENTITIES_MAX = 1000, /* in one row */
    TR_ROW_UNKNOWN_MAX = 1000,    /* names that are counted one by one */
    TR_ROW_VALUES_MAX =
        4000000, /* entries of one row, nulls too: "[{},{},...]" costs more than it shows */
    TR_ROW_PATH_BYTES_MAX = 1024
};
#define TR_ROW_NO_SPELLING UINT32_MAX

/* Begins a text that stands for a number which nothing can hold. */
#define TR_ROW_OVERFLOW 0x01

/* Row codes of the diagnostics. */
#define TR_ROW_CORRUPT "1401"
#define TR_ROW_TYPE "1402"
#define TR_ROW_ENUM "1403"
#define TR_ROW_FORMAT "1404"
#define TR_ROW_RANGE "1405"
#define TR_ROW_UNKNOWN "1406"
#define TR_ROW_REQUIRED "1555"

typedef enum tr_row_role { /* what a value means besides being stored */
                           TR_ROLE_NONE,
                           TR_ROLE_MAP,  /* identityMap: its keys are namespaces */
                           TR_ROLE_ITEM, /* an object that is an identity */
                           TR_ROLE_ID,
                           TR_ROLE_STATE,
                           TR_ROLE_PRIMARY,
                           TR_ROLE_NAMESPACE, /* of an item of the old `identities` */
                           TR_ROLE_FIELD,     /* has an identity descriptor */
                           TR_ROLE_UPDATED    /* extSourceSystemAudit.lastUpdatedDate */
} tr_row_role;

typedef enum tr_row_text_format {
    TR_TEXT_ANY,
    TR_TEXT_EMAIL,
    TR_TEXT_URI,
    TR_TEXT_URI_REFERENCE,
    TR_TEXT_IPV4,
    TR_TEXT_IPV6,
    TR_TEXT_UUID,
    TR_TEXT_HOSTNAME
} tr_row_text_format;

typedef struct tr_row_pattern tr_row_pattern;
typedef struct tr_row_node tr_row_node;

typedef struct tr_row_member {
    tr_str name;
    tr_row_node *node;  /* NULL: the schema lacks it */
    uint64_t seen;      /* the object it was last seen in; + 1: as null */
    uint32_t follower;  /* the member that came after it */
    uint64_t count;     /* of an unknown one: rows that were kept */
    uint64_t row_count; /* of it, in this row */
    tr_str path;        /* of an unknown one */
} tr_row_member;

struct tr_row_node {
    tr_kind kind;
    tr_row_role role;
    uint8_t def, rep;
    bool is_unit;                    /* an array or map in no other */
    bool is_in_unit;                 /* below one, or one */
    bool is_open;                    /* members that it lacks are nobody's concern */
    bool has_rule;                   /* something is checked beyond the type */
    uint32_t unit;                   /* UINT32_MAX: not stored here */
    uint32_t first_leaf, leaf_count; /* 0: not stored here (identityMap, `identities`) */
    tr_column_builder *builder;      /* of a scalar, or of a map's keys; NULL: not stored here */
    uint32_t *filled;                /* of the unit: rows in its builders */
    const tr_xdm_rule *rule;         /* NULL: none */
    tr_row_text_format format;
    tr_row_pattern *pattern; /* NULL: none */
    uint32_t enum_guess;
    tr_row_node *child; /* of an array or map */
    /* of an object */
    tr_row_member *members; /* known ones first */
    uint32_t known_count, member_count, member_cap;
    uint32_t *table; /* index + 1 by hash of the name; a power of two */
    uint32_t table_size;
    uint32_t first; /* the member that came first in the object before */
    const uint32_t *required;
    uint32_t required_count;
    tr_str path;     /* "a.b", for counting unknown members */
    tr_str captured; /* of TR_ROLE_FIELD: the value of row `captured_row` */
    uint64_t captured_row;
};

typedef struct tr_row_frame {
    tr_row_node *node;
    uint64_t instance; /* of an object: even */
    uint32_t current;  /* member; UINT32_MAX: none yet */
    uint32_t guess;
    uint32_t index;   /* items or entries begun */
    uint32_t present; /* known members with a value */
    uint8_t rep;
    tr_str key; /* of a map's entry */
} tr_row_frame;

typedef struct tr_row_identity {
    tr_str namespace_code, id, state; /* state.at NULL: none */
    int primary;                      /* -1: not said */
    bool is_known;                    /* its namespace is one of the org's */
    uint32_t spelling;                /* how it came; TR_ROW_NO_SPELLING: one too many */
} tr_row_identity;

typedef struct tr_row_spelling { /* of a namespace, as rows have it */
    tr_str text;
    tr_str code; /* the org's own writing; .at NULL: it has none */
    uint64_t unknown_count;
} tr_row_spelling;

typedef struct tr_row_unit {
    uint32_t filled;
    uint32_t first_leaf, leaf_count;
    bool is_repeated;
} tr_row_unit;

typedef struct tr_row_value {
    tr_str string;
    uint64_t word;
} tr_row_value;

struct tr_row_reader {
    tr_row_options options;
    tr_arena arena; /* nodes, shape, names */
    tr_shape shape; /* of the run */
    tr_row_node *root;
    tr_json_walker *walker;
    tr_column_builder **builders; /* [leaf_count] NULL: a constant column */
    uint32_t *row_entries;        /* [leaf_count] entries before this row, of touched units */
    tr_row_unit *units;           /* [unit_count] */
    uint32_t book;                /* first leaf of the bookkeeping column */
    tr_row_pattern **patterns;    /* to be freed */
    uint32_t pattern_count, pattern_cap;

    uint32_t rows;
    uint64_t row_serial, instance;
    uint64_t row_values; /* entries of this row so far */
    uint64_t bytes, rows_without_identity;
    json_t *unknown;
    tr_row_node **unknown_nodes; /* objects with unknown members */
    uint32_t unknown_node_count, unknown_node_cap, unknown_count;
    bool has_row_unknown; /* this row counted some */
    tr_str *codes;        /* of the org's namespaces, sorted without case */
    uint32_t code_count;
    tr_row_spelling *spellings;
    uint32_t spelling_count, spelling_cap, spelling_next; /* next: where the search begins */
    uint64_t rows_with_bad_identity;

    /* the row under way */
    tr_row_frame frames[TR_ROW_FRAMES_MAX];
    uint32_t depth;
    uint32_t skip; /* containers open below something unknown */
    tr_row_node *target;
    bool has_duplicate, is_deduplicated;
    bool has_overflow;  /* a text may stand for a number, see TR_ROW_OVERFLOW */
    uint64_t *map_keys; /* hashes of the keys of maps, open addressing */
    uint32_t map_key_cap, map_key_count;
    uint64_t map_epoch;
    tr_arena row_arena; /* texts of numbers */
    tr_str map_namespace;
    tr_row_identity *identities;
    uint32_t identity_count, identity_cap;
    bool is_item; /* the last identity is still open */
    int64_t updated_us;
    struct {
        tr_column_builder *state, *id, *primary, *key;
        uint32_t first_leaf, leaf_count, unit, element_def;
        bool is_there;
    } identity_map;
    tr_row_node **fields; /* [schema->identity_count] */

    /* why it is bad */
    char why_code[8];
    char why_text[320];
    char why_path[TR_ROW_PATH_BYTES_MAX];
};

/* ---- row_plan.c */
TR_MUST_CHECK tr_code tr_row_plan(tr_row_reader *reader, tr_err *err);
/* The member of an object by name; UINT32_MAX: none. */
uint32_t tr_row_member_find(const tr_row_node *node, tr_str name);
/* Adds a name that the schema lacks, so that it is found fast from now on. */
TR_MUST_CHECK tr_code tr_row_member_add(tr_row_reader *reader, tr_row_node *node, tr_str name,
                                        uint32_t *out, tr_err *err);

/* ---- row_reader.c: a bad row. TR_INVALID, with the path of the value under way. */
tr_code tr_row_bad(tr_row_reader *reader, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Makes the unit's columns end where this row begins; before its first entry in this row. */
TR_MUST_CHECK tr_code tr_row_unit_begin(tr_row_reader *reader, uint32_t unit, tr_err *err);

/* ---- row_value.c */
TR_MUST_CHECK tr_code tr_row_convert(tr_row_reader *reader, tr_row_node *node,
                                     const tr_json_scalar *value, tr_row_value *out);
/* What the parser does with a number: takes it; takes it only as a real one; cannot hold it. */
typedef enum tr_row_number { TR_NUMBER_PLAIN, TR_NUMBER_LONG, TR_NUMBER_OVERFLOW } tr_row_number;
tr_row_number tr_row_number_of(tr_str text);

/* ---- row_format.c, row_pattern.c */
/* At most `bytes_max` bytes of a text, cut between characters. */
tr_str tr_row_cut(tr_str text, size_t bytes_max);
tr_row_text_format tr_row_format_of(tr_str name);
bool tr_row_format_fits(tr_row_text_format format, tr_str text);
/* An ECMA-like pattern. TR_INVALID: one that is not understood or too large: it is then not
 * checked. */
TR_MUST_CHECK tr_code tr_row_pattern_open(tr_str source, tr_row_pattern **out, tr_err *err);
void tr_row_pattern_close(tr_row_pattern *pattern); /* accepts NULL */
/* True when some part of the text matches; linear in the text. */
bool tr_row_pattern_fits(tr_row_pattern *pattern, tr_str text);

/* ---- row_identity.c */
TR_MUST_CHECK tr_code tr_row_capture(tr_row_reader *reader, tr_row_node *node, tr_row_value value,
                                     tr_err *err);
TR_MUST_CHECK tr_code tr_row_item_begin(tr_row_reader *reader, tr_err *err);
void tr_row_item_end(tr_row_reader *reader);
/* After the walk: identityMap and the bookkeeping columns of the row. */
TR_MUST_CHECK tr_code tr_row_identify(tr_row_reader *reader, tr_str row, tr_err *err);

/* ---- row_namespace.c */
/* Reads the org's namespaces, once. */
TR_MUST_CHECK tr_code tr_row_namespaces(tr_row_reader *reader, tr_err *err);
/* Gives the row's identities the codes as the org writes them. */
TR_MUST_CHECK tr_code tr_row_name_namespaces(tr_row_reader *reader, tr_err *err);
/* Counts what never links, of a row that is kept. */
void tr_row_count_identities(tr_row_reader *reader);

/* ---- row_write.c: the rows so far as columns of the run; borrowed until the next add. */
TR_MUST_CHECK tr_code tr_row_columns(tr_row_reader *reader, tr_arena *arena, tr_column **out,
                                     tr_err *err);

#endif
