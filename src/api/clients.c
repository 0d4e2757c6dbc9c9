/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - API clients and their secrets.
 *
 * A client in the catalog, by client id (32 hex):
 *     {"org","name","role","sandboxes": [names] or absent (all of the org), "technicalAccountId",
 *      "createdMs", "secrets": [{"salt","sha256","scram"?}], "isDisabled"?, "notBeforeMs"?}
 *     scram: {"salt","storedKey","serverKey"}, in hex. Of a secret that is older than this it is
 *     made when the secret is next seen.
 *
 * A secret is 256 random bits, shown once. With that much entropy a salted SHA-256 is as good as
 * a slow hash, and a login costs microseconds. Two may be valid at once, for rotation.
 */
#include "api/core_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/hash.h"

#include <openssl/crypto.h>
#include <stdio.h>

enum { NAME_BYTES_MAX = 100, SECRET_BYTES = 32, SECRETS_MAX = 2, SECRET_TEXT_BYTES_MAX = 256 };

bool tr_org_is_valid(tr_str org)
{
    static const char suffix[] = "@AdobeOrg";
    const size_t suffix_len = sizeof suffix - 1;
    if (org.len <= suffix_len || org.len > 70 ||
        memcmp(org.at + org.len - suffix_len, suffix, suffix_len) != 0)
        return false;
    for (size_t i = 0; i < org.len - suffix_len; i++) {
        const uint8_t c = org.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-'))
            return false;
    }
    return true;
}

bool tr_sandbox_name_is_valid(tr_str name)
{
    const tr_tenant *sizes = NULL;
    if (name.len == 0 || name.len >= sizeof sizes->sandbox || name.at[0] < 'a' || name.at[0] > 'z')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const uint8_t c = name.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'))
            return false;
    }
    return !tr_str_is(name, "all"); /* it stands for every sandbox in names of SQL databases */
}

bool tr_client_is_id(tr_str id)
{
    return tr_is_hex(id, 32);
}

static void hash_secret(tr_str salt, tr_str secret, uint8_t out[32])
{
    uint8_t text[64 + SECRET_TEXT_BYTES_MAX];
    memcpy(text, salt.at, salt.len);
    if (secret.len > 0)
        memcpy(text + salt.len, secret.at, secret.len);
    tr_sha256((tr_str){text, salt.len + secret.len}, out);
    OPENSSL_cleanse(text, sizeof text);
}

static void write_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        (void)snprintf(out + i * 2, 3, "%02x", bytes[i]);
}

json_t *tr_api_now_text(void)
{
    char text[TR_TIME_TEXT_BYTES];
    (void)tr_time_format(tr_time_now_ms() / 1000 * 1000000, text);
    text[10] = ' ';
    text[19] = '\0';
    return json_string(text);
}

/* Adding ------------------------------------------------------------------------------------- */

tr_code tr_api_client_check(const char *org, const char *name, const char *role,
                            const char *const *sandboxes, tr_err *err)
{
    size_t bad_at;
    const tr_str text = tr_str_of(name);
    if (!tr_org_is_valid(tr_str_of(org)))
        return TR_FAIL(err, TR_INVALID,
                       "the org is \"%.80s\": expected letters and digits, then \"@AdobeOrg\"",
                       org == NULL ? "" : org);
    if (text.len == 0 || text.len > NAME_BYTES_MAX || !tr_str_is_utf8(text, &bad_at))
        return TR_FAIL(err, TR_INVALID, "a client's name has 1 to %d bytes of UTF-8",
                       NAME_BYTES_MAX);
    if (strcmp(role, "admin") != 0 && strcmp(role, "editor") != 0 && strcmp(role, "viewer") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "the role is \"%.40s\": expected admin, editor or viewer", role);
    for (size_t i = 0; sandboxes != NULL && sandboxes[i] != NULL; i++)
        if (!tr_sandbox_name_is_valid(tr_str_of(sandboxes[i])))
            return TR_FAIL(err, TR_INVALID, "\"%.80s\" cannot be the name of a sandbox",
                           sandboxes[i]);
    return TR_OK;
}

/* What SCRAM needs of a secret; returned. */
static tr_code make_scram(tr_str secret, json_t **out, tr_err *err)
{
    tr_scram_verifier v;
    char salt[2 * sizeof v.salt + 1], stored[65], server[65];
    TR_TRY(tr_scram_make(secret, &v, err));
    write_hex(v.salt, sizeof v.salt, salt);
    write_hex(v.stored_key, sizeof v.stored_key, stored);
    write_hex(v.server_key, sizeof v.server_key, server);
    *out = json_pack("{s:s, s:s, s:s}", "salt", salt, "storedKey", stored, "serverKey", server);
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a client");
}

