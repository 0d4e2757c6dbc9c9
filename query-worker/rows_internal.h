/* SPDX-License-Identifier: Apache-2.0 */
/* rows_internal.h - the tree of cells that rows.c walks and cells.c makes. */
#ifndef TR_WORKER_ROWS_INTERNAL_H
#define TR_WORKER_ROWS_INTERNAL_H

#include "rows.h"

/* Puts the value of a row that is not null. */
typedef void (*tr_cell_put)(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out);

struct tr_cell {
    tr_cell_put put;
    const void *data;         /* of the chunk now bound */
    const uint64_t *validity; /* NULL: no nulls */
    tr_str key;               /* "name": with quotes and colon, escaped */
    tr_str name;
    tr_str path;              /* person.name.firstName, NUL-terminated, for messages */
    tr_cell *children;        /* struct: members; list, array: the item; map: key and value;
                               * union: tag and members */
    size_t child_count;
    const tr_str *labels;     /* of an enum */
    size_t label_count;
    uint64_t array_size;
    int64_t per_second;       /* of times: units in a second */
    uint8_t width;            /* of decimals and enums: bytes of the stored integer */
    uint8_t scale;
    bool is_number;
};

void tr_cell_problem(tr_rows *rows, const tr_cell *cell, const char *what);
tr_str tr_cell_string(const tr_cell *cell, uint64_t row);
tr_str tr_cell_label(const tr_cell *cell, uint64_t row);

#define TR_CELL_PUTS(X)                                                                            \
    X(bool) X(i8) X(i16) X(i32) X(i64) X(u8) X(u16) X(u32) X(u64) X(i128) X(u128) X(f32) X(f64)    \
    X(decimal) X(string) X(enum) X(uuid) X(instant) X(date) X(time) X(time_tz) X(interval)         \
    X(list) X(array) X(struct) X(map) X(union)
#define TR_CELL_PUT_DECLARED(name) \
    void tr_cell_put_##name(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out);
TR_CELL_PUTS(TR_CELL_PUT_DECLARED)

#endif
