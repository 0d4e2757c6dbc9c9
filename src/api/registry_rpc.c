/* SPDX-License-Identifier: Apache-2.0 */
/* registry_rpc.c - /stats, /rpc/sampledata and /rpc/auditlog. */
#include "api/pattern.h"
#include "api/registry_internal.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RECENT_MAX = 10 };

static int64_t time_of(const json_t *doc, const char *key)
{
    return tr_json_int(json_object_get(doc, "meta:registryMetadata"), key, 0);
}

static int newest_first(const void *a, const void *b, void *key)
{
    const int64_t x = time_of(*(json_t *const *)a, key), y = time_of(*(json_t *const *)b, key);
    return (x < y) - (x > y);
}

static struct tm utc_of(int64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    return utc;
}

static json_t *recent_entry(tr_registry_call *r, const json_t *doc, const char *key, const char *as)
{
    static const char *const copied[] = {"$id",     "title",     "description", "meta:resourceType",
                                         "version", "meta:class"};
    char when[64];
    const json_t *of_class;
    json_t *entry = json_object();
    for (size_t i = 0; i < sizeof copied / sizeof copied[0]; i++)
        if (json_object_get(doc, copied[i]) != NULL)
            (void)json_object_set(entry, copied[i], json_object_get(doc, copied[i]));
    const struct tm utc = utc_of(time_of(doc, key));
    (void)strftime(when, sizeof when, "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)", &utc);
    (void)json_object_set_new(entry, as, json_string(when));
    const char *class_id = tr_json_text(doc, "meta:class", NULL);
    if (class_id != NULL &&
        tr_registry_lookup(&r->registry, tr_str_of(class_id), &of_class, NULL) == TR_OK)
        (void)json_object_set(entry, "meta:classTitle", json_object_get(of_class, "title"));
    return entry;
}

static tr_code recent(tr_registry_call *r, const json_t *docs, const char *key, const char *as,
                      json_t **out, tr_err *err)
{
    const size_t count = json_array_size(docs);
    json_t **sorted = tr_alloc_array(count + 1, sizeof *sorted);
    json_t *list = json_array();
    char key_copy[64];
    if (sorted == NULL) {
        json_decref(list);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the statistics");
    }
    (void)snprintf(key_copy, sizeof key_copy, "%s", key);
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(docs, i);
    qsort_r(sorted, count, sizeof *sorted, newest_first, key_copy);
    for (size_t i = 0; i < count && i < RECENT_MAX; i++)
        (void)json_array_append_new(list, recent_entry(r, sorted[i], key, as));
    tr_free(sorted);
    *out = list;
    return TR_OK;
}

static json_t *class_usage(const json_t *docs)
{
    json_t *usage = json_object();
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        const char *of_class = tr_json_text(doc, "meta:class", NULL);
        if (of_class == NULL)
            continue;
        if (json_object_get(usage, of_class) == NULL)
            (void)json_object_set_new(usage, of_class, json_array());
        (void)json_array_append_new(json_object_get(usage, of_class),
                                    json_pack("{s:s, s:s, s:s}", "$id",
                                              tr_json_text(doc, "$id", ""), "title",
                                              tr_json_text(doc, "title", ""), "description",
                                              tr_json_text(doc, "description", "")));
    }
    return usage;
}

/* The number of classes with a Profile-enabled schema. */
static json_int_t union_count(const json_t *docs)
{
    json_t *classes = json_object();
    for (size_t i = 0; i < json_array_size(docs); i++)
        if (tr_registry_has_tag(json_array_get(docs, i)))
            (void)json_object_set_new(
                classes, tr_json_text(json_array_get(docs, i), "meta:class", ""), json_true());
    const json_int_t count = (json_int_t)json_object_size(classes);
    json_decref(classes);
    return count;
}

tr_code tr_registry_stats(tr_registry_call *r, tr_err *err)
{
    static const char *const counted[] = {"schemas", "mixins", "datatypes", "classes"};
    json_t *docs = NULL, *created = NULL, *updated = NULL;
    TR_TRY(tr_registry_all(r, NULL, &docs, err));
    tr_code code = recent(r, docs, "repo:createdDate", "meta:created", &created, err);
    if (code == TR_OK)
        code = recent(r, docs, "repo:lastModifiedDate", "meta:updated", &updated, err);
    json_t *counts = json_object();
    for (size_t k = 0; k < sizeof counted / sizeof counted[0]; k++) {
        json_int_t count = 0;
        for (size_t i = 0; i < json_array_size(docs); i++)
            count += strcmp(tr_json_text(json_array_get(docs, i), "meta:resourceType", ""),
                            counted[k]) == 0;
        (void)json_object_set_new(counts, counted[k], json_integer(count));
    }
    (void)json_object_set_new(counts, "unions", json_integer(union_count(docs)));
    json_t *usage = class_usage(docs);
    json_decref(docs);
    json_t *body =
        json_pack("{s:s, s:s, s:o, s:o?, s:o?, s:o}", "imsOrg", r->registry.tenant->org, "tenantId",
                  r->registry.tenant->tenant_name, "counts", counts, "recentlyCreatedResources",
                  created, "recentlyUpdatedResources", updated, "classUsage", usage);
    if (code != TR_OK) {
        json_decref(body);
        return code;
    }
    return tr_reply_json(r->call, 200, body, err);
}

