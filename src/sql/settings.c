/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - SET and RESET: what a client's tool says about the session. Most of it changes
 * nothing here and is only remembered for SHOW; what would have to change something that cannot
 * is refused.
 */
#include "sql/sql_internal.h"

#include <stdio.h>

enum { SETTINGS_MAX = 200, VALUE_BYTES_MAX = 4096 };

/* Drivers keep count of these: a change is told to them. */
static const char *const reported[][2] = {
    {"application_name", "application_name"},
    {"client_encoding", "client_encoding"},
    {"datestyle", "DateStyle"},
    {"intervalstyle", "IntervalStyle"},
    {"timezone", "TimeZone"},
    {"standard_conforming_strings", "standard_conforming_strings"},
};

void tr_sql_put_parameter(tr_sql_connection *c, const char *name, const char *value)
{
    tr_wire_begin(&c->wire, 'S');
    tr_wire_text(&c->wire, name);
    tr_wire_text(&c->wire, value);
    tr_wire_end(&c->wire);
}

static bool is_one_of(tr_str text, const char *const *list)
{
    for (; *list != NULL; list++)
        if (tr_str_equal_folded(text, tr_str_of(*list)))
            return true;
    return false;
}

/* Whether this server is as the value says, or does not mind. */
static tr_code check(tr_sql_connection *c, tr_str name, tr_str value, tr_err *err)
{
    static const char *const encodings[] = {"UTF8", "UTF-8", "UNICODE", "SQL_ASCII", "auto", NULL};
    static const char *const yes[] = {"on", "true", "yes", "1", NULL};
    static const char *const fixed[] = {"server_version",        "server_encoding",
                                        "is_superuser",          "integer_datetimes",
                                        "session_authorization", NULL};
    if (is_one_of(name, fixed))
        return tr_sql_fail(c, "55P02", err, "\"%.*s\" cannot be changed", TR_STR_ARG(name));
    if (tr_str_is(name, "client_encoding") && !is_one_of(value, encodings))
        return tr_sql_fail(c, "22023", err, "client_encoding must be UTF8");
    if (tr_str_is(name, "standard_conforming_strings") && !is_one_of(value, yes))
        return tr_sql_fail(c, "22023", err, "standard_conforming_strings must be on");
    int64_t ms;
    if (tr_sql_is_duration(name) && !tr_sql_read_duration(value, &ms))
        return tr_sql_fail(c, "22023", err, "invalid value for parameter \"%.*s\": \"%.*s\"",
                           TR_STR_ARG(name), TR_STR_ARG(value));
    if (value.len > VALUE_BYTES_MAX || name.len > 128)
        return tr_sql_fail(c, "22023", err, "a setting of more than %d bytes", VALUE_BYTES_MAX);
    return TR_OK;
}

static void report(tr_sql_connection *c, const char *name, const char *value)
{
    for (size_t i = 0; i < sizeof reported / sizeof reported[0]; i++)
        if (strcmp(reported[i][0], name) == 0)
            tr_sql_put_parameter(c, reported[i][1], value);
}

static void forget(tr_sql_connection *c, const char *name)
{
    const bool is_application = strcmp(name, "application_name") == 0;
    (void)json_object_del(c->settings, name);
    if (is_application)
        memcpy(c->application_name, c->first_application_name, sizeof c->application_name);
    report(c, name, is_application ? c->application_name : tr_setting_default(tr_str_of(name)));
}

tr_code tr_sql_set(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    char name[160];
    (void)snprintf(name, sizeof name, "%.*s", (int)(plan->name.len < 150 ? plan->name.len : 150),
                   (const char *)plan->name.at);
    if (!plan->has_value) {
        forget(c, name);
        return TR_OK;
    }
    TR_TRY(check(c, plan->name, plan->sql, err));
    if (json_object_size(c->settings) >= SETTINGS_MAX && json_object_get(c->settings, name) == NULL)
        return tr_sql_fail(c, "53400", err, "more than %d settings", SETTINGS_MAX);
    json_t *value = tr_json_str(plan->sql);
    if (value == NULL || json_object_set_new(c->settings, name, value) != 0)
        return tr_sql_fail(c, "22021", err, "a setting that is not UTF-8");
    if (strcmp(name, "application_name") == 0) {
        (void)snprintf(c->application_name, sizeof c->application_name, "%s",
                       json_string_value(value));
        tr_text_mend(c->application_name);
    }
    report(c, name, json_string_value(value));
    return TR_OK;
}

void tr_sql_reset_settings(tr_sql_connection *c)
{
    const char *name;
    json_t *value;
    void *next;
    json_t *old = json_copy(c->settings);
    json_object_foreach_safe(old, next, name, value) forget(c, name);
    json_decref(old);
}

/* Tools that ask LIMIT 0 for the columns alone; AEP's own clients ask it for all rows. */
bool tr_sql_keeps_limit_zero(const tr_sql_connection *c)
{
    static const char *const tools[] = {"tableau",  "power bi", "powerbi",  "metabase", "dbeaver",
                                        "superset", "looker",   "datagrip", "qlik",     NULL};
    const char *own = json_string_value(json_object_get(c->settings, "limit_zero"));
    if (own != NULL)
        return strcmp(own, "empty") == 0;
    for (const char *const *tool = tools; *tool != NULL; tool++)
        if (strcasestr(c->application_name, *tool) != NULL)
            return true;
    return false;
}
