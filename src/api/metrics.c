/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - counters of requests by endpoint and status, times, jobs and memory, as Prometheus
 * reads them. */
#include "api/core_internal.h"
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>

static const int statuses[] = {200, 201, 202, 204, 206, 207, 304, 400, 401, 403, 404, 405,
                               406, 409, 412, 413, 415, 416, 422, 429, 500, 503, 507};
static const int64_t bounds_us[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                    100000, 250000, 500000, 1000000, 2500000, 10000000};
enum {
    STATUS_COUNT = sizeof statuses / sizeof statuses[0],
    BOUND_COUNT = sizeof bounds_us / sizeof bounds_us[0]
};

typedef struct counters {
    _Atomic uint64_t by_status[STATUS_COUNT + 1]; /* the last: any other */
    _Atomic uint64_t by_time[BOUND_COUNT + 1];    /* not cumulative; the last: slower */
    _Atomic uint64_t us;
} counters;

struct tr_metrics {
    uint32_t count;
    counters *endpoints;
};

tr_code tr_metrics_open(uint32_t endpoints, tr_metrics **out, tr_err *err)
{
    tr_metrics *metrics = tr_alloc_zeroed(1, sizeof *metrics);
    if (metrics != NULL)
        metrics->endpoints = tr_alloc_zeroed((size_t)endpoints + 1, sizeof *metrics->endpoints);
    if (metrics == NULL || metrics->endpoints == NULL) {
        tr_metrics_close(metrics);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for counters");
    }
    metrics->count = endpoints + 1;
    *out = metrics;
    return TR_OK;
}

void tr_metrics_close(tr_metrics *metrics)
{
    if (metrics == NULL)
        return;
    tr_free(metrics->endpoints);
    tr_free(metrics);
}

static void add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static uint64_t read_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void tr_metrics_count(tr_metrics *metrics, uint32_t index, int status, int64_t us)
{
    counters *c = &metrics->endpoints[index < metrics->count ? index : metrics->count - 1];
    size_t s = 0, t = 0;
    while (s < STATUS_COUNT && statuses[s] != status)
        s++;
    while (t < BOUND_COUNT && us > bounds_us[t])
        t++;
    add(&c->by_status[s], 1);
    add(&c->by_time[t], 1);
    add(&c->us, us > 0 ? (uint64_t)us : 0);
}

/* The text ----------------------------------------------------------------------------------- */

static void name_of(const tr_api *api, uint32_t index, char *out, size_t size)
{
    if (index == tr_router_count(api->router)) {
        (void)snprintf(out, size, "method=\"\",path=\"\"");
        return;
    }
    const tr_endpoint *endpoint = tr_router_endpoint(api->router, index);
    (void)snprintf(out, size, "method=\"%s\",path=\"%s\"", endpoint->method, endpoint->path);
}

static tr_code write_requests(const tr_api *api, tr_buf *out, tr_err *err)
{
    char name[300];
    TR_TRY(tr_buf_append(out,
                         tr_str_of("# HELP tributary_http_requests_total Requests answered.\n"
                                   "# TYPE tributary_http_requests_total counter\n"),
                         err));
    for (uint32_t i = 0; i < api->metrics->count; i++)
        for (size_t s = 0; s <= STATUS_COUNT; s++) {
            const uint64_t count = read_of(&api->metrics->endpoints[i].by_status[s]);
            if (count == 0)
                continue;
            name_of(api, i, name, sizeof name);
            TR_TRY(tr_buf_format(out, err, "tributary_http_requests_total{%s,status=\"%d\"} %llu\n",
                                 name, s == STATUS_COUNT ? 0 : statuses[s],
                                 (unsigned long long)count));
        }
    return TR_OK;
}

