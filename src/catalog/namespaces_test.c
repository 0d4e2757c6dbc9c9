/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces_test.c - goal: an org's namespaces are its own, codes are unique in any case of
 * letters, numbers grow
 * and never come again. Method: a real catalog in a temporary file.
 */
#include "catalog/namespaces.h"
#include "catalog/schemas.h"
#include "base/test.h"

#include <stdio.h>
#include <unistd.h>

#define ORG "0123456789ABCDEF01234567@AdobeOrg"
#define OTHER "76543210FEDCBA9876543210@AdobeOrg"

static int passed, failed;
static tr_catalog *catalog;

static tr_code create(const char *org, const char *text, int64_t *number)
{
    json_t *body = NULL, *made = NULL;
    tr_code code = tr_json_parse(tr_str_of(text), &body, NULL);
    if (code == TR_OK)
        code = tr_namespace_create(catalog, org, body, &made, NULL, NULL);
    if (code == TR_OK)
        *number = tr_json_int(made, "id", 0);
    json_decref(made);
    json_decref(body);
    return code;
}

static bool is_there(const char *org, const char *name, const char *code_text)
{
    json_t *found = NULL;
    const tr_code code = tr_namespace_get(catalog, org, tr_str_of(name), &found, NULL);
    const bool is_it = code == TR_OK && strcmp(tr_json_text(found, "code", ""), code_text) == 0;
    json_decref(found);
    return is_it;
}

static void standard_ones_are_found_by_code_and_number(void)
{
    CHECK(is_there(ORG, "email", "Email") && is_there(ORG, "6", "Email") &&
          is_there(ORG, "ECID", "ECID"));
    CHECK(!is_there(ORG, "5", "") && !is_there(ORG, "emails", "") && !is_there(ORG, "", ""));
    CHECK(strcmp(tr_namespace_standard_code(20914), "GAID") == 0 &&
          tr_namespace_standard_code(1) == NULL);
}

static void an_org_has_its_own(void)
{
    int64_t first = 0, second = 0, others = 0;
    CHECK(create(ORG, "{\"name\":\"n\",\"code\":\"CRMID\",\"idType\":\"CROSS_DEVICE\"}", &first) ==
          TR_OK);
    CHECK(create(ORG, "{\"name\":\"n\",\"code\":\"b2b_person\",\"idType\":\"Cross_device\"}",
                 &second) == TR_OK);
    CHECK(first > 10000000 && second == first + 1);
    CHECK(is_there(ORG, "crmid", "CRMID") && !is_there(OTHER, "CRMID", ""));
    CHECK(create(ORG, "{\"name\":\"n\",\"code\":\"CrmId\",\"idType\":\"EMAIL\"}", &others) ==
          TR_CONFLICT);
    CHECK(create(ORG, "{\"name\":\"n\",\"code\":\"EMAIL\",\"idType\":\"EMAIL\"}", &others) ==
          TR_CONFLICT);
    CHECK(create(OTHER, "{\"name\":\"n\",\"code\":\"CRMID\",\"idType\":\"EMAIL\"}", &others) ==
          TR_OK);
}

static void bad_bodies_are_refused(void)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        "{\"name\":\"n\",\"idType\":\"EMAIL\"}",
        "{\"name\":\"n\",\"code\":\"a b\",\"idType\":\"EMAIL\"}",
        "{\"name\":\"n\",\"code\":\"x\",\"idType\":\"E\"}",
        "{\"name\":\"n\",\"code\":\"x\",\"idType\":7}",
        "{\"name\":\"\",\"code\":\"x\",\"idType\":\"EMAIL\"}",
        "{\"name\":\"n\",\"code\":\"12\",\"idType\":\"EMAIL\"}",
        "{\"name\":\"n\",\"code\":\"x\",\"idType\":\"EMAIL\",\"description\":1}"};
    int64_t number = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(create(ORG, bad[i], &number) == TR_INVALID);
}

static tr_code update(const char *name, const char *text)
{
    json_t *body = NULL, *made = NULL;
    tr_code code = tr_json_parse(tr_str_of(text), &body, NULL);
    if (code == TR_OK)
        code = tr_namespace_update(catalog, ORG, tr_str_of(name), body, &made, NULL);
    json_decref(made);
    json_decref(body);
    return code;
}

static void code_and_type_stay(void)
{
    json_t *found = NULL;
    CHECK(update("CRMID", "{\"name\":\"new\",\"code\":\"CRMID\",\"idType\":\"CROSS_DEVICE\"}") ==
          TR_OK);
    CHECK(tr_namespace_get(catalog, ORG, tr_str_of("CRMID"), &found, NULL) == TR_OK);
    CHECK(strcmp(tr_json_text(found, "name", ""), "new") == 0);
    json_decref(found);
    CHECK(update("CRMID", "{\"name\":\"new\",\"code\":\"CRM\"}") == TR_INVALID);
    CHECK(update("CRMID", "{\"name\":\"new\",\"idType\":\"COOKIE\"}") == TR_INVALID);
    CHECK(update("Email", "{\"name\":\"new\"}") == TR_INVALID);
    CHECK(update("none", "{\"name\":\"new\"}") == TR_NOT_FOUND);
}

static void a_descriptors_namespace_is_spelled_as_here(void)
{
    char code[64];
    tr_tenant tenant;
    CHECK(tr_catalog_tenant(catalog, ORG, "prod", &tenant, NULL) == TR_OK);
    tr_registry registry = {.catalog = catalog, .tenant = &tenant};
    CHECK(tr_registry_namespace(&registry, "10000001", code, sizeof code, NULL) == TR_OK);
    CHECK(strcmp(code, "CRMID") == 0);
    CHECK(tr_registry_namespace(&registry, "email", code, sizeof code, NULL) == TR_OK);
    CHECK(strcmp(code, "Email") == 0);
    CHECK(tr_registry_namespace(&registry, "77", code, sizeof code, NULL) == TR_OK &&
          strcmp(code, "77") == 0);
    json_decref(registry.held);
}

int main(void)
{
    char folder[] = "/tmp/namespaces_test_XXXXXX", path[64];
    if (mkdtemp(folder) == NULL)
        return 2;
    (void)snprintf(path, sizeof path, "%s/catalog.db", folder);
    CHECK(tr_catalog_open(path, &catalog, NULL) == TR_OK);
    CHECK(tr_catalog_org_ensure(catalog, ORG, NULL) == TR_OK);
    RUN(standard_ones_are_found_by_code_and_number);
    RUN(an_org_has_its_own);
    RUN(bad_bodies_are_refused);
    RUN(code_and_type_stay);
    RUN(a_descriptors_namespace_is_spelled_as_here);
    tr_catalog_close(catalog);
    failed += unlink(path) != 0 || rmdir(folder) != 0;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
