/* SPDX-License-Identifier: Apache-2.0 */
/* identities_internal.h - identities as clients write them, and written back in the same way.
 *
 *     form        the graph's calls              the older calls
 *     XID         "BUF9zM"                       the same, or {"xid":"BUF9zM"}
 *     NSID        {"nsid":6,"id":"a@b.c"}        the same; the number may be a text
 *     NAMESPACE   {"ns":"Email","id":"a@b.c"}    {"namespace":"Email","id":"a@b.c"}
 *
 *     identities.c         what the calls share; GET /identity
 *     identity_graph.c     POST /v2/graph
 *     identity_clusters.c  members of clusters, their history, mappings
 *
 * An identity that cannot be understood (no XID, a namespace that the org does not have, no id) is
 * not a bad request: a call for many lists it as unprocessed and answers the others.
 */
#ifndef TR_API_IDENTITIES_INTERNAL_H
#define TR_API_IDENTITIES_INTERNAL_H

#include "api/api_internal.h"
#include "graph/graph.h"

#define TR_IDENTITIES_MAX 1000 /* of one call: AEP's */
enum { TR_ID_TEXT_BYTES = 200 };

typedef enum tr_id_form { TR_ID_XID, TR_ID_NSID, TR_ID_NAMESPACE } tr_id_form;

typedef struct tr_id_asked {
    tr_id_form form;
    const json_t *sent; /* borrowed */
    bool is_good;       /* else it is unprocessed, and the rest is not filled */
    tr_identity identity;
    uint8_t key[16];
} tr_id_asked;

/* One call: the org's namespaces, the sandbox's secret, the graph for reading, the answer. */
typedef struct tr_id_call {
    tr_call *call;
    const char *ns_member;       /* "ns" or "namespace" */
    json_t *list;                /* of namespaces */
    json_t *by_code, *by_number; /* {"email": document}, {"6": document}: of the list */
    uint8_t secret[192];
    bool is_stitched;          /* false: a graph-type that links nothing */
    tr_graph_reading *reading; /* once tr_id_begin was called */
    const tr_clusters *clusters;
    tr_id_asked *asked; /* in the request's arena */
    uint32_t asked_count, asked_cap;
} tr_id_call;

TR_MUST_CHECK tr_code tr_id_open(tr_call *call, const char *ns_member, tr_id_call *out,
                                 tr_err *err);
void tr_id_close(tr_id_call *ids);

/* graph: "pdg" and its like; .len 0: pdg. False: no such graph-type. */
bool tr_id_set_graph(tr_id_call *ids, tr_str graph);
/* Adds what is asked. sent  borrowed as long as *ids is used */
TR_MUST_CHECK tr_code tr_id_ask(tr_id_call *ids, tr_id_form form, const json_t *sent, tr_err *err);
/* The number of a namespace by its code; -1: the org has none. */
int64_t tr_id_number(const tr_id_call *ids, tr_str code);
/* A namespace's document by number or code; NULL: the org has none. Borrowed. */
const json_t *tr_id_namespace(const tr_id_call *ids, tr_str name);

/* An identity in a form; returned. NULL: no memory. */
json_t *tr_id_write(const tr_id_call *ids, tr_id_form form, tr_identity identity);
json_t *tr_id_write_node(const tr_id_call *ids, tr_id_form form, uint32_t node);

/* The cluster of what was asked, members as in clusters.h; 0: it has no links, or is not known. */
uint32_t tr_id_members(const tr_id_call *ids, const tr_id_asked *asked, const uint32_t **out);

/* Makes the answer's entry of one identity; returned in *out, NULL: nothing to tell. */
typedef tr_code (*tr_id_entry)(const tr_id_call *ids, const tr_id_asked *asked, const void *ctx,
                               json_t **out, tr_err *err);
/* Appends "<name>":[entries] of all that are good, in the order asked. *count: how many there are.
 * */
TR_MUST_CHECK tr_code tr_id_put_entries(tr_id_call *ids, const char *name, tr_id_entry make,
                                        const void *ctx, uint32_t *count, tr_err *err);
/* Appends ,"<name>":[what was sent], of those of the form that are not good; both forms of
 * composite identities are one. *count: how many there are; may be NULL. */
TR_MUST_CHECK tr_code tr_id_put_unprocessed(tr_id_call *ids, const char *name, bool is_xid,
                                            uint32_t *count, tr_err *err);

/* {"title":"InvalidInput","status":400,"detail":...} */
TR_MUST_CHECK tr_code tr_id_refuse(tr_call *call, const char *detail, tr_err *err);
/* The same for a namespace and id that cannot be understood; member: that of the namespace. */
TR_MUST_CHECK tr_code tr_id_refuse_pair(tr_call *call, const char *member, const char *name,
                                        const char *id, tr_err *err);
/* What is said of a graph-type that tr_id_set_graph does not know, and of more identities than
 * TR_IDENTITIES_MAX. */
void tr_id_unknown_graph(tr_str graph, char out[TR_ID_TEXT_BYTES]);
const char *tr_id_too_many(tr_id_form form);
/* The headers of an answer of this service. */
TR_MUST_CHECK tr_code tr_id_headers(tr_call *call, const char *content_type, tr_err *err);

#endif