static json_t *sample_number(const json_t *node)
{
    const json_t *least = json_object_get(node, "minimum"),
                 *most = json_object_get(node, "maximum");
    const bool is_integer = strcmp(tr_json_text(node, "type", ""), "integer") == 0;
    double value = 7;
    if (json_is_number(most) && value > json_number_value(most))
        value = json_number_value(most);
    if (json_is_number(least) && value < json_number_value(least))
        value = json_number_value(least);
    return is_integer ? json_integer((json_int_t)value) : json_real(value);
}

/* Whether "string" would pass a pattern; a pattern that POSIX cannot read decides nothing. */
static bool passes(const char *pattern, const char *text)
{
    regex_t compiled;
    if (pattern == NULL || !tr_pattern_compile(pattern, &compiled))
        return pattern == NULL;
    const bool fits = regexec(&compiled, text, 0, NULL, 0) == 0;
    regfree(&compiled);
    return fits;
}

static json_t *sample_string(const json_t *node)
{
    static const char *const by_format[][2] = {{"uri", "https://ns.adobe.com/xdm/common/uri"},
                                               {"uri-reference", "/uri-reference"},
                                               {"email", "name@example.com"},
                                               {"ipv4", "192.0.2.1"},
                                               {"ipv6", "2001:db8::1"},
                                               {"date", "2018-11-12"},
                                               {"date-time", "2018-11-12T20:20:39+00:00"}};
    const char *format = tr_json_text(node, "format", "");
    for (size_t i = 0; i < sizeof by_format / sizeof by_format[0]; i++)
        if (strcmp(format, by_format[i][0]) == 0)
            return json_string(by_format[i][1]);
    const int64_t most = tr_json_int(node, "maxLength", 6),
                  least = tr_json_int(node, "minLength", 0);
    if (!passes(tr_json_text(node, "pattern", NULL), "string") || least > 6)
        return NULL;
    return json_stringn("string", most < 6 && most >= 0 ? (size_t)most : 6);
}

/* A value that the node's rules allow; NULL: none is known. */
static json_t *sample_of(const json_t *node, uint32_t depth)
{
    const char *type = tr_xdm_node_xdm_type(node);
    const json_t *fixed = json_object_get(node, "default");
    const char *name;
    json_t *field, *value;
    if (fixed == NULL)
        fixed = json_object_get(node, "const");
    if (fixed == NULL)
        fixed = json_array_get(json_object_get(node, "enum"), 0);
    if (fixed != NULL)
        return json_incref((json_t *)(uintptr_t)fixed);
    if (type == NULL || depth > TR_SCHEMA_DEPTH_MAX)
        return NULL;
    if (strcmp(type, "boolean") == 0)
        return json_true();
    if (strcmp(type, "string") == 0 || strncmp(type, "date", 4) == 0)
        return sample_string(node);
    if (strcmp(type, "array") == 0) {
        value = sample_of(json_object_get(node, "items"), depth + 1);
        return value == NULL ? NULL : json_pack("[o]", value);
    }
    if (strcmp(type, "map") == 0) {
        value = sample_of(json_object_get(node, "additionalProperties"), depth + 1);
        return value == NULL ? NULL : json_pack("{s:o}", "key", value);
    }
    if (strcmp(type, "object") != 0)
        return sample_number(node);
    json_t *object = json_object();
    json_object_foreach(json_object_get(node, "properties"), name, field)
        if ((value = sample_of(field, depth + 1)) != NULL)
            (void)json_object_set_new(object, name, value);
    return object;
}

tr_code tr_registry_sample(tr_registry_call *r, tr_err *err)
{
    json_t *resolved = NULL;
    TR_TRY(tr_xdm_resolve_json(tr_registry_lookup, &r->registry, r->call->request->segments[5],
                               true, &resolved, err));
    json_t *sample = sample_of(resolved, 0);
    json_decref(resolved);
    return tr_reply_json(r->call, 200, sample == NULL ? json_object() : sample, err);
}

static tr_code add_line(void *ctx, const tr_object *object, tr_err *err)
{
    char when[32];
    json_t *line = json_copy(object->doc);
    const struct tm utc = utc_of(object->created_ms);
    (void)strftime(when, sizeof when, "%m-%d-%Y %H:%M:%S", &utc);
    (void)json_object_set_new(line, "updatedTime", json_string(when));
    return json_array_append_new(ctx, line) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for the audit log");
}

tr_code tr_registry_audit(tr_registry_call *r, tr_err *err)
{
    const tr_tenant *tenant = r->registry.tenant;
    const json_t *doc;
    TR_TRY(tr_registry_lookup(&r->registry, r->call->request->segments[5], &doc, err));
    const tr_catalog_filter filter = {.parent = tr_json_text(doc, "$id", ""),
                                      .is_descending = true};
    json_t *lines = json_array();
    const tr_code code = tr_catalog_list(r->registry.catalog, tenant, TR_REGISTRY_AUDIT, &filter,
                                         add_line, lines, err);
    for (size_t i = 0; i < json_array_size(lines); i++) {
        json_t *line = json_array_get(lines, i);
        (void)json_object_set_new(line, "imsOrg", json_string(tenant->org));
        (void)json_object_set_new(line, "sandBoxId", json_string(tenant->sandbox_id));
        (void)json_object_set_new(line, "sandboxId", json_string(tenant->sandbox_id));
    }
    if (code != TR_OK) {
        json_decref(lines);
        return code;
    }
    return tr_reply_json(r->call, 200, lines, err);
}
