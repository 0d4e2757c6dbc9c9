/* SPDX-License-Identifier: Apache-2.0 */
/* row_namespace.c - namespaces as the org writes them, and identities that never link.
 *
 * Senders write "email", "Email" and "EMAIL"; the row says what the org's namespace is called, so
 * that one namespace is one key of identityMap. A code that the org lacks stays as it came and is
 * counted.
 *
 * Spellings are few and come in the same order row after row: each is looked up once and then met
 * again where the last search ended.
 */
#include "ingest/row_internal.h"

#include "identity/identity.h"

#include <stdlib.h>

static int compare_codes(const void *a, const void *b)
{
    return tr_str_compare_folded(*(const tr_str *)a, *(const tr_str *)b);
}

tr_code tr_row_namespaces(tr_row_reader *reader, tr_err *err)
{
    const json_t *list = reader->options.namespaces;
    reader->codes = tr_arena_array(&reader->arena, json_array_size(list), sizeof *reader->codes);
    if (reader->codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for namespaces");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const tr_str code = tr_str_of(tr_json_text(json_array_get(list, i), "code", ""));
        const tr_str kept = tr_arena_copy(&reader->arena, code);
        if (kept.at == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for namespaces");
        reader->codes[reader->code_count++] = kept;
    }
    if (reader->code_count > 1)
        qsort(reader->codes, reader->code_count, sizeof *reader->codes, compare_codes);
    return TR_OK;
}

/* The org's own writing of a code; .at NULL: it has no such namespace. */
static tr_str find_code(const tr_row_reader *reader, tr_str spelling)
{
    const tr_str *found = reader->code_count == 0
                              ? NULL
                              : bsearch(&spelling, reader->codes, reader->code_count,
                                        sizeof *reader->codes, compare_codes);
    return found == NULL ? (tr_str){0} : *found;
}

static tr_code add_spelling(tr_row_reader *reader, tr_str text, tr_row_spelling **out, tr_err *err)
{
    if (!tr_list_room(&reader->spellings, reader->spelling_count, &reader->spelling_cap,
                      sizeof *reader->spellings))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u namespaces",
                       reader->spelling_count + 1);
    tr_row_spelling *spelling = &reader->spellings[reader->spelling_count];
    *spelling = (tr_row_spelling){.text = tr_arena_copy(&reader->arena, text),
                                  .code = find_code(reader, text)};
    if (spelling->text.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a namespace");
    reader->spelling_count++;
    *out = spelling;
    return TR_OK;
}

/* NULL: there are too many to remember. */
static tr_code find_spelling(tr_row_reader *reader, tr_str text, tr_row_spelling **out, tr_err *err)
{
    const uint32_t count = reader->spelling_count;
    for (uint32_t i = 0, at = reader->spelling_next; i < count; i++, at++) {
        at = at < count ? at : 0;
        if (tr_str_equal(reader->spellings[at].text, text)) {
            reader->spelling_next = at + 1 < count ? at + 1 : 0;
            *out = &reader->spellings[at];
            return TR_OK;
        }
    }
    *out = NULL;
    return count < TR_ROW_UNKNOWN_MAX ? add_spelling(reader, text, out, err) : TR_OK;
}

tr_code tr_row_name_namespaces(tr_row_reader *reader, tr_err *err)
{
    if (reader->options.namespaces == NULL)
        return TR_OK;
    for (uint32_t i = 0; i < reader->identity_count; i++) {
        tr_row_identity *identity = &reader->identities[i];
        tr_row_spelling *spelling;
        TR_TRY(find_spelling(reader, identity->namespace_code, &spelling, err));
        const tr_str code =
            spelling != NULL ? spelling->code : find_code(reader, identity->namespace_code);
        identity->spelling =
            spelling == NULL ? TR_ROW_NO_SPELLING : (uint32_t)(spelling - reader->spellings);
        identity->is_known = code.at != NULL;
        if (identity->is_known)
            identity->namespace_code = code;
    }
    return TR_OK;
}

void tr_row_count_identities(tr_row_reader *reader)
{
    bool has_bad = false;
    for (uint32_t i = 0; reader->options.namespaces != NULL && i < reader->identity_count; i++) {
        const tr_row_identity *identity = &reader->identities[i];
        has_bad = has_bad || !identity->is_known ||
                  !tr_identity_links((tr_identity){identity->namespace_code, identity->id});
        if (!identity->is_known && identity->spelling != TR_ROW_NO_SPELLING)
            reader->spellings[identity->spelling].unknown_count++;
    }
    reader->rows_with_bad_identity += has_bad;
}

uint64_t tr_row_reader_rows_with_bad_identity(const tr_row_reader *reader)
{
    return reader->rows_with_bad_identity;
}

tr_code tr_row_reader_unknown_namespaces(const tr_row_reader *reader, json_t **out, tr_err *err)
{
    json_t *counts = json_object();
    bool is_good = counts != NULL;
    for (uint32_t i = 0; i < reader->spelling_count && is_good; i++) {
        const tr_row_spelling *spelling = &reader->spellings[i];
        if (spelling->unknown_count > 0)
            is_good =
                json_object_setn_new(counts, (const char *)spelling->text.at, spelling->text.len,
                                     json_integer((json_int_t)spelling->unknown_count)) == 0;
    }
    if (!is_good) {
        json_decref(counts);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to report namespaces");
    }
    *out = counts;
    return TR_OK;
}
