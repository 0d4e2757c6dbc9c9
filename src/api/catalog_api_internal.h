/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_api_internal.h - what the files of the Catalog API share.
 *
 *     datasets.c         /dataSets: the table of endpoints, reading, writing
 *     dataset_rules.c    what a dataset's document may say, and what the server adds to it
 *     dataset_tags.c     tags; the name of the SQL table
 *     dataset_remove.c   a dataset with all its data
 *     batches.c          /batches, /lastBatches, dataset files
 *     catalog_filter.c   which objects a query means
 *     catalog_list.c     order, page, and the shape of the answers
 *
 * The shape of all answers: an object keyed by id, also for one; writes answer with an array of one
 * reference. Members that begin with "_" are ours and never leave.
 */
#ifndef TR_API_CATALOG_API_INTERNAL_H
#define TR_API_CATALOG_API_INTERNAL_H

#include "api/api_internal.h"
#include "base/limits.h"

#include <regex.h>

#define TR_CATALOG_BASE "/data/foundation/catalog"

/* ---- Filters */

typedef enum tr_filter_op {
    TR_FILTER_HAS,
    TR_FILTER_HAS_NOT,
    TR_FILTER_IS,     /* one of the values */
    TR_FILTER_IS_NOT, /* none of them */
    TR_FILTER_LESS,
    TR_FILTER_LESS_OR_EQUAL,
    TR_FILTER_MORE,
    TR_FILTER_MORE_OR_EQUAL,
    TR_FILTER_FITS, /* the regular expression */
    TR_FILTER_TAG   /* name: the tag's namespace; one value, '*' is a wild card */
} tr_filter_op;

enum { TR_FILTERS_MAX = 32, TR_FILTER_VALUES_MAX = 100 };

typedef struct tr_condition {
    const char *name; /* "id" and "dataSet" are the object's own id and parent */
    tr_filter_op op;
    bool has_wild_name;  /* '*' in the name is a wild card */
    const char **values; /* arena */
    uint32_t value_count;
    regex_t pattern; /* of FITS */
} tr_condition;

typedef struct tr_filter {
    tr_condition conditions[TR_FILTERS_MAX];
    uint32_t count;
} tr_filter;

/* Old or short names of query parameters: {"batch", "id"}. The last one is zeroed. */
typedef struct tr_alias {
    const char *parameter, *member;
} tr_alias;

/* A query parameter or, second, a header of that name; NULL when absent, empty or an unfilled
 * template ("{{limit}}"). */
const char *tr_catalog_parameter(tr_call *call, const char *name);
/* Every filter of the query. On failure nothing is to be freed. */
TR_MUST_CHECK tr_code tr_filter_read(tr_call *call, const tr_alias *aliases, tr_filter *out,
                                     tr_err *err);
void tr_filter_free(tr_filter *filter);
bool tr_filter_matches(const tr_filter *filter, const tr_object *object);
/* Another word for a status that clients ask for; NULL: none. The guide of the life cycle calls a
 * finished batch "active", the catalog "success"; clients look for "failed", batches end in
 * "failure". */
const char *tr_batch_status_synonym(const char *status);
/* <0, 0, >0; numbers by value, texts by bytes, an absent member first. */
int tr_member_compare(const json_t *a, const json_t *b);
/* A member by name; dots step into objects. */
const json_t *tr_member_of(const json_t *doc, const char *name);

/* ---- Lists and answers */

typedef struct tr_catalog_list_of {
    const char *kind;        /* of the catalog */
    const tr_alias *aliases; /* may be NULL */
    const char *parent;      /* only objects of this parent; NULL: any */
} tr_catalog_list_of;

/* start (or offset) and limit of the query. */
TR_MUST_CHECK tr_code tr_catalog_page(tr_call *call, int64_t *start, int64_t *limit, tr_err *err);
/* Answers with the page of objects that the query asks for. */
TR_MUST_CHECK tr_code tr_catalog_reply_list(tr_call *call, const tr_catalog_list_of *of,
                                            tr_err *err);
