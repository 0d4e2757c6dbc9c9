/* SPDX-License-Identifier: Apache-2.0 */
/* openapi.c - the tables of endpoints as an OpenAPI 3.0 document: what is served is listed. */
#include "api/core_internal.h"

#include <stdio.h>
#include <ctype.h>

/* "/a/{id}/files/{path...}" -> "/a/{id}/files/{path}" */
static void plain_path(const char *path, char *out, size_t size)
{
    size_t len = 0;
    for (const char *at = path; *at != '\0' && len + 1 < size; at++) {
        if (strncmp(at, "...}", 4) == 0)
            at += 3;
        out[len++] = *at;
    }
    out[len] = '\0';
}

/* The path's parameters as OpenAPI lists them. */
static json_t *parameters(const char *path)
{
    json_t *list = json_array();
    for (const char *open = strchr(path, '{'); open != NULL; open = strchr(open + 1, '{')) {
        const char *close = strchr(open, '}');
        const size_t len = close == NULL ? 0 : (size_t)(close - open) - 1;
        (void)json_array_append_new(
            list, json_pack("{s:s%, s:s, s:b, s:{s:s}}", "name", open + 1, len, "in", "path",
                            "required", 1, "schema", "type", "string"));
    }
    return list;
}

static const char *tag_of(const char *path)
{
    static const struct {
        const char *prefix, *tag;
    } tags[] = {{"/data/foundation/schemaregistry", "Schema Registry"},
                {"/data/foundation/catalog", "Catalog"},
                {"/data/foundation/import", "Batch ingestion"},
                {"/data/foundation/export", "Data access"},
                {"/data/foundation/sandbox-management", "Sandboxes"},
                {"/data/core/ups/config/mergePolicies", "Merge policies"},
                {"/data/core/ups/export", "Export jobs"},
                {"/ims", "Authentication"}};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        if (strncmp(path, tags[i].prefix, strlen(tags[i].prefix)) == 0)
            return tags[i].tag;
    return "Server";
}

static json_t *operation(const tr_endpoint *endpoint, const char *path)
{
    json_t *made =
        json_pack("{s:s++, s:[s], s:o, s:s, s:{s:{s:s}}}", "operationId", endpoint->method, " ",
                  path, "tags", tag_of(path), "parameters", parameters(path), "x-scope",
                  tr_scope_name(endpoint->scope), "responses", "default", "description",
                  "see AEP's reference");
    const bool is_open = endpoint->scope == TR_SCOPE_OPEN;
    const bool has_sandbox = endpoint->scope == TR_SCOPE_READ ||
                             endpoint->scope == TR_SCOPE_WRITE || endpoint->scope == TR_SCOPE_ADMIN;
    json_t *security = is_open ? json_array()
                       : has_sandbox
                           ? json_pack("[{s:[], s:[], s:[], s:[]}]", "bearer", "key", "org",
                                       "sandbox")
                           : json_pack("[{s:[], s:[], s:[]}]", "bearer", "key", "org");
    (void)json_object_set_new(made, "security", security);
    return made;
}

static bool add(json_t *paths, const tr_endpoint *endpoint)
{
    char path[256], method[16];
    size_t len = 0;
    plain_path(endpoint->path, path, sizeof path);
    for (const char *at = endpoint->method; *at != '\0' && len + 1 < sizeof method; at++)
        method[len++] = (char)tolower((unsigned char)*at);
    method[len] = '\0';
    json_t *item = json_object_get(paths, path);
    if (item == NULL) {
        item = json_object();
        if (json_object_set_new(paths, path, item) != 0)
            return false;
    }
    return json_object_set_new(item, method, operation(endpoint, path)) == 0;
}

static json_t *header_key(const char *name)
{
    return json_pack("{s:s, s:s, s:s}", "type", "apiKey", "in", "header", "name", name);
}

tr_code tr_openapi_text(const tr_router *router, tr_buf *out, tr_err *err)
{
    json_t *paths = json_object();
    bool is_good = paths != NULL;
    for (uint32_t i = 0; is_good && i < tr_router_count(router); i++)
        is_good = add(paths, tr_router_endpoint(router, i));
    json_t *document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:{s:{s:s, s:s, s:s}, s:o, s:o, s:o}}}", "openapi",
        "3.0.3", "info", "title", "Tributary", "version", TR_VERSION, "description",
        "Adobe Experience Platform's API for customer profiles, self-hosted.", "paths", paths,
        "components", "securitySchemes", "bearer", "type", "http", "scheme", "bearer",
        "bearerFormat", "JWT", "key", header_key("x-api-key"), "org",
        header_key("x-gw-ims-org-id"), "sandbox", header_key("x-sandbox-name"));
    const tr_code code = document == NULL || !is_good
                             ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the API's description")
                             : tr_json_write(document, out, err);
    json_decref(document);
    return code;
}
