/* SPDX-License-Identifier: Apache-2.0 */
/* schemas_test.c - goal: a tenant's schemas resolve with their descriptors, unions follow their
 * members, and what is cached is shared, bounded and never stale. Method: a real catalog in a
 * temporary file; documents are put as the registry stores them.
 */
#include "catalog/schemas.h"
#include "base/limits.h"
#include "base/test.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define ACME "https://ns.adobe.com/acme"

static tr_catalog *catalog;
static tr_tenant tenant, other;

static void put(const tr_tenant *to, const char *kind, const char *id, const char *parent,
                const char *state, const char *text)
{
    tr_object object = {.state = ""};
    tr_err err = {0};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    (void)snprintf(object.parent, sizeof object.parent, "%s", parent);
    (void)snprintf(object.state, sizeof object.state, "%s", state);
    CHECK(tr_json_parse(tr_str_of(text), &object.doc, &err) == TR_OK);
    tr_code code = tr_catalog_insert(catalog, to, kind, &object, &err);
    if (code == TR_CONFLICT)
        code = tr_catalog_put(catalog, to, kind, &object, 0, &err);
    if (code != TR_OK)
        printf("%s: %s\n", id, err.text);
    CHECK(code == TR_OK);
    json_decref(object.doc);
    tr_catalog_schemas_changed(catalog, to);
}

static void put_group(const char *field)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"$id\":\"" ACME "/mixins/1\",\"meta:resourceType\":\"mixins\",\"properties\":"
                   "{\"_acme\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\"},"
                   "\"%s\":{\"type\":\"string\"}}}}}",
                   field);
    put(&tenant, "fieldgroup", ACME "/mixins/1", "", "", text);
}

static void put_schema(void)
{
    put(&tenant, "schema", ACME "/schemas/1", TR_XDM_PROFILE_CLASS, "",
        "{\"$id\":\"" ACME
        "/schemas/1\",\"meta:altId\":\"_acme.schemas.1\",\"meta:resourceType\":\"schemas\","
        "\"meta:class\":\"https://ns.adobe.com/xdm/context/"
        "profile\",\"meta:immutableTags\":[\"union\"],"
        "\"allOf\":[{\"$ref\":\"https://ns.adobe.com/xdm/context/profile\"},{\"$ref\":\"" ACME
        "/mixins/1\"}]}");
    put(&tenant, "descriptor", "0123456789012345678901234567890123456789", ACME "/schemas/1",
        "xdm:descriptorIdentity",
        "{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/_acme/"
        "id\",\"xdm:namespace\":\"6\","
        "\"xdm:property\":\"xdm:id\",\"xdm:isPrimary\":true}");
}

static const tr_xdm_schema *open_as(const tr_tenant *as, const char *id)
{
    const tr_xdm_schema *schema = NULL;
    tr_err err = {0};
    if (tr_catalog_schema_open(catalog, as, tr_str_of(id), &schema, &err) != TR_OK)
        printf("%s: %s\n", id, err.text);
    return schema;
}

static bool has(const tr_xdm_schema *schema, const char *path)
{
    return tr_type_find(schema->shape.root, tr_str_of(path)) != NULL;
}

static void the_old_profile_schema_has_three_names(void)
{
    const tr_xdm_schema *a = open_as(&tenant, "@/xdms/context/profile");
    const tr_xdm_schema *b = open_as(&tenant, "_xdm.context.profile");
    const tr_xdm_schema *c = open_as(&tenant, TR_XDM_OLD_PROFILE);
    CHECK(a != NULL && a == b && b == c);
    CHECK(has(a, "homeAddress._schema.latitude") && has(a, "identities.namespace.code"));
    tr_catalog_schema_close(catalog, a);
    tr_catalog_schema_close(catalog, b);
    tr_catalog_schema_close(catalog, c);
    tr_catalog_schema_close(catalog, NULL);
}