static tr_code write_histogram(const counters *c, const char *name, tr_buf *out, tr_err *err)
{
    uint64_t sum = 0;
    for (size_t t = 0; t < BOUND_COUNT; t++) {
        sum += read_of(&c->by_time[t]);
        TR_TRY(tr_buf_format(out, err,
                             "tributary_http_request_seconds_bucket{%s,le=\"%g\"} %llu\n", name,
                             (double)bounds_us[t] / 1e6, (unsigned long long)sum));
    }
    sum += read_of(&c->by_time[BOUND_COUNT]);
    return sum == 0 ? TR_OK
                    : tr_buf_format(out, err,
                                    "tributary_http_request_seconds_bucket{%s,le=\"+Inf\"} %llu\n"
                                    "tributary_http_request_seconds_sum{%s} %.6f\n"
                                    "tributary_http_request_seconds_count{%s} %llu\n",
                                    name, (unsigned long long)sum, name,
                                    (double)read_of(&c->us) / 1e6, name, (unsigned long long)sum);
}

static tr_code write_times(const tr_api *api, tr_buf *out, tr_err *err)
{
    char name[300];
    TR_TRY(tr_buf_append(
        out,
        tr_str_of("# HELP tributary_http_request_seconds From the whole request to its answer.\n"
                  "# TYPE tributary_http_request_seconds histogram\n"),
        err));
    for (uint32_t i = 0; i < api->metrics->count; i++) {
        const counters *c = &api->metrics->endpoints[i];
        uint64_t count = 0;
        for (size_t t = 0; t <= BOUND_COUNT; t++)
            count += read_of(&c->by_time[t]);
        name_of(api, i, name, sizeof name);
        if (count > 0)
            TR_TRY(write_histogram(c, name, out, err));
    }
    return TR_OK;
}

static tr_code count_one(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    (void)tenant;
    (void)object;
    (void)err;
    *(uint64_t *)ctx += 1;
    return TR_OK;
}

/* What is under way: jobs that have ended are many, and history. */
static tr_code write_jobs(const tr_api *api, tr_buf *out, tr_err *err)
{
    static const struct {
        const char *kind, *state;
    } wanted[] = {{"export", "NEW"},   {"export", "PROCESSING"}, {"batch", "loading"},
                  {"batch", "loaded"}, {"batch", "processing"}};
    TR_TRY(tr_buf_append(out,
                         tr_str_of("# HELP tributary_jobs Export jobs and batches under way.\n"
                                   "# TYPE tributary_jobs gauge\n"),
                         err));
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        uint64_t count = 0;
        TR_TRY(tr_catalog_scan(api->parts.catalog, wanted[i].kind, wanted[i].state, count_one,
                               &count, err));
        TR_TRY(tr_buf_format(out, err, "tributary_jobs{kind=\"%s\",state=\"%s\"} %llu\n",
                             wanted[i].kind, wanted[i].state, (unsigned long long)count));
    }
    return TR_OK;
}

tr_code tr_metrics_text(tr_api *api, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_format(out, err,
                         "# HELP tributary_info The running version.\n"
                         "# TYPE tributary_info gauge\n"
                         "tributary_info{version=\"" TR_VERSION "\"} 1\n"
                         "# HELP tributary_uptime_seconds Since the start.\n"
                         "# TYPE tributary_uptime_seconds gauge\n"
                         "tributary_uptime_seconds %.3f\n"
                         "# HELP tributary_memory_bytes Allocated by Tributary's own code.\n"
                         "# TYPE tributary_memory_bytes gauge\n"
                         "tributary_memory_bytes %llu\n"
                         "# HELP tributary_memory_peak_bytes The most that was allocated.\n"
                         "# TYPE tributary_memory_peak_bytes gauge\n"
                         "tributary_memory_peak_bytes %llu\n",
                         (double)(tr_time_now_ms() - api->started_ms) / 1e3,
                         (unsigned long long)tr_memory_bytes_now(),
                         (unsigned long long)tr_memory_bytes_peak()));
    TR_TRY(write_jobs(api, out, err));
    TR_TRY(write_requests(api, out, err));
    return write_times(api, out, err);
}
