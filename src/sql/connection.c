/* SPDX-License-Identifier: Apache-2.0 */
/* connection.c - one client, from its first packet to its last: start-up, password, messages.
 *
 * Start-up has START_S seconds and small packets. Until the password is right nothing of the
 * sandbox is touched, and a wrong one is told as late and in the same words as a wrong user.
 */
#include "base/limits.h"
#include "base/log.h"
#include "sql/block.h"
#include "sql/rewrite_internal.h"
#include "sql/sql_internal.h"
#include "sql/tables.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum {
    START_S = 15,
    START_BYTES_MAX = 10 * 1024,
    START_PACKETS_MAX = 4, /* TLS?, GSS?, start-up */
    PASSWORD_BYTES_MAX = 64 * 1024,
    MESSAGE_BYTES_MAX = 16 * 1024 * 1024,
    SKIP_BYTES_MAX = 1 << 30, /* of a message that is too long, to be able to say so */
    CODE_TLS = 80877103,
    CODE_GSS = 80877104,
    CODE_CANCEL = 80877102
};

tr_code tr_sql_fail(tr_sql_connection *c, const char *state, tr_err *err, const char *format, ...)
{
    char text[sizeof err->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(c->error_state, sizeof c->error_state, "%s", state);
    return TR_FAIL(err, TR_INVALID, "%s", text);
}

static void put_report(tr_sql_connection *c, char type, const char *severity, const char *state,
                       const char *text)
{
    const char *const fields[][2] = {{"S", severity}, {"V", severity}, {"C", state}, {"M", text}};
    tr_wire_begin(&c->wire, type);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        tr_wire_u8(&c->wire, (uint8_t)fields[i][0][0]);
        tr_wire_text(&c->wire, fields[i][1]);
    }
    tr_wire_u8(&c->wire, 0);
    tr_wire_end(&c->wire);
}

void tr_sql_put_error(tr_sql_connection *c, const char *severity, const char *state,
                      const char *text)
{
    put_report(c, 'E', severity, state, text);
}

void tr_sql_put_notice(tr_sql_connection *c, const char *state, const char *text)
{
    put_report(c, 'N', "WARNING", state, text);
}

static bool refuse(tr_sql_connection *c, const char *state, const char *text)
{
    tr_err err = {0};
    tr_sql_put_error(c, "FATAL", state, text);
    (void)!tr_wire_flush(&c->wire, &err);
    return false;
}

/* Start-up ------------------------------------------------------------------------------------ */

static bool start_tls(tr_sql_connection *c)
{
    tr_err err = {0};
    const bool has_tls = c->sql->tls != NULL;
    if (tr_wire_has_input(&c->wire)) /* sent before it was asked for: injected by somebody */
        return false;
    tr_wire_u8(&c->wire, has_tls ? 'S' : 'N');
    if (tr_wire_flush(&c->wire, &err) != TR_OK)
        return false;
    if (!has_tls)
        return true;
    c->wire.tls = SSL_new(c->sql->tls);
    if (c->wire.tls == NULL || SSL_set_fd(c->wire.tls, c->wire.fd) != 1)
        return false;
    SSL_set_accept_state(c->wire.tls); /* the handshake is part of the first read */
    return true;
}

static bool take_int(tr_sql_connection *c, uint32_t *out)
{
    tr_str bytes;
    tr_err err = {0};
    if (tr_wire_take(&c->wire, 4, START_S * 1000, &bytes, &err) != TR_OK)
        return false;
    tr_body body = {.rest = bytes};
    *out = tr_body_u32(&body);
    return true;
}

static void take_name(const char *value, char *to, size_t size)
{
    (void)snprintf(to, size, "%.*s", (int)(size - 1), value);
    tr_text_mend(to);
}

