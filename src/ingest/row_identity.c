/* SPDX-License-Identifier: Apache-2.0 */
/* row_identity.c - the identities of a row: united, one chosen as primary, written down.
 *
 * They come from identityMap, from the old `identities` array, and from fields with an identity
 * descriptor. Two are the same when their ids are equal and their namespaces are, in any case of
 * letters. An item without id or namespace is no identity.
 */
#include "ingest/row_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NO_IDENTITY = -1, BOOK_KEY = 0, BOOK_NAMESPACE, BOOK_ID, BOOK_UPDATED };

static bool is_blank(tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] > ' ')
            return false;
    return true;
}

static tr_code add_identity(tr_row_reader *reader, const tr_row_identity *identity, tr_err *err)
{
    if (reader->identity_count == TR_ROW_IDENTITIES_MAX)
        return tr_row_bad(reader, TR_ROW_RANGE, "more than %d identities in one row",
                          TR_ROW_IDENTITIES_MAX);
    if (reader->identity_count == reader->identity_cap) {
        const uint32_t cap = reader->identity_cap == 0 ? 16 : reader->identity_cap * 2;
        tr_row_identity *grown = tr_grow_array(reader->identities, cap, sizeof *grown);
        if (grown == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u identities of a row", cap);
        reader->identities = grown;
        reader->identity_cap = cap;
    }
    reader->identities[reader->identity_count++] = *identity;
    return TR_OK;
}

tr_code tr_row_item_begin(tr_row_reader *reader, tr_err *err)
{
    tr_row_identity identity = {.primary = -1};
    if (reader->depth >= 2 && reader->frames[reader->depth - 2].node->role == TR_ROLE_MAP)
        identity.namespace_code = reader->map_namespace;
    TR_TRY(add_identity(reader, &identity, err));
    reader->is_item = true;
    return TR_OK;
}

void tr_row_item_end(tr_row_reader *reader)
{
    const tr_row_identity *identity = &reader->identities[reader->identity_count - 1];
    if (is_blank(identity->id) || is_blank(identity->namespace_code))
        reader->identity_count--;
    reader->is_item = false;
}

tr_code tr_row_capture(tr_row_reader *reader, tr_row_node *node, tr_row_value value, tr_err *err)
{
    tr_row_identity *identity =
        reader->is_item ? &reader->identities[reader->identity_count - 1] : NULL;
    if (node->role == TR_ROLE_UPDATED)
        reader->updated_us = (int64_t)value.word;
    if (node->role == TR_ROLE_FIELD) {
        if (node->kind != TR_KIND_STRING) {
            char text[24];
            const int len = snprintf(text, sizeof text, "%" PRId64, (int64_t)value.word);
            value.string =
                tr_arena_copy(&reader->row_arena, (tr_str){(const uint8_t *)text, (size_t)len});
            if (value.string.at == NULL)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory for an identity");
        }
        node->captured = value.string;
        node->captured_row = reader->row_serial;
    }
    if (identity == NULL)
        return TR_OK;
    if (node->role == TR_ROLE_ID)
        identity->id = value.string;
    if (node->role == TR_ROLE_STATE)
        identity->state = value.string;
    if (node->role == TR_ROLE_NAMESPACE)
        identity->namespace_code = value.string;
    if (node->role == TR_ROLE_PRIMARY)
        identity->primary = value.word != 0;
    return TR_OK;
}

static bool is_same_namespace(tr_str a, tr_str b)
{
    return tr_str_equal(a, b) || tr_str_equal_folded(a, b);
}

/* The earlier identity that this one repeats. */
static int find_earlier(const tr_row_reader *reader, uint32_t before, const tr_row_identity *of)
{
    for (uint32_t i = 0; i < before; i++)
        if (tr_str_equal(reader->identities[i].id, of->id) &&
            is_same_namespace(reader->identities[i].namespace_code, of->namespace_code))
            return (int)i;
    return NO_IDENTITY;
}

/* Each identity once; what the first does not say, a repeat may. */
static void drop_repeats(tr_row_reader *reader)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < reader->identity_count; i++) {
        const tr_row_identity identity = reader->identities[i];
        const int earlier = find_earlier(reader, kept, &identity);
        if (earlier == NO_IDENTITY) {
            reader->identities[kept++] = identity;
            continue;
        }
        tr_row_identity *first = &reader->identities[earlier];
        if (first->state.at == NULL)
            first->state = identity.state;
        if (first->primary < identity.primary)
            first->primary = identity.primary;
    }
    reader->identity_count = kept;
}