static void an_unknown_schema_is_named(void)
{
    const tr_xdm_schema *schema = NULL;
    static const char *const ids[] = {"nothing", ACME "/schemas/none", "_acme.schemas.none", "",
                                      "https://ns.adobe.com/xdm/context/identitymap__union"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        tr_err err = {0};
        CHECK(tr_catalog_schema_open(catalog, &tenant, tr_str_of(ids[i]), &schema, &err) ==
              TR_NOT_FOUND);
        CHECK(strstr(err.text, ids[i]) != NULL && schema == NULL);
    }
}

static void a_tenant_schema_has_its_identities(void)
{
    put_group("a");
    put_schema();
    const tr_xdm_schema *schema = open_as(&tenant, "_acme.schemas.1");
    CHECK(schema != NULL && schema->identity_count == 1 && schema->is_union_member);
    CHECK(tr_str_is(schema->identities[0].namespace_code, "Email") &&
          schema->identities[0].is_primary);
    CHECK(has(schema, "_acme.a") && schema->behavior == TR_XDM_RECORD);
    tr_catalog_schema_close(catalog, schema);
}

static void a_change_is_seen_by_the_next_open_only(void)
{
    put_group("a");
    put_schema();
    const tr_xdm_schema *before = open_as(&tenant, ACME "/schemas/1");
    put_group("b");
    const tr_xdm_schema *after = open_as(&tenant, ACME "/schemas/1");
    CHECK(before != after && has(before, "_acme.a") && !has(before, "_acme.b"));
    CHECK(has(after, "_acme.b") && !has(after, "_acme.a"));
    tr_catalog_schema_close(catalog, before);
    tr_catalog_schema_close(catalog, after);
}

static void the_union_follows_its_members(void)
{
    put_group("b");
    put_schema();
    const tr_xdm_schema *united = open_as(&tenant, TR_XDM_PROFILE_UNION);
    CHECK(united != NULL && has(united, "_acme.b") && has(united, "personID"));
    CHECK(has(united, "identityMap.*.id") && has(united, "segmentMembership.*.*.status"));
    CHECK(has(united, "timeSeriesEvents.timestamp") && !has(united, "timeSeriesEvents.web"));
    CHECK(united->identity_count == 1);
    put(&tenant, "schema", ACME "/schemas/2", TR_XDM_EVENT_CLASS, "",
        "{\"$id\":\"" ACME "/schemas/2\",\"meta:resourceType\":\"schemas\",\"meta:class\":"
        "\"https://ns.adobe.com/xdm/context/"
        "experienceevent\",\"meta:immutableTags\":[\"union\"],\"allOf\":["
        "{\"$ref\":\"https://ns.adobe.com/xdm/context/experienceevent\"},"
        "{\"$ref\":\"https://ns.adobe.com/xdm/context/experienceevent-web\"}]}");
    const tr_xdm_schema *wider = open_as(&tenant, "_xdm.context.profile__union");
    CHECK(wider != NULL && has(wider, "timeSeriesEvents.web.webPageDetails.URL") &&
          has(wider, "_acme.b"));
    CHECK(!has(united, "timeSeriesEvents.web"));
    tr_catalog_schema_close(catalog, united);
    tr_catalog_schema_close(catalog, wider);
}

static void a_document_looked_up_twice_stays_where_it_was(void)
{
    tr_registry registry = {.catalog = catalog, .tenant = &tenant};
    const json_t *by_id = NULL, *by_alt_id = NULL, *again = NULL;
    put_group("a");
    put_schema();
    CHECK(tr_registry_lookup(&registry, tr_str_of(ACME "/schemas/1"), &by_id, NULL) == TR_OK);
    CHECK(tr_registry_lookup(&registry, tr_str_of("_acme.schemas.1"), &by_alt_id, NULL) == TR_OK);
    CHECK(tr_registry_lookup(&registry, tr_str_of("_acme.schemas.1"), &again, NULL) == TR_OK);
    CHECK(by_id == by_alt_id && by_id == again);
    CHECK(tr_registry_lookup(&registry, tr_str_of(TR_XDM_PROFILE_UNION), &by_id, NULL) == TR_OK);
    CHECK(tr_registry_lookup(&registry, tr_str_of("_xdm.context.profile__union"), &again, NULL) ==
          TR_OK);
    CHECK(by_id == again);
    json_decref(registry.held);
}