/* user, database, ...: "" where they are not given. */
static bool read_names(tr_sql_connection *c, tr_body *body, char database[128])
{
    while (!body->is_bad && body->rest.len > 1) {
        const char *key = tr_body_text(body), *value = tr_body_text(body);
        if (strcmp(key, "user") == 0)
            take_name(value, c->user, sizeof c->user);
        else if (strcmp(key, "database") == 0)
            take_name(value, database, 128);
        else if (strcmp(key, "application_name") == 0)
            take_name(value, c->application_name, sizeof c->application_name);
        else if (strcmp(key, "client_encoding") == 0 &&
                 !tr_str_equal_folded(tr_str_of(value), tr_str_of("UTF8")) &&
                 !tr_str_equal_folded(tr_str_of(value), tr_str_of("UTF-8")) &&
                 !tr_str_equal_folded(tr_str_of(value), tr_str_of("auto")) &&
                 !tr_str_equal_folded(tr_str_of(value), tr_str_of("SQL_ASCII")))
            return refuse(c, "22023", "client_encoding must be UTF8");
        else if (strcmp(key, "replication") == 0 && strcmp(value, "false") != 0)
            return refuse(c, "0A000", "there is no replication here");
    }
    return !body->is_bad || refuse(c, "08P01", "the start-up packet is not well formed");
}

/* The packet's own code; false: the connection is over. */
static bool read_start(tr_sql_connection *c, uint32_t *code, char database[128])
{
    uint32_t len;
    tr_str bytes;
    tr_err err = {0};
    if (!take_int(c, &len))
        return false;
    if (len < 8 || len > START_BYTES_MAX)
        return refuse(c, "08P01", "this port speaks the PostgreSQL protocol");
    if (tr_wire_take(&c->wire, len - 4, START_S * 1000, &bytes, &err) != TR_OK)
        return false;
    tr_body body = {.rest = bytes};
    *code = tr_body_u32(&body);
    if (*code == CODE_CANCEL) {
        const uint32_t number = tr_body_u32(&body), secret = tr_body_u32(&body);
        if (!body.is_bad)
            tr_sql_cancel(c->sql, number, secret);
        return false;
    }
    if (*code == CODE_TLS || *code == CODE_GSS)
        return len == 8;
    if (*code >> 16 != 3)
        return refuse(c, "08P01", "only version 3 of the PostgreSQL protocol is spoken here");
    return read_names(c, &body, database);
}

static bool start_up(tr_sql_connection *c, char database[128])
{
    uint32_t code = 0;
    for (int i = 0; i < START_PACKETS_MAX; i++) {
        tr_err err = {0};
        if (!read_start(c, &code, database))
            return false;
        if (code == CODE_TLS && (c->wire.tls != NULL || !start_tls(c)))
            return false;
        if (code == CODE_GSS) {
            tr_wire_u8(&c->wire, 'N');
            if (tr_wire_flush(&c->wire, &err) != TR_OK)
                return false;
        }
        if (code >> 16 != 3)
            continue;
        if ((code & 0xffff) != 0) { /* newer: we speak 3.0 */
            tr_wire_begin(&c->wire, 'v');
            tr_wire_u32(&c->wire, 0);
            tr_wire_u32(&c->wire, 0);
            tr_wire_end(&c->wire);
        }
        return true;
    }
    return false;
}

/* "<sandbox>:all", "<sandbox>:all?FLATTEN"; a bare name is a sandbox, and "all" or the user's own
 * name is prod. In place of all: a table, a view or a dataset's id, which then must be there. */
static bool read_database(tr_sql_connection *c, char database[128], char sandbox[128])
{
    if (!tr_tables_option(database, &c->is_flat))
        return refuse(c, "42P12", "behind a ? the database's name has FLATTEN, or nothing");
    if (c->is_flat)
        *strchr(database, '?') = '\0';
    char *colon = strchr(database, ':');
    const char *rest = colon == NULL ? "all" : colon + 1;
    if (colon != NULL)
        *colon = '\0';
    const bool is_bare = colon == NULL && (database[0] == '\0' || strcmp(database, "all") == 0 ||
                                           strcmp(database, c->user) == 0);
    (void)snprintf(sandbox, 128, "%s", is_bare ? "prod" : database);
    (void)snprintf(c->database, sizeof c->database, "%.79s", rest);
    return true;
}

