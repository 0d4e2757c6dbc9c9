/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - see namespaces.h. An org's own stand in one value of the catalog,
 * "namespaces:<org>":
 * {"next":10000003,"list":[documents]}. They are few, change rarely and are read together.
 */
#include "catalog/namespaces.h"
#include "catalog/catalog_internal.h"
#include "base/clock.h"

#include <stdio.h>

enum { FIRST_NUMBER = 10000001, NAME_BYTES_MAX = 255, DESCRIPTION_BYTES_MAX = 4096 };
static const json_int_t STANDARD_TIME_MS =
    1551688425455; /* what answers of the real service show */

typedef struct standard {
    int64_t number;
    const char *code, *name, *id_type;
    bool is_integration;
    const char *hash_function, *transform;
} standard;

static const standard standards[] = {
    {0, "CORE", "CORE", "COOKIE", false, NULL, NULL},
    {4, "ECID", "ECID", "COOKIE", false, NULL, NULL},
    {6, "Email", "Email", "Email", false, NULL, NULL},
    {7, "Phone", "Phone", "Phone", false, NULL, NULL},
    {8, "WAID", "Windows AID", "DEVICE", false, NULL, NULL},
    {9, "TNTID", "Adobe Target (TNTID)", "COOKIE", false, NULL, NULL},
    {10, "AAID", "Adobe Analytics (Legacy ID)", "COOKIE", false, NULL, NULL},
    {11, "Email_LC_SHA256", "Emails (SHA256, lowercased)", "Email", false, "SHA256", "lowercase"},
    {12, "GCLID", "Google Click ID", "CROSS_DEVICE", false, NULL, NULL},
    {13, "AAMSegments", "Audience Manager segments", "NON_PEOPLE", true, NULL, NULL},
    {14, "AAMTraits", "Audience Manager traits", "NON_PEOPLE", true, NULL, NULL},
    {15, "Phone_SHA256", "Phone (SHA256)", "Phone", false, "SHA256", NULL},
    {16, "AEPSegments", "Platform segments", "NON_PEOPLE", true, NULL, NULL},
    {17, "Phone_E.164", "Phone (E.164)", "Phone", false, NULL, NULL},
    {18, "Phone_SHA256_E.164", "Phone (SHA256_E.164)", "Phone", false, "SHA256", NULL},
    {269, "MediaMath", "MediaMath", "COOKIE", true, NULL, NULL},
    {358, "AppNexus", "AppNexus", "COOKIE", true, NULL, NULL},
    {411, "AdCloud", "Adobe AdCloud", "COOKIE", false, NULL, NULL},
    {771, "Google", "Google", "COOKIE", true, NULL, NULL},
    {903, "TradeDesk", "The Trade Desk", "COOKIE", true, NULL, NULL},
    {1957, "MicrosoftBing", "Microsoft Bing", "COOKIE", true, NULL, NULL},
    {20914, "GAID", "Google Ad ID (GAID)", "DEVICE", false, NULL, NULL},
    {20915, "IDFA", "Apple IDFA (ID for Apple)", "DEVICE", false, NULL, NULL},
    {20919, "FCM", "Firebase Cloud Messaging", "DEVICE", false, NULL, NULL},
    {20920, "APNS", "Apple Push Notification service", "DEVICE", false, NULL, NULL}};
enum { STANDARD_COUNT = sizeof standards / sizeof standards[0] };

/* Any case is accepted, and kept as it was sent. */
static const char *const id_types[] = {"COOKIE",
                                       "CROSS_DEVICE",
                                       "DEVICE",
                                       "EMAIL",
                                       "MOBILE",
                                       "NON_PEOPLE",
                                       "PHONE",
                                       "PHONE_NUMBER",
                                       "PARTNER",
                                       "B2B_ACCOUNT",
                                       "B2B_ACCOUNT_PERSON",
                                       "B2B_OPPORTUNITY",
                                       "B2B_OPPORTUNITY_PERSON",
                                       "B2B_CAMPAIGN",
                                       "B2B_CAMPAIGN_MEMBER",
                                       "B2B_MARKETING_LIST",
                                       "B2B_MARKETING_LIST_MEMBER"};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for namespaces");
}

const char *tr_namespace_standard_code(int64_t number)
{
    for (size_t i = 0; i < STANDARD_COUNT; i++)
        if (standards[i].number == number)
            return standards[i].code;
    return NULL;
}