/* Answers with the objects of "<id>" or "<id>,<id>,...": TR_NOT_FOUND when none is there. */
TR_MUST_CHECK tr_code tr_catalog_reply_ids(tr_call *call, const char *kind, const char *ids,
                                           tr_err *err);
/* What a client sees of a document: a new object without private members. NULL: no memory. */
json_t *tr_catalog_show(const json_t *doc, const char *properties);
/* Sets {"<id>": doc} in an answer. doc: taken, also on failure; NULL: no memory. */
TR_MUST_CHECK tr_code tr_catalog_map_add(json_t *map, const char *id, json_t *doc, tr_err *err);
/* ["@/<type>/<id>"] and the version as entity tag. */
TR_MUST_CHECK tr_code tr_catalog_reply_reference(tr_call *call, int status, const char *type,
                                                 const tr_object *object, tr_err *err);
/* Pragma: validate-only. */
bool tr_catalog_is_dry(tr_call *call);
/* Whether If-Match, when given, names the version of a document. False: 412 was answered. */
bool tr_catalog_may_write(tr_call *call, const json_t *doc);
/* Changes the object that the path names, by the request's body, and answers with its reference.
 * It is read, changed and put with the revision that was read, until no other hand is faster: a few
 * times freely, then once while nobody else may write.
 * kind   of the catalog
 * type   in the reference: "dataSets"
 * apply  changes the object in place */
typedef tr_code (*tr_catalog_apply)(tr_call *call, tr_object *object, const json_t *body,
                                    tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_change(tr_call *call, const char *kind, const char *type,
                                        tr_catalog_apply apply, tr_err *err);
/* The next version: "1.0.3" -> "1.0.4"; and the time and hand of the change. */
TR_MUST_CHECK tr_code tr_catalog_touch(tr_call *call, tr_object *object, tr_err *err);
/* Applies a PATCH: JSON Patch (an array), or members to be replaced; is_deep: merged. Below /tags
 * "replace" of an absent member adds it. *doc is replaced on TR_OK. */
TR_MUST_CHECK tr_code tr_catalog_patch(json_t **doc, const json_t *patch, bool is_deep,
                                       tr_err *err);

/* ---- Datasets */

/* Checks a document and completes it in place.
 * id, before  the stored dataset, whose read-only and private members are kept; NULL: a new one */
TR_MUST_CHECK tr_code tr_dataset_check(tr_call *call, const char *id, json_t *doc,
                                       const json_t *before, tr_err *err);
/* What the server writes into a new one. */
TR_MUST_CHECK tr_code tr_dataset_papers(tr_call *call, const char *id, json_t *doc, tr_err *err);
typedef struct tr_dataset_schema {
    bool is_union;        /* a union: what exports write */
    bool is_union_member; /* its rows may go to Profile */
    bool is_record, is_event;
} tr_dataset_schema;
TR_MUST_CHECK tr_code tr_dataset_check_tags(json_t *doc, const json_t *before,
                                            const tr_dataset_schema *schema, tr_err *err);
/* Takes a name for the dataset's table that nobody else in the sandbox has, and tags the document
 * with it. Inside the transaction that inserts the dataset. */
TR_MUST_CHECK tr_code tr_dataset_take_table(tr_call *call, const char *id, json_t *doc,
                                            tr_err *err);
/* The table that a dataset of that name asks for: of letters, digits and single "_"; it may be
 * empty. */
void tr_dataset_table_name(const char *name, char out[TR_TABLE_NAME_BYTES_MAX + 1]);
/* The dataset, its table, its batches' data; TR_NOT_FOUND. */
TR_MUST_CHECK tr_code tr_dataset_remove(tr_call *call, const char *id, tr_err *err);
/* Answers with the file entries of the batches of a dataset, or of one batch (NULL: any). */
TR_MUST_CHECK tr_code tr_dataset_reply_files(tr_call *call, const char *dataset, const char *batch,
                                             tr_err *err);
/* A kind of the catalog: id the table's name, parent the dataset. */
#define TR_TABLE_KIND "table"
#define TR_TABLE_TAG  "adobe/pqs/table"

#endif
