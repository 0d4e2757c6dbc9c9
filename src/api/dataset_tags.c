/* SPDX-License-Identifier: Apache-2.0 */
/* dataset_tags.c - tags of a dataset, and the name of its SQL table (reference: catalog, section 5;
 * query service, section 8).
 *
 *     unifiedProfile, unifiedIdentity   "enabled:true", "isUpsert:true", ...: white space goes
 *     acp_validationContext             enabled, disabled
 *     adobe...                          the server's: clients only send them back
 *     anything else                     an array of strings
 */
#include "api/catalog_api_internal.h"
#include "base/limits.h"

#include <ctype.h>
#include <stdio.h>

#define FORMAT_TAG "adobe/siphon/table/format"

enum { TAG_VALUE_BYTES = 256, NUMBERED_TRIES = 9 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write a dataset's tags");
}

static bool is_system(const char *name)
{
    return strncmp(name, "adobe", 5) == 0;
}

static tr_code check_shape(const json_t *tags, tr_err *err)
{
    json_t *all = (json_t *)(uintptr_t)tags, *values;
    const char *name;
    json_object_foreach (all, name, values) {
        if (name[0] == '\0' || strlen(name) > TAG_VALUE_BYTES)
            return TR_FAIL(err, TR_INVALID, "tags: a name has 1 to %d bytes", TAG_VALUE_BYTES);
        if (!json_is_array(values))
            return TR_FAIL(err, TR_INVALID, "tags.%.80s must be an array of strings", name);
        for (size_t i = 0; i < json_array_size(values); i++)
            if (!json_is_string(json_array_get(values, i)))
                return TR_FAIL(err, TR_INVALID, "tags.%.80s[%zu] must be a string", name, i);
    }
    return TR_OK;
}

/* The server's tags stay as they are; for a new dataset only the table's name may be wished. */
static tr_code keep_system_tags(json_t *tags, const json_t *before, tr_err *err)
{
    json_t *old = json_object_get(before, "tags"), *values;
    const char *name;
    void *next;
    json_object_foreach_safe(tags, next, name, values)
    {
        const json_t *stored = json_object_get(old, name);
        const bool is_wish =
            before == NULL && (strcmp(name, TR_TABLE_TAG) == 0 || strcmp(name, FORMAT_TAG) == 0);
        if (is_system(name) && !is_wish && !json_equal(values, stored))
            return TR_FAIL(err, TR_INVALID,
                           "tags.%.80s: names that begin with \"adobe\" are the server's", name);
    }
    json_object_foreach (old, name, values)
        if (is_system(name) && json_object_set(tags, name, values) != 0)
            return no_memory(err);
    return json_object_set_new(tags, FORMAT_TAG, json_pack("[s]", "parquet")) == 0 ? TR_OK
                                                                                   : no_memory(err);
}

/* "enabled : true" -> "enabled:true"; false: no colon, nothing before it, or too long. */
static bool normal_form(const char *text, char out[TAG_VALUE_BYTES])
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || strlen(text) >= TAG_VALUE_BYTES)
        return false;
    const char *key = text, *key_end = colon, *value = colon + 1, *value_end = text + strlen(text);
    while (key < key_end && isspace((unsigned char)*key))
        key++;
    while (key_end > key && isspace((unsigned char)key_end[-1]))
        key_end--;
    while (value < value_end && isspace((unsigned char)*value))
        value++;
    while (value_end > value && isspace((unsigned char)value_end[-1]))
        value_end--;
    (void)snprintf(out, TAG_VALUE_BYTES, "%.*s:%.*s", (int)(key_end - key), key,
                   (int)(value_end - value), value);
    return key_end > key && value_end > value;
}

typedef struct switches {
    bool is_enabled, is_upsert;
} switches;