/* Everything of the sandbox is there whatever is named. */
static bool check_database(tr_sql_connection *c, tr_err *err)
{
    bool has = strcmp(c->database, "all") == 0;
    if (!has && tr_tables_has(c->sql->options.catalog, &c->person.tenant, c->database, &has,
                              err) != TR_OK)
        return refuse(c, "58000", "the server cannot look for the database now");
    return has || refuse(c, "42P12",
                         "the database must be <sandbox>:all, or in place of all a table, a view "
                         "or a dataset's id");
}

/* The body of the next message, which must be a 'p'; false: the connection is over. */
static bool take_password(tr_sql_connection *c, tr_str *out)
{
    tr_str head;
    tr_err err = {0};
    if (tr_wire_flush(&c->wire, &err) != TR_OK ||
        tr_wire_take(&c->wire, 5, START_S * 1000, &head, &err) != TR_OK)
        return false;
    const bool is_password = head.at[0] == 'p';
    tr_body length = {.rest = tr_str_from(head, 1)};
    const uint32_t len = tr_body_u32(&length);
    if (!is_password || len < 5 || len > PASSWORD_BYTES_MAX)
        return refuse(c, "08P01", "expected a password");
    return tr_wire_take(&c->wire, len - 4, START_S * 1000, out, &err) == TR_OK;
}

static void ask(tr_sql_connection *c, uint32_t how, const char *data, bool has_end)
{
    tr_wire_begin(&c->wire, 'R');
    tr_wire_u32(&c->wire, how);
    tr_wire_bytes(&c->wire, tr_str_of(data));
    for (int i = 0; i < 2 * has_end; i++)
        tr_wire_u8(&c->wire, 0);
    tr_wire_end(&c->wire);
}

/* What a check of who it is came to. */
static bool judge(tr_sql_connection *c, tr_code code, const tr_err *err)
{
    if (code == TR_NOT_FOUND)
        return refuse(c, "3D000", err->text);
    if (code == TR_UNAUTHORIZED || code == TR_DENIED) {
        tr_log(TR_LOG_INFO, "sql", "sign_in_refused", "reason=\"%s\"", err->text);
        return refuse(c, "28P01", "the password is wrong: it is an access token of this org, or "
                                  "client_id:client_secret; the user is the org's id, or a client "
                                  "id, whose password is its client_secret");
    }
    if (code == TR_INVALID)
        return refuse(c, "08P01", err->text);
    return code == TR_OK || refuse(c, "58000", "the server cannot check the password now");
}

/* R 10, 11, 12: the client proves that it knows its secret. */
static bool admit_by_proof(tr_sql_connection *c, tr_scram *scram, const char *sandbox)
{
    tr_str message;
    tr_err err = {0};
    char answer[300];
    ask(c, 10, "SCRAM-SHA-256", true);
    if (!take_password(c, &message))
        return false;
    tr_body first = {.rest = message};
    const char *mechanism = tr_body_text(&first);
    const uint32_t len = tr_body_u32(&first);
    if (first.is_bad || strcmp(mechanism, "SCRAM-SHA-256") != 0 || len != first.rest.len)
        return refuse(c, "08P01", "expected the first message of SCRAM-SHA-256");
    tr_code code = tr_scram_begin(scram, first.rest, answer, &err);
    if (code != TR_OK)
        return judge(c, code, &err);
    ask(c, 11, answer, false);
    if (!take_password(c, &message))
        return false;
    code = tr_scram_end(scram, message, answer, &err);
    const tr_sql_guard *guard = &c->sql->options.guard;
    if (code == TR_OK)
        code = guard->admit_client(guard->ctx, c->user, sandbox, &c->person, &err);
    if (code == TR_OK)
        ask(c, 12, answer, false);
    return judge(c, code, &err);
}

static bool admit_by_password(tr_sql_connection *c, const char *sandbox)
{
    tr_str body;
    tr_err err = {0};
    const tr_sql_guard *guard = &c->sql->options.guard;
    ask(c, 3, "", false);
    if (!take_password(c, &body))
        return false;
    const tr_str password = {body.at, strnlen((const char *)body.at, body.len)};
    const tr_code code = guard->admit(guard->ctx, c->user, sandbox, password, &c->person, &err);
    explicit_bzero((void *)(uintptr_t)body.at, body.len);
    return judge(c, code, &err);
}

