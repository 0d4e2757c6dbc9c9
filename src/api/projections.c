/* SPDX-License-Identifier: Apache-2.0 */
/* projections.c - /data/core/ups/config/destinations and projections (reference: profile API, 6),
 * and the projected profile itself, at /data/core/ups/projections/{id}/entities.
 *
 * Bodies come as "application/vnd.adobe.platform.projectionDestination+json" or
 * "...projectionConfig"; plain JSON is taken too, because a client of AEP's sends it. Any other
 * type is 415.
 */
#include "api/entities_internal.h"
#include "profile/projection.h"

#define DESTINATIONS "/data/core/ups/config/destinations"
#define PROJECTIONS "/data/core/ups/config/projections"
#define SERVED "/data/core/ups/projections/{id}/entities"
#define TYPE_PREFIX "application/vnd.adobe.platform."

/* Requests ----------------------------------------------------------------------------------- */

/* *out NULL: 415 was answered. */
static tr_code read_body(tr_call *call, const char *vendor, const json_t **out, tr_err *err)
{
    const tr_str type = tr_call_media_type(call);
    const bool is_good = type.len == 0 || tr_str_equal_folded(type, tr_str_of(vendor)) ||
                         tr_str_equal_folded(type, tr_str_of("application/json"));
    *out = NULL;
    if (!is_good)
        return tr_reply_json(call, 415,
                             json_pack("{s:i, s:s, s:s}", "status", 415, "title",
                                       "HTTP 415 Unsupported Media Type", "type",
                                       "http://ns.adobe.com/adobecloud/problem/"
                                       "unsupported-media-type"),
                             err);
    return tr_call_json(call, out, err);
}

/* Answers ------------------------------------------------------------------------------------ */

static json_t *link_to(const char *base, const json_t *doc, const char *member)
{
    return json_pack("{s:s+++, s:b}", "href", base, "/", tr_json_text(doc, member, ""), "",
                     "templated", 0);
}

/* The members of a document behind its links; both are taken. NULL: no memory */
static json_t *with_links(json_t *links, json_t *doc)
{
    const bool is_good = links != NULL && json_object_update(links, doc) == 0;
    json_decref(doc);
    if (is_good)
        return links;
    json_decref(links);
    return NULL;
}

/* doc  taken. NULL: no memory, here and below */
static json_t *show_destination(tr_call *call, json_t *doc)
{
    (void)call;
    return with_links(json_pack("{s:o}", "self", link_to(DESTINATIONS, doc, "id")), doc);
}

static json_t *show_listed_destination(tr_call *call, json_t *doc)
{
    (void)call;
    return with_links(json_pack("{s:{s:o}}", "_links", "self", link_to(DESTINATIONS, doc, "id")),
                      doc);
}

static json_t *show_projection(tr_call *call, json_t *doc)
{
    json_t *destination = NULL, *embedded = NULL;
    if (tr_destination_get(call->parts->catalog, &call->tenant,
                           tr_json_text(doc, "destinationId", ""), &destination, NULL) == TR_OK)
        embedded = show_destination(call, destination);
    return with_links(json_pack("{s:{s:o, s:o}, s:{s:o*}}", "_links", "destination",
                                link_to(DESTINATIONS, doc, "destinationId"), "self",
                                link_to(PROJECTIONS, doc, "id"), "_embedded", "destination",
                                embedded),
                      doc);
}

/* docs  taken */
static tr_code reply_list(tr_call *call, const char *base, const char *member, json_t *docs,
                          json_t *(*show)(tr_call *call, json_t *doc), tr_err *err)
{
    json_t *items = json_array();
    for (size_t i = 0; i < json_array_size(docs); i++)
        (void)json_array_append_new(items, show(call, json_incref(json_array_get(docs, i))));
    json_decref(docs);
    return tr_reply_json(call, 200,
                         json_pack("{s:{s:{s:s, s:b}}, s:{s:o}}", "_links", "self", "href", base,
                                   "templated", 0, "_embedded", member, items),
                         err);
}

/* The id that a path ends in; NULL: of a new one. */
static const char *id_of(tr_call *call)
{
    return call->param_count == 0 ? NULL : tr_call_param(call, 0);
}

/* Destinations ------------------------------------------------------------------------------- */

static tr_code put_destination(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(read_body(call, TYPE_PREFIX "projectionDestination+json", &body, err));
    if (body == NULL)
        return TR_OK;
    TR_TRY(tr_destination_put(call->parts->catalog, &call->tenant, id_of(call), body, &doc, err));
    return tr_reply_json(call, 200, show_destination(call, doc), err);
}