/* Writes the values of a reserved tag in their normal form and reads them. */
static tr_code read_switches(json_t *tags, const char *name, switches *out, tr_err *err)
{
    json_t *values = json_object_get(tags, name);
    *out = (switches){false, false};
    for (size_t i = 0; i < json_array_size(values); i++) {
        char text[TAG_VALUE_BYTES];
        const char *given = json_string_value(json_array_get(values, i));
        if (!normal_form(given, text))
            return TR_FAIL(err, TR_INVALID, "tags.%s[%zu] is \"%.80s\": expected <key>:<value>",
                           name, i, given);
        const bool is_enabled = strncmp(text, "enabled:", 8) == 0;
        const bool is_upsert = strncmp(text, "isUpsert:", 9) == 0;
        const char *value = strchr(text, ':') + 1;
        const bool is_true = strcmp(value, "true") == 0;
        if ((is_enabled || is_upsert) && !is_true && strcmp(value, "false") != 0)
            return TR_FAIL(err, TR_INVALID, "tags.%s[%zu] is \"%.80s\": expected true or false",
                           name, i, given);
        out->is_enabled = is_enabled ? is_true : out->is_enabled;
        out->is_upsert = is_upsert ? is_true : out->is_upsert;
        if (json_array_set_new(values, i, json_string(text)) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code check_switches(const char *name, const switches *is, const tr_dataset_schema *schema,
                              tr_err *err)
{
    if (is->is_enabled && schema->is_union)
        return TR_FAIL(err, TR_INVALID,
                       "tags.%s: a dataset of a union schema holds what is exported from Profile "
                       "and cannot feed it",
                       name);
    if (is->is_enabled && !schema->is_union_member)
        return TR_FAIL(err, TR_INVALID,
                       "tags.%s: the schema is not enabled for Profile: it needs "
                       "\"meta:immutableTags\": [\"union\"]",
                       name);
    if (is->is_upsert && !schema->is_record)
        return TR_FAIL(err, TR_INVALID, "tags.%s: isUpsert is for schemas of record behavior",
                       name);
    return TR_OK;
}

static tr_code check_validation(json_t *tags, tr_err *err)
{
    const json_t *values = json_object_get(tags, "acp_validationContext");
    if (values == NULL)
        return json_object_set_new(tags, "acp_validationContext", json_pack("[s]", "enabled")) == 0
                   ? TR_OK
                   : no_memory(err);
    const char *value = json_string_value(json_array_get(values, 0));
    if (json_array_size(values) != 1 ||
        (strcmp(value, "enabled") != 0 && strcmp(value, "disabled") != 0))
        return TR_FAIL(err, TR_INVALID,
                       "tags.acp_validationContext must be [\"enabled\"] or [\"disabled\"]");
    return TR_OK;
}

tr_code tr_dataset_check_tags(json_t *doc, const json_t *before, const tr_dataset_schema *schema,
                              tr_err *err)
{
    static const char *const reserved[] = {"unifiedProfile", "unifiedIdentity"};
    json_t *tags = json_object_get(doc, "tags");
    TR_TRY(check_shape(tags, err));
    TR_TRY(keep_system_tags(tags, before, err));
    TR_TRY(check_validation(tags, err));
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        switches is;
        TR_TRY(read_switches(tags, reserved[i], &is, err));
        TR_TRY(check_switches(reserved[i], &is, schema, err));
    }
    return TR_OK;
}

/* ---- The table */

/* "Loyalty members (EU)" -> loyalty_members_eu; room for a suffix is left. */
void tr_dataset_table_name(const char *name, char out[TR_TABLE_NAME_BYTES_MAX + 1])
{
    enum { ROOM = 8 };
    size_t len = 0;
    for (const char *at = name; *at != '\0' && len < TR_TABLE_NAME_BYTES_MAX - ROOM; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte < 128 && isalnum(byte))
            out[len++] = (char)tolower(byte);
        else if (len > 0 && out[len - 1] != '_')
            out[len++] = '_';
    }
    while (len > 0 && out[len - 1] == '_')
        len--;
    out[len] = '\0';
}

static tr_code take(tr_call *call, const char *id, const char *table, tr_err *err)
{
    tr_object object = {.state = ""};
    (void)snprintf(object.id, sizeof object.id, "%s", table);
    (void)snprintf(object.parent, sizeof object.parent, "%s", id);
    object.doc = json_object();
    if (object.doc == NULL)
        return no_memory(err);
    const tr_code code =
        tr_catalog_insert(call->parts->catalog, &call->tenant, TR_TABLE_KIND, &object, err);
    json_decref(object.doc);
    return code;
}

tr_code tr_dataset_take_table(tr_call *call, const char *id, json_t *doc, tr_err *err)
{
    json_t *tags = json_object_get(doc, "tags");
    const char *wish = json_string_value(json_array_get(json_object_get(tags, TR_TABLE_TAG), 0));
    char base[TR_TABLE_NAME_BYTES_MAX + 1], table[TR_TABLE_NAME_BYTES_MAX + 1];
    tr_dataset_table_name(wish != NULL ? wish : tr_json_text(doc, "name", ""), base);
    if (base[0] == '\0') /* a name without any latin letter or digit */
        (void)snprintf(base, sizeof base, "dataset_%.24s", id);
    (void)snprintf(table, sizeof table, "%s", base);
    tr_code code = take(call, id, table, err);
    for (int i = 2; code == TR_CONFLICT; i++) {
        if (i <= NUMBERED_TRIES)
            (void)snprintf(table, sizeof table, "%s_%d", base, i);
        else
            (void)snprintf(table, sizeof table, "%s_%s", base, tr_id_hex(7).text);
        code = take(call, id, table, err);
    }
    TR_TRY(code);
    return json_object_set_new(tags, TR_TABLE_TAG, json_pack("[s]", table)) == 0 ? TR_OK
                                                                                 : no_memory(err);
}