/* Who it is, and with it the tenant. A client id is asked for a proof, unless nothing was kept that
 * one could be checked by; everybody else, for a password. */
static bool admit(tr_sql_connection *c, const char *sandbox)
{
    tr_scram scram = {0};
    tr_err err = {0};
    const tr_sql_guard *guard = &c->sql->options.guard;
    if (c->sql->tls != NULL && c->wire.tls == NULL && !c->is_local)
        return refuse(c, "28000", "a password must come over TLS: sslmode=require");
    if (guard->find_verifier == NULL || !tr_is_hex(tr_str_of(c->user), 32))
        return admit_by_password(c, sandbox);
    const tr_code code = guard->find_verifier(guard->ctx, c->user, &scram.verifier, &err);
    if (code == TR_SEMANTIC)
        return admit_by_password(c, sandbox);
    if (code == TR_NOT_FOUND)
        tr_scram_pretend(c->user, &scram.verifier);
    else if (code != TR_OK)
        return judge(c, TR_IO, &err);
    return admit_by_proof(c, &scram, sandbox);
}

tr_code tr_sql_admit_again(tr_sql_connection *c, tr_err *err)
{
    tr_err why = {0};
    char sandbox[sizeof c->person.tenant.sandbox];
    const tr_sql_guard *guard = &c->sql->options.guard;
    if (guard->admit_client == NULL)
        return TR_OK;
    const tr_sql_person before = c->person;
    (void)snprintf(sandbox, sizeof sandbox, "%s", before.tenant.sandbox);
    const tr_code code =
        guard->admit_client(guard->ctx, before.client_id, sandbox, &c->person, &why);
    if (code == TR_OK)
        return TR_OK;
    c->person = before;
    if (code == TR_UNAUTHORIZED || code == TR_DENIED || code == TR_NOT_FOUND)
        return tr_sql_fail(c, "28000", err, "this client may not use the sandbox any more");
    return tr_sql_fail(c, "58000", err, "the server cannot check the client's rights now");
}

static void put_ready(tr_sql_connection *c)
{
    tr_wire_begin(&c->wire, 'Z');
    tr_wire_u8(&c->wire, (uint8_t)c->state);
    tr_wire_end(&c->wire);
}

static void welcome(tr_sql_connection *c)
{
    static const char *const parameters[][2] = {
        {"server_version", TR_SQL_SERVER_VERSION}, {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},               {"DateStyle", "ISO, MDY"},
        {"IntervalStyle", "postgres"},             {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},     {"TimeZone", "UTC"},
        {"is_superuser", "off"},
    };
    tr_wire_begin(&c->wire, 'R');
    tr_wire_u32(&c->wire, 0);
    tr_wire_end(&c->wire);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++)
        tr_sql_put_parameter(c, parameters[i][0], parameters[i][1]);
    tr_sql_put_parameter(c, "application_name", c->application_name);
    tr_sql_put_parameter(c, "session_authorization", c->user);
    tr_wire_begin(&c->wire, 'K');
    tr_wire_u32(&c->wire, c->number);
    tr_wire_u32(&c->wire, c->secret);
    tr_wire_end(&c->wire);
    c->state = 'I';
    put_ready(c);
}

/* Statements ---------------------------------------------------------------------------------- */

