/* SPDX-License-Identifier: Apache-2.0 */
/* csv.h - cuts the bytes of a CSV file into rows of cells (RFC 4180, and what is met beside it).
 *
 *     a cell that begins with the quote is quoted: delimiters and line ends in it are text,
 *     the quote
 *     is written doubled or behind the escape; any other use of the escape is two plain bytes
 *     elsewhere quotes and escapes are plain bytes (5" pipe)
 *     LF, CRLF and a lone CR end a row; an empty line is no row; a byte order mark is skipped
 *
 * Why by hand: a bad row must be told with the very line it begins in, and must not take its
 * neighbours along. A quoted cell followed by other text costs the lines up to there. A quote that
 * nothing closes would swallow the rest of the file: it costs its own line, and reading goes on
 * behind that. This happens once in a file at most, so the time is linear: a later quote that
 * opens a cell was passed by the first search, so it stands in a run of an even number of quotes,
 * and closes itself.
 *
 * Cells are borrowed from the text, undecoded. Threads: one.
 */
#ifndef TR_WORKER_CSV_H
#define TR_WORKER_CSV_H

#include "base/err.h"
#include "base/memory.h"
#include "base/str.h"

typedef struct tr_csv_cell {
    tr_str raw;       /* inside the quotes */
    bool is_quoted;
    bool has_escapes; /* tr_csv_decode is needed */
} tr_csv_cell;

typedef struct tr_csv {
    tr_str text;
    uint8_t delimiter, quote, escape; /* quote, escape: 0 means there is none */
    size_t cells_max;                 /* kept of one row; more are only counted */
    /* of the row last returned */
    tr_csv_cell *cells;
    size_t cell_count;
    tr_str row;
    uint64_t line; /* it begins in, from 1 */
    char problem[128]; /* why it could not be cut; empty: it could */
    /* internal */
    size_t at, cells_cap;
    uint64_t line_at;
} tr_csv;

/* False at the end of the text, and when *code is not TR_OK. */
TR_MUST_CHECK bool tr_csv_next(tr_csv *csv, tr_code *code, tr_err *err);
/* Appends the cell's value without escapes. */
TR_MUST_CHECK tr_code tr_csv_decode(const tr_csv *csv, const tr_csv_cell *cell, tr_buf *out,
                                    tr_err *err);
void tr_csv_close(tr_csv *csv);

#endif
