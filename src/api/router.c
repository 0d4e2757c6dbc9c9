/* SPDX-License-Identifier: Apache-2.0 */
/* router.c - tables of endpoints compiled into a tree of segments; see core_internal.h.
 *
 *     export -- jobs           POST, GET
 *                 |-- {}       GET, DELETE        one child for any segment
 *     files -- {...}           GET                the rest, one segment or more
 *
 * A search goes down the literal child first, then {}, then {...}, and takes the first end that
 * knows the method. Only when there is none, the methods of all ends make the Allow header.
 */
#include "api/core_internal.h"
#include "base/check.h"

#include <stdio.h>

enum { PATH_DEPTH_MAX = 24, ENDS_MAX = 8, PARAMS_MAX = 8 };

typedef struct node node;
struct node {
    tr_str literal; /* in the table's text */
    node *children; /* literals, a list */
    node *next;     /* sibling */
    node *param;
    node *rest;
    uint32_t ends[ENDS_MAX]; /* endpoints of this path */
    uint32_t end_count;
};

struct tr_router {
    tr_arena arena;
    node *root;
    const tr_endpoint **endpoints;
    uint32_t count;
};

/* Cuts the next non-empty segment of a path. */
static bool next_segment(tr_str *path, tr_str *out)
{
    while (path->len > 0 && path->at[0] == '/')
        *path = tr_str_from(*path, 1);
    const uint8_t *slash = path->len == 0 ? NULL : memchr(path->at, '/', path->len);
    out->at = path->at;
    out->len = slash == NULL ? path->len : (size_t)(slash - path->at);
    *path = tr_str_from(*path, out->len);
    return out->len > 0;
}

static node *child_of(tr_arena *arena, node *parent, tr_str segment)
{
    const bool is_param = segment.at[0] == '{' && segment.at[segment.len - 1] == '}';
    const bool is_rest = is_param && segment.len > 5 &&
                         memcmp(segment.at + segment.len - 4, "...", 3) == 0;
    node **at = is_rest ? &parent->rest : is_param ? &parent->param : &parent->children;
    while (!is_param && *at != NULL && !tr_str_equal((*at)->literal, segment))
        at = &(*at)->next;
    if (*at == NULL) {
        *at = tr_arena_array(arena, 1, sizeof **at);
        if (*at != NULL)
            (*at)->literal = segment;
    }
    return *at;
}