/* The secret's text into `out`, what is kept of it into *kept. */
static tr_code new_secret(tr_buf *out, json_t **kept, tr_err *err)
{
    uint8_t bytes[SECRET_BYTES], hash[32];
    char hex[65];
    const tr_id salt = tr_id_hex(32);
    tr_random_bytes(bytes, sizeof bytes);
    TR_TRY(tr_buf_append(out, tr_str_of("p8e-"), err));
    TR_TRY(tr_base64url((tr_str){bytes, sizeof bytes}, out, err));
    hash_secret(tr_str_of(salt.text), tr_buf_str(out), hash);
    write_hex(hash, sizeof hash, hex);
    OPENSSL_cleanse(bytes, sizeof bytes);
    json_t *scram = NULL;
    TR_TRY(make_scram(tr_buf_str(out), &scram, err));
    *kept = json_pack("{s:s, s:s, s:o}", "salt", salt.text, "sha256", hex, "scram", scram);
    return *kept == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a client") : TR_OK;
}

static json_t *new_document(const char *org, const char *name, const char *role,
                            const char *const *sandboxes, json_t *secret)
{
    char account[64];
    (void)snprintf(account, sizeof account, "%s@techacct.adobe.com", tr_id_hex(24).text);
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:I, s:[o]}", "org", org, "name", name, "role",
                            role, "technicalAccountId", account, "createdMs",
                            (json_int_t)tr_time_now_ms(), "secrets", secret);
    if (doc == NULL || sandboxes == NULL || sandboxes[0] == NULL)
        return doc;
    json_t *names = json_array();
    bool is_good = names != NULL;
    for (size_t i = 0; is_good && sandboxes[i] != NULL; i++)
        is_good = json_array_append_new(names, json_string(sandboxes[i])) == 0;
    if (json_object_set_new(doc, "sandboxes", names) == 0 && is_good)
        return doc;
    json_decref(doc);
    return NULL;
}

/* The sandbox that a new org begins with gets the day it was made. */
static tr_code date_sandbox(tr_catalog *catalog, const char *org, json_t *doc, tr_err *err)
{
    if (strcmp(tr_json_text(doc, "name", ""), "prod") != 0 ||
        json_object_get(doc, "createdDate") != NULL)
        return TR_OK;
    json_t *now = tr_api_now_text();
    const bool is_good = json_object_set(doc, "createdDate", now) == 0 &&
                         json_object_set(doc, "lastModifiedDate", now) == 0;
    json_decref(now);
    (void)json_object_del(doc, "id");
    (void)json_object_del(doc, "name");
    return is_good ? tr_catalog_sandbox_put(catalog, org, "prod", doc, err)
                   : TR_FAIL(err, TR_NO_MEMORY, "no memory for a client");
}

static tr_code keep(tr_catalog *catalog, const char *org, const char *id, const json_t *doc,
                    tr_err *err)
{
    json_t *sandboxes = NULL;
    TR_TRY(tr_catalog_org_ensure(catalog, org, err));
    TR_TRY(tr_catalog_sandbox_list(catalog, org, &sandboxes, err));
    tr_code code = TR_OK;
    for (size_t i = 0; code == TR_OK && i < json_array_size(sandboxes); i++)
        code = date_sandbox(catalog, org, json_array_get(sandboxes, i), err);
    json_decref(sandboxes);
    return code == TR_OK ? tr_catalog_client_put(catalog, id, doc, err) : code;
}

