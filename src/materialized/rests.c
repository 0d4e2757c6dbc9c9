/* SPDX-License-Identifier: Apache-2.0 */
/* rests.c - what could not be made, and when it is tried again; see materialized_internal.h. */
#include "materialized/materialized_internal.h"

#include <stdio.h>
#include <string.h>

#define SECOND_US (INT64_C(1000) * 1000)
#define LEAST_US (SECOND_US / 10)
#define HOUR_US (3600 * SECOND_US)
#define DAY_US (24 * HOUR_US)

enum { REST_TIMES = 8, FEWER_OF = 8 };

static tr_rest *find(tr_rests *rests, const char *name)
{
    for (uint32_t i = 0; i < TR_RESTS_MAX; i++)
        if (strcmp(rests->at[i].name, name) == 0)
            return &rests->at[i];
    return NULL;
}

/* The one of that name, a free one, or the oldest. */
static tr_rest *take(tr_rests *rests, const char *name)
{
    tr_rest *rest = find(rests, name);
    if (rest != NULL)
        return rest;
    rest = find(rests, "");
    if (rest == NULL) {
        rest = &rests->at[rests->oldest];
        rests->oldest = (rests->oldest + 1) % TR_RESTS_MAX;
    }
    *rest = (tr_rest){0};
    (void)snprintf(rest->name, sizeof rest->name, "%s", name);
    return rest;
}

/* A share of the time at most goes into attempts, and ever less of it. */
static int64_t pause_us(uint32_t times, int64_t took_us)
{
    int64_t pause = took_us >= HOUR_US / REST_TIMES ? HOUR_US : took_us * REST_TIMES;
    if (pause < LEAST_US)
        pause = LEAST_US;
    for (uint32_t i = 1; i < times && pause < HOUR_US; i++)
        pause *= 2;
    return pause < HOUR_US ? pause : HOUR_US;
}

void tr_rests_begin(tr_rests *rests, const tr_merged_inputs *of, tr_merged_failure why,
                    int64_t took_us, int64_t now_us)
{
    tr_rest *rest = take(rests, why == TR_MERGED_UNFIT ? of->digest : of->place);
    rest->times = rest->why == why ? rest->times + 1 : 1;
    rest->why = why;
    rest->rows = of->rows;
    rest->bytes = of->bytes;
    rest->until_us = why == TR_MERGED_UNFIT       ? INT64_MAX
                     : why == TR_MERGED_TOO_LARGE ? now_us + DAY_US
                                                  : now_us + pause_us(rest->times, took_us);
}

void tr_rests_end(tr_rests *rests, const tr_merged_inputs *of)
{
    tr_rest *rest = find(rests, of->place);
    if (rest != NULL)
        *rest = (tr_rest){0};
}

static bool is_fewer(uint64_t now, uint64_t before)
{
    return now <= before - before / FEWER_OF && now < before;
}

static bool does_rest(const tr_rest *rest, const tr_merged_inputs *of, int64_t now_us)
{
    const bool is_its = strcmp(rest->name, of->place) == 0 || strcmp(rest->name, of->digest) == 0;
    if (!is_its || now_us >= rest->until_us)
        return false;
    return rest->why != TR_MERGED_TOO_LARGE ||
           !(is_fewer(of->rows, rest->rows) || is_fewer(of->bytes, rest->bytes));
}

bool tr_rests_has(const tr_rests *rests, const tr_merged_inputs *of, int64_t now_us)
{
    for (uint32_t i = 0; i < TR_RESTS_MAX; i++)
        if (does_rest(&rests->at[i], of, now_us))
            return true;
    return false;
}