static tr_code add_endpoint(tr_router *router, uint32_t index, tr_err *err)
{
    const tr_endpoint *endpoint = router->endpoints[index];
    tr_str path = tr_str_of(endpoint->path), segment;
    node *at = router->root;
    while (at != NULL && next_segment(&path, &segment))
        at = child_of(&router->arena, at, segment);
    if (at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the router");
    for (uint32_t i = 0; i < at->end_count; i++)
        if (strcmp(router->endpoints[at->ends[i]]->method, endpoint->method) == 0)
            return TR_FAIL(err, TR_CONFLICT, "%s %s is there twice", endpoint->method,
                           endpoint->path);
    if (at->end_count == ENDS_MAX)
        return TR_FAIL(err, TR_LIMIT, "%s has too many methods", endpoint->path);
    at->ends[at->end_count++] = index;
    return TR_OK;
}

static tr_code build(tr_router *router, const tr_endpoint *const *tables, tr_err *err)
{
    uint32_t most = 0;
    for (size_t t = 0; tables[t] != NULL; t++)
        for (const tr_endpoint *e = tables[t]; e->method != NULL; e++)
            most++;
    router->endpoints =
        tr_arena_array(&router->arena, most == 0 ? 1 : most, sizeof *router->endpoints);
    router->root = tr_arena_array(&router->arena, 1, sizeof *router->root);
    if (router->endpoints == NULL || router->root == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the router");
    for (size_t t = 0; tables[t] != NULL; t++)
        for (const tr_endpoint *e = tables[t]; e->method != NULL; e++) {
            router->endpoints[router->count] = e;
            TR_TRY(add_endpoint(router, router->count++, err));
        }
    return TR_OK;
}

tr_code tr_router_open(const tr_endpoint *const *tables, tr_router **out, tr_err *err)
{
    tr_router *router = tr_alloc_zeroed(1, sizeof *router);
    if (router == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the router");
    const tr_code code = build(router, tables, err);
    if (code == TR_OK)
        *out = router;
    else
        tr_router_close(router);
    return code;
}

void tr_router_close(tr_router *router)
{
    if (router == NULL)
        return;
    tr_arena_free(&router->arena);
    tr_free(router);
}

uint32_t tr_router_count(const tr_router *router)
{
    return router->count;
}

const tr_endpoint *tr_router_endpoint(const tr_router *router, uint32_t index)
{
    TR_ASSERT(index < router->count);
    return router->endpoints[index];
}

/* One search: where it is, and what it has found. */
typedef struct search {
    const tr_router *router;
    const tr_http_request *request;
    const char *method;
    tr_route *route;
} search;

/* "a/b/c" of the segments from `from` on; one segment needs no copy. */
static tr_str join_rest(const tr_http_request *request, uint32_t from)
{
    size_t len = 0;
    if (request->segment_count - from == 1)
        return request->segments[from];
    for (uint32_t i = from; i < request->segment_count; i++)
        len += request->segments[i].len + 1;
    uint8_t *text = tr_arena_alloc(request->arena, len);
    if (text == NULL)
        return (tr_str){0};
    len = 0;
    for (uint32_t i = from; i < request->segment_count; i++) {
        if (i > from)
            text[len++] = '/';
        if (request->segments[i].len > 0)
            memcpy(text + len, request->segments[i].at, request->segments[i].len);
        len += request->segments[i].len;
    }
    return (tr_str){text, len};
}

static void add_allowed(tr_route *route, const char *method)
{
    const size_t len = strlen(route->allow);
    const char *found = strstr(route->allow, method);
    if (found == NULL)
        (void)snprintf(route->allow + len, sizeof route->allow - len, "%s%s",
                       len == 0 ? "" : ", ", method);
}

/* Whether the path that ends at `at` knows the method; its others are remembered. */
static bool ends_here(search *s, const node *at, uint32_t param_count)
{
    for (uint32_t i = 0; i < at->end_count; i++) {
        const tr_endpoint *endpoint = s->router->endpoints[at->ends[i]];
        if (strcmp(endpoint->method, s->method) == 0) {
            s->route->endpoint = endpoint;
            s->route->index = at->ends[i];
            s->route->param_count = param_count;
            return true;
        }
        add_allowed(s->route, endpoint->method);
    }
    return false;
}

/* Recursion ends with the path: a tree is as deep as the longest path of the tables. */
static bool descend(search *s, const node *at, uint32_t depth, uint32_t param_count)
{
    const tr_http_request *request = s->request;
    if (depth == request->segment_count)
        return ends_here(s, at, param_count);
    const tr_str segment = request->segments[depth];
    for (const node *child = at->children; child != NULL; child = child->next)
        if (tr_str_equal(child->literal, segment)) {
            if (descend(s, child, depth + 1, param_count))
                return true;
            break;
        }
    if (param_count == PARAMS_MAX)
        return false;
    if (at->param != NULL) {
        s->route->params[param_count] = segment;
        if (descend(s, at->param, depth + 1, param_count + 1))
            return true;
    }
    if (at->rest == NULL || !ends_here(s, at->rest, param_count + 1))
        return false;
    s->route->params[param_count] = join_rest(request, depth);
    return true;
}

void tr_router_find(const tr_router *router, const tr_http_request *request, tr_route *out)
{
    search s = {router, request, request->method, out};
    memset(out, 0, sizeof *out);
    if (request->segment_count > PATH_DEPTH_MAX * 64)
        return;
    if (descend(&s, router->root, 0, 0) || strcmp(request->method, "HEAD") != 0)
        return;
    s.method = "GET";
    (void)descend(&s, router->root, 0, 0);
}