bool tr_namespace_code_is_valid(tr_str code)
{
    for (size_t i = 0; i < code.len; i++) {
        const uint8_t c = code.at[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '.' && c != '-')
            return false;
    }
    return code.len > 0 && code.len < TR_NAMESPACE_CODE_BYTES_MAX;
}

static json_t *standard_document(const standard *s)
{
    json_t *doc = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:s}", "id",
                            (json_int_t)s->number, "code", s->code, "name", s->name, "description",
                            s->name, "idType", s->id_type, "status", "ACTIVE", "custom", 0,
                            "createTime", STANDARD_TIME_MS, "updateTime", STANDARD_TIME_MS,
                            "namespaceType", s->is_integration ? "Integration" : "Standard");
    if (doc != NULL && s->hash_function != NULL)
        (void)json_object_set_new(doc, "hashFunction", json_string(s->hash_function));
    if (doc != NULL && s->transform != NULL)
        (void)json_object_set_new(doc, "transform", json_string(s->transform));
    return doc;
}

/* The org's own: {"next","list"}; returned. */
static tr_code read_own(tr_catalog *catalog, const char *org, json_t **out, tr_err *err)
{
    char name[128];
    tr_buf text = {0};
    (void)snprintf(name, sizeof name, "namespaces:%s", org);
    tr_code code = tr_catalog_value_get(catalog, name, &text, err);
    if (code == TR_NOT_FOUND) {
        *out = json_pack("{s:i, s:[]}", "next", FIRST_NUMBER, "list");
        code = *out == NULL ? no_memory(err) : TR_OK;
    } else if (code == TR_OK) {
        code = tr_json_parse(tr_buf_str(&text), out, err);
        if (code == TR_INVALID)
            code = TR_FAIL(err, TR_CORRUPT, "the org's namespaces cannot be read");
    }
    tr_buf_free(&text);
    return code;
}

/* Within a transaction. */
static tr_code write_own(tr_catalog *catalog, const char *org, const json_t *own, tr_err *err)
{
    char name[128];
    tr_buf text = {0};
    (void)snprintf(name, sizeof name, "namespaces:%s", org);
    tr_catalog_note_write(catalog, "namespace");
    tr_code code = tr_json_write(own, &text, err);
    if (code == TR_OK)
        code = tr_catalog_value_put(catalog, name, tr_buf_str(&text), err);
    tr_buf_free(&text);
    return code;
}