/* Adds what descriptors name; *primary is the one whose descriptor says so. */
static tr_code add_fields(tr_row_reader *reader, int *primary, tr_err *err)
{
    const tr_xdm_schema *schema = reader->options.schema;
    for (uint32_t i = 0; i < schema->identity_count; i++) {
        const tr_row_node *node = reader->fields[i];
        if (node == NULL || node->captured_row != reader->row_serial || is_blank(node->captured))
            continue;
        const tr_row_identity identity = {.namespace_code = schema->identities[i].namespace_code,
                                          .id = node->captured,
                                          .primary = schema->identities[i].is_primary ? 1 : -1};
        int place = find_earlier(reader, reader->identity_count, &identity);
        if (place == NO_IDENTITY) {
            TR_TRY(add_identity(reader, &identity, err));
            place = (int)reader->identity_count - 1;
        }
        if (schema->identities[i].is_primary)
            *primary = place;
    }
    return TR_OK;
}

static int choose_primary(const tr_row_reader *reader, int by_descriptor)
{
    if (by_descriptor != NO_IDENTITY)
        return by_descriptor;
    for (uint32_t i = 0; i < reader->identity_count; i++)
        if (reader->identities[i].primary == 1)
            return (int)i;
    return reader->identity_count == 1 ? 0 : NO_IDENTITY;
}

/* The run says it of exactly one: the profile's own rows, and nothing else, answer who it is. */
static void mark_primary(tr_row_reader *reader, int primary)
{
    for (uint32_t i = 0; i < reader->identity_count && primary != NO_IDENTITY; i++)
        reader->identities[i].primary = (int)i == primary;
}

/* The field of the primary descriptor is required, unless the row says otherwise who it is. */
static tr_code check_primary_field(tr_row_reader *reader)
{
    const tr_xdm_schema *schema = reader->options.schema;
    for (uint32_t i = 0; i < schema->identity_count; i++) {
        const tr_row_node *node = reader->fields[i];
        if (!schema->identities[i].is_primary || node == NULL || reader->options.is_unconstrained)
            continue;
        const tr_code code = tr_row_bad(reader, TR_ROW_REQUIRED, "the primary identity is missing");
        (void)snprintf(reader->why_path, sizeof reader->why_path, "%.*s",
                       TR_STR_ARG(tr_row_cut(node->path, TR_ROW_PATH_BYTES_MAX - 1)));
        return code;
    }
    return TR_OK;
}

static tr_code add_item(tr_row_reader *reader, const tr_row_identity *identity, uint8_t rep,
                        tr_err *err)
{
    const uint32_t first = reader->identity_map.first_leaf + 1;
    const uint8_t absent = (uint8_t)reader->identity_map.element_def;
    for (uint32_t leaf = first; leaf < first + reader->identity_map.leaf_count - 1; leaf++) {
        tr_column_builder *builder = reader->builders[leaf];
        if (builder == reader->identity_map.id)
            TR_TRY(tr_column_add_string(builder, rep, identity->id, err));
        else if (builder == reader->identity_map.state && identity->state.at != NULL)
            TR_TRY(tr_column_add_string(builder, rep, identity->state, err));
        else if (builder == reader->identity_map.primary && identity->primary >= 0)
            TR_TRY(tr_column_add_word(builder, rep, (uint64_t)identity->primary, err));
        else
            TR_TRY(tr_column_add_null(builder, rep, absent, err));
    }
    return TR_OK;
}