tr_code tr_api_client_add(tr_catalog *catalog, const char *org, const char *name, const char *role,
                          const char *const *sandboxes, json_t **out, tr_err *err)
{
    tr_buf secret = {0};
    json_t *kept = NULL, *doc = NULL;
    const tr_id id = tr_id_hex(32);
    role = role == NULL ? "viewer" : role;
    TR_TRY(tr_api_client_check(org, name, role, sandboxes, err));
    tr_code code = new_secret(&secret, &kept, err);
    if (code == TR_OK) {
        doc = new_document(org, name, role, sandboxes, kept);
        code = doc == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a client")
                           : tr_catalog_begin(catalog, err);
    }
    if (code == TR_OK)
        code = tr_catalog_end(catalog, keep(catalog, org, id.text, doc, err), err);
    json_t *shown = code != TR_OK
                        ? NULL
                        : json_pack("{s:s, s:s%, s:s, s:s}", "client_id", id.text, "client_secret",
                                    (const char *)secret.at, secret.len, "org_id", org,
                                    "technical_account_id",
                                    tr_json_text(doc, "technicalAccountId", ""));
    if (code == TR_OK && shown == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a client");
    if (secret.len > 0)
        OPENSSL_cleanse(secret.at, secret.len);
    tr_buf_free(&secret);
    json_decref(doc);
    if (code == TR_OK)
        *out = shown;
    return code;
}

/* Checking ----------------------------------------------------------------------------------- */

static bool secret_is(const json_t *kept, tr_str secret)
{
    uint8_t hash[32];
    char hex[65];
    const char *salt = tr_json_text(kept, "salt", "00000000000000000000000000000000");
    const char *wanted = tr_json_text(kept, "sha256", "");
    const bool is_known = strlen(wanted) == 64 && strlen(salt) <= 64;
    hash_secret(is_known ? tr_str_of(salt) : (tr_str){(const uint8_t *)"0", 1}, secret, hash);
    write_hex(hash, sizeof hash, hex);
    /* Without a secret to compare with, the same work is done, and the answer is no. */
    return tr_equal_constant_time((const uint8_t *)hex, (const uint8_t *)(is_known ? wanted : hex),
                                  64) &&
           is_known;
}

/* A secret from before SCRAM gets its verifier; that it cannot be written now changes no answer. */
static void add_scram(tr_catalog *catalog, const char *id, size_t index, tr_str secret)
{
    json_t *doc = NULL, *scram = NULL;
    tr_err err = {0};
    if (make_scram(secret, &scram, &err) != TR_OK || tr_catalog_begin(catalog, &err) != TR_OK) {
        json_decref(scram);
        return;
    }
    tr_code code = tr_catalog_client_get(catalog, id, &doc, &err);
    json_t *kept = json_array_get(json_object_get(doc, "secrets"), index);
    const bool is_same = code == TR_OK && kept != NULL && secret_is(kept, secret);
    if (is_same && json_object_set(kept, "scram", scram) == 0)
        code = tr_catalog_client_put(catalog, id, doc, &err);
    code = tr_catalog_end(catalog, code, &err);
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "api", "client_not_upgraded", "client=%s reason=\"%s\"", id, err.text);
    json_decref(doc);
    json_decref(scram);
}

static uint8_t digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static bool read_hex(const char *hex, uint8_t *out, size_t len)
{
    if (!tr_is_hex(tr_str_of(hex), len * 2))
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return true;
}

static bool read_scram(const json_t *scram, tr_scram_verifier *out)
{
    out->iterations = TR_SCRAM_ITERATIONS;
    return read_hex(tr_json_text(scram, "salt", ""), out->salt, sizeof out->salt) &&
           read_hex(tr_json_text(scram, "storedKey", ""), out->stored_key,
                    sizeof out->stored_key) &&
           read_hex(tr_json_text(scram, "serverKey", ""), out->server_key,
                    sizeof out->server_key);
}

tr_code tr_client_verifier(tr_catalog *catalog, const char *id, tr_scram_verifier *out, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_catalog_client_get(catalog, id, &doc, err));
    const json_t *secrets = json_object_get(doc, "secrets");
    const size_t count = json_array_size(secrets);
    const json_t *newest = json_array_get(secrets, count == 0 ? 0 : count - 1);
    tr_code code = TR_OK;
    if (tr_json_bool(doc, "isDisabled", false))
        code = TR_FAIL(err, TR_NOT_FOUND, "the client is disabled");
    else if (!read_scram(json_object_get(newest, "scram"), out))
        code = TR_FAIL(err, TR_SEMANTIC, "nothing was kept of its secret for SCRAM");
    json_decref(doc);
    return code;
}

tr_code tr_client_check(tr_catalog *catalog, tr_str id, tr_str secret, bool *is_good,
                        json_t **doc, tr_err *err)
{
    json_t *found = NULL;
    bool is_right = false;
    char text[33] = "00000000000000000000000000000000";
    if (tr_client_is_id(id))
        memcpy(text, id.at, 32);
    const tr_code code = tr_catalog_client_get(catalog, text, &found, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    const json_t *secrets = json_object_get(found, "secrets");
    const bool is_text = secret.len > 0 && secret.len <= SECRET_TEXT_BYTES_MAX;
    for (size_t i = 0; i < SECRETS_MAX; i++) {
        const bool same = secret_is(json_array_get(secrets, i), is_text ? secret : (tr_str){0});
        is_right = is_right || same;
        if (same && json_object_get(json_array_get(secrets, i), "scram") == NULL)
            add_scram(catalog, text, i, secret);
    }
    *is_good = is_right && is_text && !tr_json_bool(found, "isDisabled", false);
    if (*is_good)
        *doc = found;
    else
        json_decref(found);
    return TR_OK;
}