tr_code tr_namespace_list(tr_catalog *catalog, const char *org, json_t **out, tr_err *err)
{
    json_t *own = NULL, *list = json_array();
    bool is_good = list != NULL;
    for (size_t i = 0; i < STANDARD_COUNT && is_good; i++)
        is_good = json_array_append_new(list, standard_document(&standards[i])) == 0;
    tr_code code = is_good ? read_own(catalog, org, &own, err) : no_memory(err);
    if (code == TR_OK && json_array_extend(list, json_object_get(own, "list")) != 0)
        code = no_memory(err);
    json_decref(own);
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

static bool is_called(int64_t number, const char *code, tr_str name)
{
    int64_t asked;
    if (tr_str_to_i64(name, &asked) && asked == number)
        return true;
    return tr_str_equal_folded(tr_str_of(code), name);
}

static const standard *find_standard(tr_str name)
{
    for (size_t i = 0; i < STANDARD_COUNT; i++)
        if (is_called(standards[i].number, standards[i].code, name))
            return &standards[i];
    return NULL;
}

/* Borrowed of `own`; NULL: none. */
static json_t *find_own(const json_t *own, tr_str name)
{
    size_t i;
    json_t *doc;
    json_array_foreach(json_object_get(own, "list"), i, doc)
    {
        if (is_called(tr_json_int(doc, "id", -1), tr_json_text(doc, "code", ""), name))
            return doc;
    }
    return NULL;
}

static tr_code not_found(tr_str name, tr_err *err)
{
    return TR_FAIL(err, TR_NOT_FOUND, "no namespace \"%.*s\": expected the code or the id of one",
                   name.len > 100 ? 100 : (int)name.len, (const char *)name.at);
}

tr_code tr_namespace_get(tr_catalog *catalog, const char *org, tr_str name, json_t **out,
                         tr_err *err)
{
    json_t *own = NULL;
    const standard *known = find_standard(name);
    if (known != NULL) {
        json_t *doc = standard_document(known);
        if (doc == NULL)
            return no_memory(err);
        *out = doc;
        return TR_OK;
    }
    TR_TRY(read_own(catalog, org, &own, err));
    json_t *doc = find_own(own, name);
    const tr_code code = doc == NULL ? not_found(name, err) : TR_OK;
    if (code == TR_OK)
        *out = json_incref(doc);
    json_decref(own);
    return code;
}

static tr_code read_text(const json_t *body, const char *member, size_t bytes_max, const char **out,
                         tr_err *err)
{
    const json_t *value = json_object_get(body, member);
    if (value == NULL)
        return TR_FAIL(err, TR_INVALID, "%s is required: a text", member);
    if (!json_is_string(value) || json_string_length(value) == 0 ||
        json_string_length(value) > bytes_max)
        return TR_FAIL(err, TR_INVALID, "%s: expected a text of 1 to %zu bytes", member, bytes_max);
    *out = json_string_value(value);
    return TR_OK;
}

static tr_code read_description(const json_t *body, const char **out, tr_err *err)
{
    const json_t *value = json_object_get(body, "description");
    if (value != NULL && !json_is_null(value) &&
        (!json_is_string(value) || json_string_length(value) > DESCRIPTION_BYTES_MAX))
        return TR_FAIL(err, TR_INVALID, "description: expected a text of at most %d bytes",
                       DESCRIPTION_BYTES_MAX);
    *out = json_is_string(value) ? json_string_value(value) : "";
    return TR_OK;
}

static tr_code check_id_type(const char *id_type, tr_err *err)
{
    for (size_t i = 0; i < sizeof id_types / sizeof id_types[0]; i++)
        if (tr_str_equal_folded(tr_str_of(id_types[i]), tr_str_of(id_type)))
            return TR_OK;
    return TR_FAIL(
        err, TR_INVALID,
        "idType is \"%.40s\": expected COOKIE, CROSS_DEVICE, DEVICE, EMAIL, MOBILE, NON_PEOPLE, "
        "PHONE, PARTNER or one of B2B_*",
        id_type);
}

static tr_code check_code(const char *code, tr_err *err)
{
    int64_t number;
    const tr_str text = tr_str_of(code);
    if (!tr_namespace_code_is_valid(text))
        return TR_FAIL(err, TR_INVALID,
                       "code is \"%.100s\": expected letters, digits, '_', '.' and '-' only", code);
    if (tr_str_to_i64(text, &number)) /* it would be taken for an id */
        return TR_FAIL(err, TR_INVALID, "code is \"%.100s\": a number alone is no code", code);
    return TR_OK;
}

/* Within the transaction that holds `own`. *doc is returned. */
static tr_code add_own(tr_catalog *catalog, const char *org, json_t *own, json_t *doc, tr_err *err)
{
    json_t *list = json_object_get(own, "list");
    const json_int_t number = json_integer_value(json_object_get(own, "next"));
    const char *code = tr_json_text(doc, "code", "");
    if (find_own(own, tr_str_of(code)) != NULL)
        return TR_FAIL(err, TR_CONFLICT, "a namespace with the code \"%.100s\" exists already",
                       code);
    if (json_array_size(list) >= TR_NAMESPACES_MAX)
        return TR_FAIL(err, TR_INVALID, "the org has %d namespaces already", TR_NAMESPACES_MAX);
    if (json_object_set_new(doc, "id", json_integer(number)) != 0 ||
        json_array_append(list, doc) != 0 ||
        json_object_set_new(own, "next", json_integer(number + 1)) != 0)
        return no_memory(err);
    return write_own(catalog, org, own, err);
}

tr_code tr_namespace_create(tr_catalog *catalog, const char *org, const json_t *body, json_t **out,
                            bool *is_standard, tr_err *err)
{
    const char *code_text, *name, *id_type, *description;
    json_t *own = NULL;
    if (is_standard != NULL)
        *is_standard = false;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the body is not an object");
    TR_TRY(read_text(body, "name", NAME_BYTES_MAX, &name, err));
    TR_TRY(read_text(body, "code", TR_NAMESPACE_CODE_BYTES_MAX - 1, &code_text, err));
    TR_TRY(check_code(code_text, err));
    TR_TRY(read_text(body, "idType", NAME_BYTES_MAX, &id_type, err));
    TR_TRY(check_id_type(id_type, err));
    TR_TRY(read_description(body, &description, err));
    if (find_standard(tr_str_of(code_text)) != NULL) {
        if (is_standard != NULL)
            *is_standard = true;
        return TR_FAIL(err, TR_CONFLICT, "the code \"%.100s\" is a standard namespace's",
                       code_text);
    }
    const json_int_t now = (json_int_t)tr_time_now_ms();
    json_t *doc = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:s}", "id",
                            (json_int_t)0, "code", code_text, "name", name, "description",
                            description, "idType", id_type, "status", "ACTIVE", "custom", 1,
                            "createTime", now, "updateTime", now, "namespaceType", "Custom");
    tr_code code = doc == NULL ? no_memory(err) : tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        code = read_own(catalog, org, &own, err);
        if (code == TR_OK)
            code = add_own(catalog, org, own, doc, err);
        code = tr_catalog_end(catalog, code, err);
    }
    json_decref(own);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