/* Namespace by namespace, in the order in which each was first met. */
static tr_code write_map(tr_row_reader *reader, tr_err *err)
{
    const uint32_t count = reader->identity_count;
    if (!reader->identity_map.is_there || count == 0)
        return TR_OK;
    TR_TRY(tr_row_unit_begin(reader, reader->identity_map.unit, err));
    for (uint32_t i = 0; i < count; i++) {
        const tr_str namespace = reader->identities[i].namespace_code;
        bool is_first = true;
        for (uint32_t j = 0; j < i && is_first; j++)
            is_first = !is_same_namespace(reader->identities[j].namespace_code, namespace);
        if (!is_first)
            continue;
        uint8_t rep = i == 0 ? 0 : 1;
        TR_TRY(tr_column_add_string(reader->identity_map.key, rep, namespace, err));
        for (uint32_t j = i; j < count; j++) {
            if (!is_same_namespace(reader->identities[j].namespace_code, namespace))
                continue;
            TR_TRY(add_item(reader, &reader->identities[j], rep, err));
            rep = 2;
        }
    }
    return TR_OK;
}

static tr_code begin_book(tr_row_reader *reader, uint32_t member, tr_column_builder **builder,
                          tr_err *err)
{
    const uint32_t leaf = reader->book + member;
    *builder = reader->builders[leaf];
    return tr_row_unit_begin(reader, reader->shape.leaves[leaf].unit, err);
}

static tr_code write_book(tr_row_reader *reader, const tr_row_identity *primary, tr_err *err)
{
    uint8_t key[16] = {0};
    tr_column_builder *builder;
    const int64_t updated =
        reader->updated_us != TR_TIME_NONE ? reader->updated_us : reader->options.ingested_us;
    if (primary != NULL) {
        tr_profile_key(reader->options.secret, primary->namespace_code, primary->id, key);
        TR_TRY(begin_book(reader, BOOK_NAMESPACE, &builder, err));
        TR_TRY(tr_column_add_string(builder, 0, primary->namespace_code, err));
        TR_TRY(begin_book(reader, BOOK_ID, &builder, err));
        TR_TRY(tr_column_add_string(builder, 0, primary->id, err));
    }
    TR_TRY(begin_book(reader, BOOK_KEY, &builder, err));
    TR_TRY(tr_column_add_key(builder, key, err));
    TR_TRY(begin_book(reader, BOOK_UPDATED, &builder, err));
    return tr_column_add_word(builder, 0, (uint64_t)updated, err);
}

tr_code tr_row_identify(tr_row_reader *reader, tr_str row, tr_err *err)
{
    const tr_row_options *options = &reader->options;
    const bool is_event = options->schema->behavior == TR_XDM_EVENT;
    int by_descriptor = NO_IDENTITY;
    reader->depth = 0;
    if (reader->identity_count > 1)
        drop_repeats(reader);
    TR_TRY(add_fields(reader, &by_descriptor, err));
    TR_TRY(tr_row_name_namespaces(reader, err));
    int primary = choose_primary(reader, by_descriptor);
    if (primary == NO_IDENTITY)
        TR_TRY(check_primary_field(reader));
    mark_primary(reader, primary);
    TR_TRY(write_map(reader, err));
    /* Profile takes no row of more bytes than this; the lake does. */
    if (options->is_profile && row.len > (is_event ? TR_EVENT_BYTES_MAX : TR_RECORD_BYTES_MAX))
        primary = NO_IDENTITY;
    TR_TRY(write_book(reader, primary == NO_IDENTITY ? NULL : &reader->identities[primary], err));
    reader->rows_without_identity += options->is_profile && primary == NO_IDENTITY;
    tr_row_count_identities(reader);
    return TR_OK;
}
