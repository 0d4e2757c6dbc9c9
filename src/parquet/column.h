/* SPDX-License-Identifier: Apache-2.0 */
/* column.h - one leaf column of some rows in memory: codes into a table of values.
 *
 * Nobody who merges, sorts or filters needs the values, only which row has one and which two are the
 * same; so a column is an array of codes, and the values stand once in a table.
 *
 *     codes[e]   0: entry e has no value; else its value is number codes[e] - 1 of the table
 *     table      is_distinct: a dictionary, every value once. Otherwise values simply follow each
 *                other (a column of e-mail addresses), and equal values may have different codes.
 *
 * A leaf with rep_max == 0 has one entry a row, and neither levels nor row_start. A leaf inside an
 * array or map has
 *
 *     row_start[rows + 1]   entries of row r are [row_start[r], row_start[r + 1]); at least one
 *     rep[entries]          Parquet's repetition level: 0 at the first entry of each row
 *     def[entries]          definition level counted FROM THE UNIT (type.h): 0 when the unit itself
 *                           is absent in this row (then it is the row's only entry); Parquet's level
 *                           minus base_def otherwise. def == def_max - base_def: there is a value.
 *
 * So "is the unit present in row r" is codes[r] != 0, or def[row_start[r]] != 0.
 * All leaves of one unit agree on it.
 *
 * Ownership: memory is in the arena of whoever made the column, or borrowed from a file mapping as
 * the maker says. A tr_column is a plain value. Threads: none of its own.
 */
#ifndef TR_PARQUET_COLUMN_H
#define TR_PARQUET_COLUMN_H

#include "parquet/type.h"

typedef struct tr_values {
    tr_storage storage;
    bool is_distinct;
    uint32_t count;
    union {
        const uint64_t *words;
        const tr_str *strings;
        const uint8_t (*keys)[16];
    };
} tr_values;

/* Of one value in a table. */
static inline size_t tr_storage_bytes(tr_storage storage)
{
    return storage == TR_STORAGE_WORD     ? sizeof(uint64_t)
           : storage == TR_STORAGE_STRING ? sizeof(tr_str)
                                          : 16;
}

/* A key's first 64 bits, as a number: keys ascend as their tokens do. */
static inline uint64_t tr_key_token(const uint8_t key[16])
{
    uint64_t token;
    memcpy(&token, key, sizeof token);
    return __builtin_bswap64(token);
}

typedef struct tr_column {
    const tr_leaf *leaf;  /* borrowed from a shape */
    uint32_t rows;
    uint32_t entries;     /* == rows when rep_max == 0 */
    const uint32_t *codes;
    const uint8_t *def;       /* NULL when rep_max == 0 */
    const uint8_t *rep;       /* NULL when rep_max == 0 */
    const uint32_t *row_start; /* NULL when rep_max == 0 */
    tr_values values;
} tr_column;

/* A column of `rows` rows in which the unit is absent everywhere. */
TR_MUST_CHECK tr_code tr_column_absent(tr_arena *arena, const tr_leaf *leaf, uint32_t rows,
                                       tr_column *out, tr_err *err);

/* The rows `pick[0..count)` of `in`, in that order (repeats allowed). UINT32_MAX picks an absent
 * unit. The table is shared with `in`, so it must outlive *out; codes and levels are in the arena. */
TR_MUST_CHECK tr_code tr_column_pick(tr_arena *arena, const tr_column *in, const uint32_t *pick,
                                     uint32_t count, tr_column *out, tr_err *err);

/* The rows [from, from + rows) of `in`, with nothing borrowed from it: a table of their own, strings
 * included. For few rows of many: the cost is theirs. */
TR_MUST_CHECK tr_code tr_column_cut(tr_arena *arena, const tr_column *in, uint32_t from,
                                    uint32_t rows, tr_column *out, tr_err *err);

/* Joins the rows of several columns of one leaf kind end to end (a NULL part, with its rows in
 * part_rows, is absent everywhere). Distinct tables are united by value; the result is distinct when
 * all parts with values are. Order of the table: first occurrence, so the same parts give the same codes. */
TR_MUST_CHECK tr_code tr_column_join(tr_arena *arena, const tr_leaf *leaf,
                                     const tr_column *const *parts, const uint32_t *part_rows,
                                     uint32_t part_count, tr_column *out, tr_err *err);

/* Growing a column entry by entry: what an ingest does with rows, leaf by leaf. */
typedef struct tr_column_builder tr_column_builder;
/* leaf   borrowed until close
 * The dictionary is made by the view: left out when it has more than 4,096 values and more than half
 * of the entries would have a new one (or nearly all of the first 4,096, 8,192, 16,384 ...).
 */
TR_MUST_CHECK tr_code tr_column_builder_open(const tr_leaf *leaf, tr_column_builder **out, tr_err *err);
void tr_column_builder_close(tr_column_builder *builder); /* accepts NULL */
/* Adds an entry without a value. rep and def as in tr_column (def < the leaf's full level). */
TR_MUST_CHECK tr_code tr_column_add_null(tr_column_builder *builder, uint8_t rep, uint8_t def, tr_err *err);
TR_MUST_CHECK tr_code tr_column_add_word(tr_column_builder *builder, uint8_t rep, uint64_t word, tr_err *err);
/* The bytes are copied. */
TR_MUST_CHECK tr_code tr_column_add_string(tr_column_builder *builder, uint8_t rep, tr_str value, tr_err *err);
TR_MUST_CHECK tr_code tr_column_add_key(tr_column_builder *builder, const uint8_t key[16], tr_err *err);
uint32_t tr_column_builder_entries(const tr_column_builder *builder);
uint64_t tr_column_builder_bytes(const tr_column_builder *builder); /* memory it holds */
/* Forgets entries from `entries` on: a row that turned out to be bad. */
void tr_column_builder_truncate(tr_column_builder *builder, uint32_t entries);
/* The column so far; borrowed until the next add, truncate, reset or close. */
TR_MUST_CHECK tr_code tr_column_builder_view(tr_column_builder *builder, tr_column *out, tr_err *err);
void tr_column_builder_reset(tr_column_builder *builder); /* empty again, memory kept */

/* The value of an entry; only where codes[entry] != 0. */
static inline tr_str tr_column_string(const tr_column *column, uint32_t entry)
{
    return column->values.strings[column->codes[entry] - 1];
}
static inline uint64_t tr_column_word(const tr_column *column, uint32_t entry)
{
    return column->values.words[column->codes[entry] - 1];
}

#endif