tr_code tr_sql_plan(tr_sql_connection *c, tr_str sql, tr_arena *arena, tr_plan *out, tr_err *err)
{
    const char *state = "58000";
    tr_err why = {0};
    const tr_plan_session session = {.user = c->user,
                                     .database = c->database,
                                     .application_name = c->application_name,
                                     .settings = c->settings,
                                     .temporary = c->temporary,
                                     .keeps_limit_zero = tr_sql_keeps_limit_zero(c)};
    if (sql.len > TR_SQL_BYTES_MAX)
        return tr_sql_fail(c, "54000", err, "a statement of %zu bytes; the limit is %d", sql.len,
                           TR_SQL_BYTES_MAX);
    if (tr_variables_put(sql, c->variables, arena, &sql, &state, &why) != TR_OK)
        return tr_sql_fail(c, state, err, "%s", why.text);
    if (tr_translate(sql, &session, arena, out, &state, &why) != TR_OK)
        return tr_sql_fail(c, state, err, "%s", why.text);
    if (out->kind == TR_PLAN_EXECUTE)
        TR_TRY(tr_sql_resolve_execute(c, arena, out, err));
    const bool may_end = out->effect == TR_EFFECT_COMMIT || out->effect == TR_EFFECT_ROLLBACK ||
                         (out->tag != NULL && strcmp(out->tag, "ROLLBACK") == 0);
    if (c->state == 'E' && out->kind != TR_PLAN_EMPTY && !may_end)
        return tr_sql_fail(c, "25P02", err,
                           "the transaction has failed: nothing but ROLLBACK can be done");
    return TR_OK;
}

static void discard(tr_sql_connection *c)
{
    tr_sql_drop_portals(c, TR_PORTALS_ALL);
    tr_sql_drop_statements(c, (tr_str){0});
    tr_sql_reset_settings(c);
    (void)json_object_clear(c->variables);
    tr_sql_drop_temporary(c);
}

tr_code tr_sql_take_effect(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    switch (plan->effect) {
    case TR_EFFECT_BEGIN:
        c->state = 'T';
        break;
    case TR_EFFECT_COMMIT:
    case TR_EFFECT_ROLLBACK:
        tr_sql_drop_portals(c, plan->effect == TR_EFFECT_COMMIT && c->state != 'E'
                                   ? TR_PORTALS_NOT_HELD : TR_PORTALS_OF_FAILURE);
        c->state = 'I';
        break;
    case TR_EFFECT_DEALLOCATE:
        tr_sql_drop_statements(c, plan->name);
        break;
    case TR_EFFECT_DISCARD:
        discard(c);
        break;
    case TR_EFFECT_SET:
        return tr_sql_set(c, plan, err);
    case TR_EFFECT_DISCARD_TEMP:
        tr_sql_drop_temporary(c);
        break;
    case TR_EFFECT_RESET_ALL:
        tr_sql_reset_settings(c);
        break;
    case TR_EFFECT_SET_VARIABLE:
        return tr_sql_set_variable(c, plan, err);
    case TR_EFFECT_PREPARE:
        return tr_sql_prepare_named(c, plan, err);
    case TR_EFFECT_DECLARE:
        return tr_sql_declare(c, plan, err);
    case TR_EFFECT_CLOSE:
        return tr_sql_close_cursor(c, plan->name, err);
    case TR_EFFECT_NONE:
        break;
    }
    return TR_OK;
}

void tr_sql_put_complete(tr_sql_connection *c, const tr_plan *plan, uint64_t rows)
{
    char tag[64];
    const bool has_rows = plan->kind == TR_PLAN_COPY || plan->kind == TR_PLAN_FETCH ||
                          strcmp(plan->tag, "SELECT") == 0 || strcmp(plan->tag, "INSERT 0") == 0;
    const bool is_failed = c->state == 'E' && plan->effect == TR_EFFECT_COMMIT;
    if (has_rows)
        (void)snprintf(tag, sizeof tag, "%s %llu", plan->tag, (unsigned long long)rows);
    else
        (void)snprintf(tag, sizeof tag, "%s", is_failed ? "ROLLBACK" : plan->tag);
    tr_wire_begin(&c->wire, 'C');
    tr_wire_text(&c->wire, tag);
    tr_wire_end(&c->wire);
}

/* The tag tells of the state before it: COMMIT of a failed transaction is a ROLLBACK. */
tr_code tr_sql_run_tag(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    const bool is_end = plan->effect == TR_EFFECT_COMMIT || plan->effect == TR_EFFECT_ROLLBACK;
    if (is_end)
        tr_sql_put_complete(c, plan, 0);
    TR_TRY(tr_sql_take_effect(c, plan, err));
    if (!is_end)
        tr_sql_put_complete(c, plan, 0);
    return TR_OK;
}