static void another_tenant_sees_nothing_of_it(void)
{
    const tr_xdm_schema *schema = NULL;
    put_group("a");
    put_schema();
    CHECK(tr_catalog_schema_open(catalog, &other, tr_str_of(ACME "/schemas/1"), &schema, NULL) ==
          TR_NOT_FOUND);
    schema = open_as(&other, TR_XDM_PROFILE_UNION);
    CHECK(schema != NULL && !has(schema, "_acme"));
    tr_catalog_schema_close(catalog, schema);
}

static void more_schemas_than_the_cache_holds_can_be_open(void)
{
    const json_t *groups = NULL;
    const tr_xdm_schema *open[TR_SCHEMAS_CACHED_MAX + 20];
    CHECK(tr_xdm_global_list("fieldgroups", &groups, NULL) == TR_OK);
    const size_t count = sizeof open / sizeof open[0];
    CHECK(json_array_size(groups) > count);
    for (size_t i = 0; i < count; i++)
        open[i] = open_as(&tenant, tr_json_text(json_array_get(groups, i), "$id", ""));
    for (size_t i = 0; i < count; i++) {
        CHECK(open[i] != NULL && open[i]->shape.leaf_count > 0);
        tr_catalog_schema_close(catalog, open[i]);
    }
}

static void *open_and_close(void *ctx)
{
    int *bad = ctx;
    for (int i = 0; i < 60; i++) {
        const tr_xdm_schema *schema = NULL;
        if (tr_catalog_schema_open(catalog, &tenant, tr_str_of(ACME "/schemas/1"), &schema, NULL) !=
                TR_OK ||
            schema->identity_count != 1)
            ++*bad;
        tr_catalog_schema_close(catalog, schema);
        if (i % 7 == 0)
            tr_catalog_schemas_changed(catalog, &tenant);
    }
    return NULL;
}

static void threads_may_open_close_and_change_at_once(void)
{
    pthread_t threads[4];
    int bad[4] = {0};
    put_group("a");
    put_schema();
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, open_and_close, &bad[i]) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK(bad[i] == 0);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    char folder[] = "/tmp/tributary-schemas-XXXXXX", path[64], text[80];
    tr_err err = {0};
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/catalog", folder);
    if (tr_catalog_open(path, &catalog, &err) != TR_OK ||
        tr_catalog_org_ensure(catalog, "A@AdobeOrg", &err) != TR_OK ||
        tr_catalog_org_ensure(catalog, "B@AdobeOrg", &err) != TR_OK ||
        tr_catalog_tenant(catalog, "A@AdobeOrg", "prod", &tenant, &err) != TR_OK ||
        tr_catalog_tenant(catalog, "B@AdobeOrg", "prod", &other, &err) != TR_OK) {
        printf("no catalog: %s\n", err.text);
        return 1;
    }
    RUN(the_old_profile_schema_has_three_names);
    RUN(an_unknown_schema_is_named);
    RUN(a_tenant_schema_has_its_identities);
    RUN(a_change_is_seen_by_the_next_open_only);
    RUN(a_document_looked_up_twice_stays_where_it_was);
    RUN(another_tenant_sees_nothing_of_it);
    RUN(the_union_follows_its_members);
    RUN(more_schemas_than_the_cache_holds_can_be_open);
    RUN(threads_may_open_close_and_change_at_once);
    tr_catalog_close(catalog);
    (void)snprintf(text, sizeof text, "rm -rf %s", folder);
    if (system(text) != 0)
        printf("%s stays\n", folder);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