static tr_code get_destination(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(
        tr_destination_get(call->parts->catalog, &call->tenant, tr_call_param(call, 0), &doc, err));
    return tr_reply_json(call, 200, show_destination(call, doc), err);
}

static tr_code list_destinations(tr_call *call, tr_err *err)
{
    json_t *docs = NULL;
    TR_TRY(tr_destination_list(call->parts->catalog, &call->tenant, &docs, err));
    return reply_list(call, DESTINATIONS, "projectionDestinations", docs, show_listed_destination,
                      err);
}

static tr_code delete_destination(tr_call *call, tr_err *err)
{
    TR_TRY(tr_destination_remove(call->parts->catalog, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 204, err);
}

/* Projections -------------------------------------------------------------------------------- */

static tr_code put_projection(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(read_body(call, TYPE_PREFIX "projectionConfig+json", &body, err));
    if (body == NULL)
        return TR_OK;
    TR_TRY(tr_projection_put(call->parts->profiles, &call->tenant, id_of(call),
                             tr_call_query(call, "schemaName"), body, &doc, err));
    return tr_reply_json(call, 200, show_projection(call, doc), err);
}

static tr_code get_projection(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(
        tr_projection_get(call->parts->catalog, &call->tenant, tr_call_param(call, 0), &doc, err));
    return tr_reply_json(call, 200, show_projection(call, doc), err);
}

static tr_code list_projections(tr_call *call, tr_err *err)
{
    const char *schema = tr_call_query(call, "schemaName"), *name = tr_call_query(call, "name");
    json_t *docs = NULL;
    if (name != NULL && schema == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "schemaName is required with name: names are unique within a class");
    TR_TRY(tr_projection_list(call->parts->catalog, &call->tenant, schema, name, &docs, err));
    return reply_list(call, PROJECTIONS, "projectionConfigs", docs, show_projection, err);
}

static tr_code delete_projection(tr_call *call, tr_err *err)
{
    TR_TRY(tr_projection_remove(call->parts->catalog, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 204, err);
}

/* The projected profile of an identity. How long it may be kept is the destination's to say. */
static tr_code get_projected(tr_call *call, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    json_t *doc = NULL, *destination = NULL;
    char control[48];
    TR_TRY(tr_projection_get(catalog, &call->tenant, tr_call_param(call, 0), &doc, err));
    const tr_entity_ask ask = {.policy_id = tr_json_text(doc, "mergePolicyId", NULL),
                               .fields = tr_str_of(tr_json_text(doc, "selector", ""))};
    tr_code code = tr_entity_reply(call, &ask, err);
    if (code == TR_OK && call->response->status == 200 &&
        tr_destination_get(catalog, &call->tenant, tr_json_text(doc, "destinationId", ""),
                           &destination, NULL) == TR_OK) {
        (void)snprintf(control, sizeof control, "private, max-age=%lld",
                       (long long)tr_json_int(destination, "ttl", 0));
        code = tr_reply_header(call, "Cache-Control", control, err);
    }
    json_decref(destination);
    json_decref(doc);
    return code;
}

const tr_endpoint tr_api_projections[] = {
    {"GET", DESTINATIONS, TR_SCOPE_READ, list_destinations, 0},
    {"POST", DESTINATIONS, TR_SCOPE_WRITE, put_destination, 0},
    {"GET", DESTINATIONS "/{id}", TR_SCOPE_READ, get_destination, 0},
    {"PUT", DESTINATIONS "/{id}", TR_SCOPE_WRITE, put_destination, 0},
    {"DELETE", DESTINATIONS "/{id}", TR_SCOPE_WRITE, delete_destination, 0},
    {"GET", PROJECTIONS, TR_SCOPE_READ, list_projections, 0},
    {"POST", PROJECTIONS, TR_SCOPE_WRITE, put_projection, 0, .is_slow = true},
    {"GET", PROJECTIONS "/{id}", TR_SCOPE_READ, get_projection, 0},
    {"PUT", PROJECTIONS "/{id}", TR_SCOPE_WRITE, put_projection, 0, .is_slow = true},
    {"DELETE", PROJECTIONS "/{id}", TR_SCOPE_WRITE, delete_projection, 0},
    {"GET", SERVED, TR_SCOPE_READ, get_projected, 0},
    {0}};
