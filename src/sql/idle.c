/* SPDX-License-Identifier: Apache-2.0 */
/* idle.c - a session that says nothing: how long it may, and what it keeps meanwhile.
 *
 *     the server's idle_s          7,200 s as in AEP; nobody can set more
 *     the session's own SET        PostgreSQL's idle_session_timeout outside of a transaction,
 *                                  idle_in_transaction_session_timeout inside; 0: the server's
 *     an open cursor or portal     keeps its worker and files until its statement's deadline; then
 *                                  they go, and the next FETCH is told
 *
 * A client that is no more is found by TCP's keepalives (listener.c).
 */
#include "base/clock.h"
#include "sql/sql_internal.h"

static const char idle_session[] = "idle_session_timeout";
static const char idle_transaction[] = "idle_in_transaction_session_timeout";

bool tr_sql_read_duration(tr_str text, int64_t *ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = 0;
    int64_t number;
    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    tr_str unit = tr_str_from(text, digits);
    while (unit.len > 0 && unit.at[0] == ' ')
        unit = tr_str_from(unit, 1);
    if (!tr_str_to_i64((tr_str){text.at, digits}, &number))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (tr_str_is(unit, units[i].name) && number <= INT32_MAX / units[i].ms) {
            *ms = number * units[i].ms;
            return true;
        }
    return false;
}

bool tr_sql_is_duration(tr_str name)
{
    return tr_str_is(name, idle_session) || tr_str_is(name, idle_transaction);
}

/* How long it may say nothing; 0: for ever. */
static int64_t limit_ms(const tr_sql_connection *c)
{
    const char *name = c->state == 'I' ? idle_session : idle_transaction;
    const char *own = json_string_value(json_object_get(c->settings, name));
    const int64_t most_ms = (int64_t)c->sql->options.idle_s * 1000;
    int64_t ms = 0;
    if (own != NULL && !tr_sql_read_duration(tr_str_of(own), &ms))
        ms = 0;
    return ms == 0 || (most_ms > 0 && most_ms < ms) ? most_ms : ms;
}

static void end_session(tr_sql_connection *c)
{
    tr_err err = {0};
    if (c->state == 'I')
        tr_sql_put_error(c, "FATAL", "57P05", "terminating connection due to idle-session timeout");
    else
        tr_sql_put_error(c, "FATAL", "25P03",
                         "terminating connection due to idle-in-transaction timeout");
    (void)!tr_wire_flush(&c->wire, &err);
}

/* From now to the earlier of two moments, 0 being none; -1: there is none. */
static int wait_ms(int64_t now_us, int64_t a_us, int64_t b_us)
{
    const int64_t end_us = a_us == 0 || (b_us != 0 && b_us < a_us) ? b_us : a_us;
    const int64_t left_ms = end_us > now_us ? (end_us - now_us) / 1000 + 1 : 0;
    return end_us == 0 ? -1 : (int)(left_ms > INT32_MAX ? INT32_MAX : left_ms);
}

bool tr_sql_await_message(tr_sql_connection *c)
{
    const int64_t most_ms = limit_ms(c), start_us = tr_time_monotonic_us();
    const int64_t end_us = most_ms == 0 ? 0 : start_us + most_ms * 1000;
    for (int64_t now_us = start_us;; now_us = tr_time_monotonic_us()) {
        tr_err err = {0};
        if (end_us != 0 && now_us >= end_us && !tr_wire_has_input(&c->wire)) {
            end_session(c);
            return false;
        }
        const int64_t late_us = tr_sql_expire_portals(c, now_us);
        const tr_code code = tr_wire_wait(&c->wire, wait_ms(now_us, end_us, late_us), &err);
        if (code != TR_BUSY)
            return code == TR_OK;
    }
}