static tr_code run_one(tr_sql_connection *c, tr_str sql, tr_arena *arena, tr_err *err)
{
    tr_plan plan;
    tr_sql_run run;
    TR_TRY(tr_sql_plan(c, sql, arena, &plan, err));
    if (plan.kind == TR_PLAN_EMPTY)
        return TR_OK;
    if (plan.kind == TR_PLAN_TAG)
        return tr_sql_run_tag(c, &plan, err);
    if (plan.kind == TR_PLAN_FETCH) {
        uint64_t rows = 0;
        TR_TRY(tr_sql_fetch(c, &plan, NULL, true, &rows, err));
        tr_sql_put_complete(c, &plan, rows);
        return TR_OK;
    }
    if (plan.kind == TR_PLAN_WRITE) {
        uint64_t rows = 0;
        TR_TRY(tr_sql_write(c, plan.sql, &rows, err));
        tr_sql_put_complete(c, &plan, rows);
        return TR_OK;
    }
    if (plan.kind == TR_PLAN_BLOCK)
        return tr_sql_run_block(c, &plan, true, err);
    TR_TRY(tr_sql_run_begin(c, &plan, plan.sql, NULL, &run, err));
    tr_code code;
    if (plan.kind == TR_PLAN_COPY) {
        code = tr_sql_run_copy(c, &plan, &run, err);
    } else {
        tr_sql_put_columns(c, run.columns, NULL);
        code = tr_sql_run_send(c, &run, 0, err);
    }
    if (code == TR_OK)
        tr_sql_put_complete(c, &plan, run.row_count);
    tr_sql_run_end(c, &run);
    return code;
}

/* Reports what failed; the connection goes on. */
static void fail_statement(tr_sql_connection *c, tr_code code, const tr_err *err)
{
    tr_sql_put_error(c, "ERROR", code == TR_INVALID ? c->error_state : "58000", err->text);
    if (c->state == 'T')
        c->state = 'E';
}

static void simple_query(tr_sql_connection *c, tr_body *body)
{
    tr_str script = tr_str_of(tr_body_text(body));
    tr_arena arena = {0};
    tr_err err = {0};
    tr_code code = TR_OK;
    bool is_empty = true;
    atomic_store(&c->is_cancelled, false);
    while (code == TR_OK && script.len > 0) {
        size_t next;
        const tr_str sql = tr_lex_first(script, &next);
        script = tr_str_from(script, next);
        tr_arena_reset(&arena);
        c->is_script = script.len > 0;
        const size_t before = c->wire.out.len;
        code = run_one(c, sql, &arena, &err);
        is_empty = is_empty && code == TR_OK && c->wire.out.len == before;
    }
    if (code == TR_OK && is_empty) {
        tr_wire_begin(&c->wire, 'I');
        tr_wire_end(&c->wire);
    }
    c->is_script = false;
    if (c->state == 'I')
        tr_sql_drop_portals(c, TR_PORTALS_NOT_HELD);
    if (code != TR_OK)
        fail_statement(c, code, &err);
    tr_arena_free(&arena);
    put_ready(c);
}

/* Messages ------------------------------------------------------------------------------------ */

static tr_code extended(tr_sql_connection *c, char type, tr_body *body, tr_err *err)
{
    switch (type) {
    case 'P':
        return tr_sql_parse(c, body, err);
    case 'B':
        return tr_sql_bind(c, body, err);
    case 'D':
        return tr_sql_describe(c, body, err);
    case 'E':
        return tr_sql_execute(c, body, err);
    case 'C':
        return tr_sql_close_named(c, body, err);
    default:
        return tr_sql_fail(c, "08P01", err, "there is no message of type %d here", type);
    }
}