static tr_code check_unchanged(const json_t *body, const json_t *doc, const char *member,
                               tr_err *err)
{
    const json_t *sent = json_object_get(body, member);
    const char *own = tr_json_text(doc, member, "");
    if (sent == NULL || (json_is_string(sent) &&
                         tr_str_equal_folded(tr_str_of(json_string_value(sent)), tr_str_of(own))))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "%s cannot be changed: it is \"%.100s\"", member, own);
}

/* The document as the body wants it; *out is returned. */
static tr_code change(const json_t *doc, const json_t *body, json_t **out, tr_err *err)
{
    const char *name, *description;
    const char *status = tr_json_text(body, "status", tr_json_text(doc, "status", "ACTIVE"));
    TR_TRY(check_unchanged(body, doc, "code", err));
    TR_TRY(check_unchanged(body, doc, "idType", err));
    TR_TRY(read_text(body, "name", NAME_BYTES_MAX, &name, err));
    TR_TRY(read_description(body, &description, err));
    if (strcmp(status, "ACTIVE") != 0 && strcmp(status, "DRAFT") != 0)
        return TR_FAIL(err, TR_INVALID, "status is \"%.40s\": expected ACTIVE or DRAFT", status);
    json_t *changed = json_copy((json_t *)(uintptr_t)doc);
    if (changed == NULL || json_object_set_new(changed, "name", json_string(name)) != 0 ||
        json_object_set_new(changed, "description", json_string(description)) != 0 ||
        json_object_set_new(changed, "status", json_string(status)) != 0 ||
        json_object_set_new(changed, "updateTime", json_integer((json_int_t)tr_time_now_ms())) !=
            0) {
        json_decref(changed);
        return no_memory(err);
    }
    *out = changed;
    return TR_OK;
}

static tr_code update_own(tr_catalog *catalog, const char *org, tr_str name, const json_t *body,
                          json_t **out, tr_err *err)
{
    json_t *own = NULL, *changed = NULL;
    TR_TRY(read_own(catalog, org, &own, err));
    json_t *list = json_object_get(own, "list"), *doc = find_own(own, name);
    tr_code code = doc == NULL ? not_found(name, err) : change(doc, body, &changed, err);
    for (size_t i = 0; i < json_array_size(list) && code == TR_OK; i++)
        if (json_array_get(list, i) == doc && json_array_set(list, i, changed) != 0)
            code = no_memory(err);
    if (code == TR_OK)
        code = write_own(catalog, org, own, err);
    json_decref(own);
    if (code == TR_OK)
        *out = changed;
    else
        json_decref(changed);
    return code;
}

tr_code tr_namespace_update(tr_catalog *catalog, const char *org, tr_str name, const json_t *body,
                            json_t **out, tr_err *err)
{
    json_t *changed = NULL;
    const standard *known = find_standard(name);
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the body is not an object");
    if (known != NULL)
        return TR_FAIL(err, TR_INVALID, "%s is a standard namespace, which cannot be changed",
                       known->code);
    TR_TRY(tr_catalog_begin(catalog, err));
    const tr_code code =
        tr_catalog_end(catalog, update_own(catalog, org, name, body, &changed, err), err);
    if (code == TR_OK)
        *out = changed;
    else
        json_decref(changed);
    return code;
}