/* False: the connection is over. */
static bool obey(tr_sql_connection *c, char type, tr_body *body)
{
    tr_err err = {0};
    tr_code code = TR_OK;
    switch (type) {
    case 'X':
        return false;
    case 'Q':
        c->is_skipping = false;
        simple_query(c, body);
        return tr_wire_flush(&c->wire, &err) == TR_OK;
    case 'S':
        c->is_skipping = false;
        if (c->state == 'I')
            tr_sql_drop_portals(c, TR_PORTALS_NOT_HELD);
        put_ready(c);
        return tr_wire_flush(&c->wire, &err) == TR_OK;
    case 'H':
        return tr_wire_flush(&c->wire, &err) == TR_OK;
    case 'd': /* of a COPY that is none: to be ignored */
    case 'c':
    case 'f':
        return true;
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
        break;
    case 'F':
        code = tr_sql_fail(c, "0A000", &err, "function calls are not there: use SELECT");
        break;
    default:
        return refuse(c, "08P01", "a message of an unknown type");
    }
    if (c->is_skipping)
        return true;
    if (code == TR_OK)
        code = extended(c, type, body, &err);
    if (code == TR_OK)
        return tr_wire_relieve(&c->wire, &err) == TR_OK;
    fail_statement(c, code, &err);
    c->is_skipping = true;
    return tr_wire_flush(&c->wire, &err) == TR_OK;
}

static bool skip_body(tr_sql_connection *c, char type, uint32_t len)
{
    tr_err err = {0};
    char text[100];
    if (len > SKIP_BYTES_MAX || type == 'p')
        return refuse(c, "08P01", "a message that is too long");
    for (uint32_t left = len; left > 0;) {
        tr_str part;
        const uint32_t some = left < 64 * 1024 ? left : 64 * 1024;
        if (tr_wire_take(&c->wire, some, START_S * 1000, &part, &err) != TR_OK)
            return false;
        left -= some;
    }
    (void)snprintf(text, sizeof text, "a message of %u bytes; the limit is %d", len,
                   MESSAGE_BYTES_MAX);
    (void)tr_sql_fail(c, "54000", &err, "%s", text);
    if (!c->is_skipping)
        fail_statement(c, TR_INVALID, &err);
    c->is_skipping = type != 'Q';
    if (type == 'Q')
        put_ready(c);
    return tr_wire_flush(&c->wire, &err) == TR_OK;
}

static bool next_message(tr_sql_connection *c)
{
    tr_str bytes;
    tr_err err = {0};
    if (!tr_sql_await_message(c) || atomic_load(&c->sql->is_stopping) ||
        tr_wire_take(&c->wire, 5, START_S * 1000, &bytes, &err) != TR_OK)
        return false;
    const char type = (char)bytes.at[0];
    tr_body body = {.rest = tr_str_from(bytes, 1)};
    const uint32_t len = tr_body_u32(&body);
    if (len < 4)
        return refuse(c, "08P01", "a message with a length that cannot be");
    if (len - 4 > MESSAGE_BYTES_MAX)
        return skip_body(c, type, len - 4);
    if (tr_wire_take(&c->wire, len - 4, START_S * 1000, &bytes, &err) != TR_OK)
        return false;
    body = (tr_body){.rest = bytes};
    return obey(c, type, &body);
}

void tr_sql_serve(tr_sql_connection *c, int fd)
{
    char database[128] = "", sandbox[128];
    tr_err err = {0};
    tr_wire_open(&c->wire, fd);
    bool is_on = start_up(c, database) && read_database(c, database, sandbox) &&
                 admit(c, sandbox) && check_database(c, &err) &&
                 tr_sql_named_open(c, &err) == TR_OK;
    c->settings = json_object();
    c->variables = json_object();
    c->temporary = json_object();
    is_on = is_on && c->settings != NULL && c->variables != NULL && c->temporary != NULL;
    memcpy(c->first_application_name, c->application_name, sizeof c->application_name);
    if (is_on) {
        welcome(c);
        is_on = tr_wire_flush(&c->wire, &err) == TR_OK;
    }
    while (is_on)
        is_on = next_message(c);
    if (atomic_load(&c->sql->is_stopping))
        (void)refuse(c, "57P01", "the server is shutting down");
    tr_sql_named_close(c);
    tr_sql_drop_temporary(c);
    json_decref(c->temporary);
    json_decref(c->settings);
    json_decref(c->variables);
    tr_wire_close(&c->wire);
}
