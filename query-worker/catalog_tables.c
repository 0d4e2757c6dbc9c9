/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_tables.c - see catalog_tables.h.
 *
 * The tables of a sandbox are views in "main"; here they are tables (relkind r) of the schema
 * "public", and views (v) those that view_maker.h makes; one that cannot be read has no columns. A
 * table's number is made from its name, so that it is the same at every question.
 * Numbers are BIGINT, which compares with whatever a tool writes.
 */
#include "catalog_tables.h"

/* Every column that psql, psycopg, SQLAlchemy and the JDBC driver were seen to ask for, of servers
 * before and after PostgreSQL 10. */
static const char *const statements[] = {
    "CREATE SCHEMA pgc",
    "CREATE TABLE pgc.pg_type AS SELECT oid::BIGINT AS oid, typname, 11::BIGINT AS typnamespace,"
    " 10::BIGINT AS typowner, typlen, typtype, typcategory, true AS typispreferred,"
    " true AS typisdefined, ',' AS typdelim, 0::BIGINT AS typrelid, typelem::BIGINT AS typelem,"
    " typarray::BIGINT AS typarray, typinput, typinput AS typreceive, false AS typnotnull,"
    " 0::BIGINT AS typbasetype, -1 AS typtypmod, 0 AS typndims, 0::BIGINT AS typcollation,"
    " NULL::VARCHAR AS typdefault, NULL::VARCHAR AS typacl FROM (VALUES"
    " (16,'bool',1,'b','B',0,1000,'boolin'), (17,'bytea',-1,'b','U',0,1001,'byteain'),"
    " (18,'char',1,'b','S',0,1002,'charin'), (19,'name',64,'b','S',18,1003,'namein'),"
    " (20,'int8',8,'b','N',0,1016,'int8in'), (21,'int2',2,'b','N',0,1005,'int2in'),"
    " (23,'int4',4,'b','N',0,1007,'int4in'), (25,'text',-1,'b','S',0,1009,'textin'),"
    " (26,'oid',4,'b','N',0,1028,'oidin'), (114,'json',-1,'b','U',0,199,'json_in'),"
    " (700,'float4',4,'b','N',0,1021,'float4in'), (701,'float8',8,'b','N',0,1022,'float8in'),"
    " (705,'unknown',-2,'p','X',0,0,'unknownin'), (1042,'bpchar',-1,'b','S',0,1014,'bpcharin'),"
    " (1043,'varchar',-1,'b','S',0,1015,'varcharin'), (1082,'date',4,'b','D',0,1182,'date_in'),"
    " (1083,'time',8,'b','D',0,1183,'time_in'), (1114,'timestamp',8,'b','D',0,1115,'timestamp_in'),"
    " (1184,'timestamptz',8,'b','D',0,1185,'timestamptz_in'),"
    " (1186,'interval',16,'b','T',0,1187,'interval_in'),"
    " (1700,'numeric',-1,'b','N',0,1231,'numeric_in'), (2950,'uuid',16,'b','U',0,2951,'uuid_in'),"
    " (1000,'_bool',-1,'b','A',16,0,'array_in'), (1005,'_int2',-1,'b','A',21,0,'array_in'),"
    " (1007,'_int4',-1,'b','A',23,0,'array_in'), (1009,'_text',-1,'b','A',25,0,'array_in'),"
    " (1016,'_int8',-1,'b','A',20,0,'array_in'), (1022,'_float8',-1,'b','A',701,0,'array_in'))"
    " t(oid, typname, typlen, typtype, typcategory, typelem, typarray, typinput)",
    "CREATE TABLE pgc.pg_namespace AS SELECT * FROM (VALUES (11::BIGINT,'pg_catalog',10::BIGINT,"
    " NULL::VARCHAR), (2200,'public',10,NULL), (13000,'information_schema',10,NULL))"
    " t(oid, nspname, nspowner, nspacl)",
    "CREATE TABLE pgc.pg_roles AS SELECT 10::BIGINT AS oid, 'postgres' AS rolname,"
    " false AS rolsuper, true AS rolinherit, false AS rolcreaterole, false AS rolcreatedb,"
    " true AS rolcanlogin,"
    " false AS rolreplication, -1 AS rolconnlimit, NULL::TIMESTAMP AS rolvaliduntil,"
    " false AS rolbypassrls, NULL::VARCHAR AS rolconfig",
    "CREATE VIEW pgc.pg_user AS SELECT rolname AS usename, oid AS usesysid FROM pgc.pg_roles",
    "CREATE TABLE pgc.pg_am AS SELECT 2::BIGINT AS oid, 'heap' AS amname, 't' AS amtype",
    "CREATE TABLE pgc.pg_collation AS SELECT 100::BIGINT AS oid, 'default' AS collname,"
    " 11::BIGINT AS collnamespace, 'd' AS collprovider, true AS collisdeterministic",
    "CREATE TABLE pgc.pg_tablespace AS SELECT 1663::BIGINT AS oid, 'pg_default' AS spcname,"
    " 10::BIGINT AS spcowner, NULL::VARCHAR AS spcacl, NULL::VARCHAR AS spcoptions",
    "CREATE TABLE pgc.pg_settings AS SELECT * FROM (VALUES ('max_index_keys','32'),"
    " ('server_version','9.6.24')) t(name, setting)",
    "CREATE MACRO pgc.class_oid(n) AS (hash(n) % 1000000000 + 20000)::BIGINT",
    "CREATE MACRO pgc.type_oid(t) AS (CASE WHEN t LIKE 'DECIMAL%' THEN 1700 ELSE"
    " coalesce(map {'BOOLEAN': 16, 'TINYINT': 21, 'UTINYINT': 21, 'SMALLINT': 21, 'USMALLINT': 23,"
    " 'INTEGER': 23, 'UINTEGER': 20, 'BIGINT': 20, 'UBIGINT': 1700, 'HUGEINT': 1700, 'FLOAT': 700,"
    " 'DOUBLE': 701, 'BLOB': 17, 'DATE': 1082, 'TIME': 1083, 'TIMESTAMP': 1114,"
    " 'TIMESTAMP_S': 1114, 'TIMESTAMP_MS': 1114, 'TIMESTAMP_NS': 1114,"
    " 'TIMESTAMP WITH TIME ZONE': 1184, 'INTERVAL': 1186, 'UUID': 2950}[t], 25) END)::BIGINT",
    "CREATE MACRO pgc.format_type(o, m) AS (coalesce(map {16: 'boolean', 17: 'bytea',"
    " 18: '\"char\"', 19: 'name', 20: 'bigint', 21: 'smallint', 23: 'integer', 25: 'text',"
    " 26: 'oid',"
    " 114: 'json',"
    " 700: 'real', 701: 'double precision', 1042: 'character', 1043: 'character varying',"
    " 1082: 'date', 1083: 'time without time zone', 1114: 'timestamp without time zone',"
    " 1184: 'timestamp with time zone', 1186: 'interval', 1700: 'numeric', 2950: 'uuid'}"
    "[o::INTEGER], 'text'))",
    /* filled by view_maker.c */
    "CREATE TABLE pgc.user_views(view_name VARCHAR, definition VARCHAR, why VARCHAR)",
    "CREATE VIEW pgc.relations AS SELECT d.view_name, d.column_count,"
    " CASE WHEN u.view_name IS NULL THEN 'r' ELSE 'v' END AS kind FROM duckdb_views() d LEFT JOIN"
    " pgc.user_views u ON u.view_name = d.view_name WHERE d.schema_name = 'main' AND NOT d.internal"
    " AND NOT contains(d.view_name, '@')" /* of a statement's own: @public, @since ... */
    " UNION ALL SELECT view_name, 0, 'v' FROM pgc.user_views WHERE why IS NOT NULL",
    "CREATE VIEW pgc.pg_class AS SELECT pgc.class_oid(view_name) AS oid, view_name AS relname,"
    " 2200::BIGINT AS relnamespace, 0::BIGINT AS reltype, 0::BIGINT AS reloftype,"
    " 10::BIGINT AS relowner, CASE kind WHEN 'r' THEN 2 ELSE 0 END::BIGINT AS relam,"
    " 0::BIGINT AS relfilenode,"
    " 0::BIGINT AS reltablespace, 0 AS relpages, -1.0::FLOAT AS reltuples, 0 AS relallvisible,"
    " 0::BIGINT AS reltoastrelid, false AS relhasindex, false AS relisshared,"
    " 'p' AS relpersistence, kind AS relkind, column_count AS relnatts, 0 AS relchecks,"
    " false AS relhasoids, kind = 'v' AS relhasrules, false AS relhastriggers,"
    " false AS relhassubclass, false AS relrowsecurity, false AS relforcerowsecurity,"
    " true AS relispopulated, 'd' AS relreplident, false AS relispartition,"
    " NULL::VARCHAR AS relacl, NULL::VARCHAR[] AS reloptions, NULL::VARCHAR AS relpartbound"
    " FROM pgc.relations",
    "CREATE VIEW pgc.pg_attribute AS SELECT pgc.class_oid(table_name) AS attrelid,"
    " column_name AS attname, pgc.type_oid(data_type) AS atttypid, -1 AS attstattarget,"
    " -1 AS attlen, column_index AS attnum, 0 AS attndims, -1 AS atttypmod, 'x' AS attstorage,"
    " false AS attnotnull, false AS atthasdef, '' AS attidentity, '' AS attgenerated,"
    " '' AS attcompression, false AS attisdropped, true AS attislocal, 0 AS attinhcount,"
    " 0::BIGINT AS attcollation, NULL::VARCHAR AS attacl, NULL::VARCHAR AS attoptions,"
    " NULL::VARCHAR AS attfdwoptions FROM duckdb_columns() WHERE schema_name = 'main'"
    " AND NOT internal",
    "CREATE VIEW pgc.pg_tables AS SELECT 'public' AS schemaname, relname AS tablename,"
    " 'postgres' AS tableowner, NULL::VARCHAR AS tablespace, false AS hasindexes,"
    " false AS hasrules, false AS hastriggers, false AS rowsecurity FROM pgc.pg_class"
    " WHERE relkind = 'r'",
    "CREATE VIEW pgc.pg_views AS SELECT 'public' AS schemaname, view_name AS viewname,"
    " 'postgres' AS viewowner, definition FROM pgc.user_views",
    /* empty: there is none of it */
    "CREATE TABLE pgc.pg_matviews(schemaname VARCHAR, matviewname VARCHAR)",
    "CREATE TABLE pgc.pg_attrdef(oid BIGINT, adrelid BIGINT, adnum INTEGER, adbin VARCHAR,"
    " adsrc VARCHAR)",
    "CREATE TABLE pgc.pg_description(objoid BIGINT, classoid BIGINT, objsubid INTEGER,"
    " description VARCHAR)",
    "CREATE TABLE pgc.pg_shdescription(objoid BIGINT, classoid BIGINT, description VARCHAR)",
    "CREATE TABLE pgc.pg_constraint(oid BIGINT, conname VARCHAR, connamespace BIGINT,"
    " contype VARCHAR, condeferrable BOOLEAN, condeferred BOOLEAN, convalidated BOOLEAN,"
    " conrelid BIGINT, contypid BIGINT, conindid BIGINT, conparentid BIGINT, confrelid BIGINT,"
    " confupdtype VARCHAR, confdeltype VARCHAR, confmatchtype VARCHAR, conislocal BOOLEAN,"
    " connoinherit BOOLEAN, conkey INTEGER[], confkey INTEGER[], consrc VARCHAR)",
    "CREATE TABLE pgc.pg_index(indexrelid BIGINT, indrelid BIGINT, indnatts INTEGER,"
    " indnkeyatts INTEGER, indisunique BOOLEAN, indisprimary BOOLEAN, indisexclusion BOOLEAN,"
    " indimmediate BOOLEAN, indisclustered BOOLEAN, indisvalid BOOLEAN, indisreplident BOOLEAN,"
    " indnullsnotdistinct BOOLEAN, indkey INTEGER[], indclass BIGINT[], indoption INTEGER[],"
    " indcollation BIGINT[], indexprs VARCHAR, indpred VARCHAR)",
    "CREATE TABLE pgc.pg_indexes(schemaname VARCHAR, tablename VARCHAR, indexname VARCHAR,"
    " tablespace VARCHAR, indexdef VARCHAR)",
    "CREATE TABLE pgc.pg_proc(oid BIGINT, proname VARCHAR, pronamespace BIGINT, proowner BIGINT,"
    " prolang BIGINT, proisagg BOOLEAN, proiswindow BOOLEAN, prokind VARCHAR, prorettype BIGINT,"
    " proargtypes BIGINT[], pronargs INTEGER, proretset BOOLEAN, prosrc VARCHAR)",
    "CREATE TABLE pgc.pg_inherits(inhrelid BIGINT, inhparent BIGINT, inhseqno INTEGER,"
    " inhdetachpending BOOLEAN)",
    "CREATE TABLE pgc.pg_extension(oid BIGINT, extname VARCHAR, extversion VARCHAR,"
    " extnamespace BIGINT)",
    "CREATE TABLE pgc.pg_auth_members(roleid BIGINT, member BIGINT, grantor BIGINT,"
    " admin_option BOOLEAN)",
    "CREATE TABLE pgc.pg_policy(oid BIGINT, polname VARCHAR, polrelid BIGINT, polcmd VARCHAR,"
    " polpermissive BOOLEAN, polroles BIGINT[], polqual VARCHAR, polwithcheck VARCHAR)",
    "CREATE TABLE pgc.pg_enum(oid BIGINT, enumtypid BIGINT, enumsortorder FLOAT,"
    " enumlabel VARCHAR)",
    "CREATE TABLE pgc.pg_range(rngtypid BIGINT, rngsubtype BIGINT)",
    "CREATE TABLE pgc.pg_sequence(seqrelid BIGINT, seqtypid BIGINT, seqstart BIGINT,"
    " seqincrement BIGINT, seqmax BIGINT, seqmin BIGINT, seqcache BIGINT, seqcycle BOOLEAN)",
    "CREATE TABLE pgc.pg_trigger(oid BIGINT, tgrelid BIGINT, tgname VARCHAR, tgenabled VARCHAR,"
    " tgisinternal BOOLEAN, tgconstraint BIGINT)",
    "CREATE TABLE pgc.pg_language(oid BIGINT, lanname VARCHAR)",
    "CREATE TABLE pgc.pg_foreign_table(ftrelid BIGINT, ftserver BIGINT, ftoptions VARCHAR[])",
    "CREATE TABLE pgc.pg_foreign_server(oid BIGINT, srvname VARCHAR)",
    "CREATE TABLE pgc.pg_depend(classid BIGINT, objid BIGINT, objsubid INTEGER, refclassid BIGINT,"
    " refobjid BIGINT, refobjsubid INTEGER, deptype VARCHAR)",
    "CREATE TABLE pgc.pg_rewrite(oid BIGINT, rulename VARCHAR, ev_class BIGINT,"
    " ev_enabled VARCHAR)",
    "CREATE TABLE pgc.pg_opclass(oid BIGINT, opcname VARCHAR, opcdefault BOOLEAN)",
    /* functions */
    "CREATE MACRO pgc.pg_get_userbyid(o) AS 'postgres'",
    "CREATE MACRO pgc.pg_encoding_to_char(o) AS 'UTF8'",
    "CREATE MACRO pgc.pg_table_is_visible(o) AS true",
    "CREATE MACRO pgc.pg_type_is_visible(o) AS true",
    "CREATE MACRO pgc.pg_function_is_visible(o) AS true",
    "CREATE MACRO pgc.pg_collation_is_visible(o) AS true",
    "CREATE MACRO pgc.json_build_object(a, b, c, d) AS NULL::VARCHAR",
    "CREATE MACRO pgc.array_upper(a, b) AS len(a)",
    "CREATE MACRO pgc.information_schema__pg_expandarray(a) AS {'x': 0, 'n': 0}",
    "CREATE MACRO pgc.pg_get_expr(a, b) AS NULL::VARCHAR, (a, b, c) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_get_indexdef(a) AS NULL::VARCHAR, (a, b, c) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_get_constraintdef(a) AS NULL::VARCHAR, (a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_get_viewdef(a) AS (SELECT min(definition) FROM pgc.user_views WHERE"
    " pgc.class_oid(view_name) = a::BIGINT), (a, b) AS (SELECT min(definition) FROM pgc.user_views"
    " WHERE pgc.class_oid(view_name) = a::BIGINT)",
    "CREATE MACRO pgc.pg_get_ruledef(a) AS NULL::VARCHAR, (a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_get_serial_sequence(a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.obj_description(a) AS NULL::VARCHAR, (a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.col_description(a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.shobj_description(a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.quote_ident(a) AS '\"' || replace(a, '\"', '\"\"') || '\"'",
    "CREATE MACRO pgc.current_schemas(a) AS ['public']",
    "CREATE MACRO pgc.current_schema() AS 'public'",
    "CREATE MACRO pgc.version() AS 'PostgreSQL 9.6.24 (Tributary Query Service)'",
    "CREATE MACRO pgc.set_config(a, b, c) AS b",
    "CREATE MACRO pgc.current_setting(a) AS NULL::VARCHAR, (a, b) AS NULL::VARCHAR",
    "CREATE MACRO pgc.has_table_privilege(a, b) AS true, (a, b, c) AS true",
    "CREATE MACRO pgc.has_schema_privilege(a, b) AS true, (a, b, c) AS true",
    "CREATE MACRO pgc.has_database_privilege(a, b) AS true, (a, b, c) AS true",
    "CREATE MACRO pgc.pg_backend_pid() AS 1",
    "CREATE MACRO pgc.to_regtype(n) AS (SELECT min(oid) FROM pgc.pg_type WHERE typname = n"
    " OR pgc.format_type(oid, NULL) = n)",
    "CREATE MACRO pgc.to_regclass(n) AS (CASE WHEN n LIKE '%pg_class' THEN 1259"
    " WHEN n LIKE '%pg_namespace' THEN 2615 WHEN n LIKE '%pg_constraint' THEN 2606"
    " WHEN n LIKE '%pg_type' THEN 1247 WHEN n LIKE '%pg_proc' THEN 1255"
    " ELSE (SELECT min(oid) FROM pgc.pg_class WHERE relname ="
    " replace(regexp_replace(n, '^public\\.', ''), '\"', '')) END)::BIGINT",
    "CREATE MACRO pgc.pg_size_pretty(a) AS a::VARCHAR || ' bytes'",
    "CREATE MACRO pgc.pg_relation_size(a) AS 0",
    "CREATE MACRO pgc.pg_table_size(a) AS 0",
    "CREATE MACRO pgc.pg_total_relation_size(a) AS 0",
    "CREATE MACRO pgc.pg_is_in_recovery() AS false",
    "CREATE MACRO pgc.pg_get_function_result(a) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_get_function_arguments(a) AS NULL::VARCHAR",
    "CREATE MACRO pgc.pg_my_temp_schema() AS 0",
    "CREATE MACRO pgc.pg_is_other_temp_schema(a) AS false",
    "CREATE MACRO pgc.pg_tablespace_location(a) AS ''",
    /* what the standard asks for */
    "CREATE VIEW pgc.information_schema_schemata AS SELECT 'all' AS catalog_name,"
    " nspname AS schema_name, 'postgres' AS schema_owner FROM pgc.pg_namespace",
    "CREATE VIEW pgc.information_schema_tables AS SELECT 'all' AS table_catalog,"
    " 'public' AS table_schema, relname AS table_name,"
    " CASE relkind WHEN 'r' THEN 'BASE TABLE' ELSE 'VIEW' END AS table_type FROM pgc.pg_class",
    "CREATE VIEW pgc.information_schema_columns AS SELECT 'all' AS table_catalog,"
    " 'public' AS table_schema, table_name, column_name, column_index AS ordinal_position,"
    " NULL::VARCHAR AS column_default, 'YES' AS is_nullable,"
    " pgc.format_type(pgc.type_oid(data_type), NULL) AS data_type,"
    " NULL::INTEGER AS character_maximum_length, NULL::INTEGER AS numeric_precision,"
    " NULL::INTEGER AS numeric_scale, NULL::INTEGER AS datetime_precision"
    " FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal",
    "CREATE VIEW pgc.information_schema_views AS SELECT 'all' AS table_catalog,"
    " 'public' AS table_schema, view_name AS table_name, definition AS view_definition,"
    " 'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into"
    " FROM pgc.user_views",
    "CREATE TABLE pgc.information_schema_table_constraints(constraint_catalog VARCHAR,"
    " constraint_schema VARCHAR, constraint_name VARCHAR, table_catalog VARCHAR,"
    " table_schema VARCHAR, table_name VARCHAR, constraint_type VARCHAR)",
    "CREATE TABLE pgc.information_schema_key_column_usage(constraint_name VARCHAR,"
    " table_schema VARCHAR, table_name VARCHAR, column_name VARCHAR, ordinal_position INTEGER)",
};

tr_code tr_catalog_tables_prepare(tr_engine *engine, tr_err *err)
{
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        TR_TRY(tr_engine_run(engine, statements[i], err));
    return TR_OK;
}

/* CREATE MACRO name AS 'value' */
static tr_code make_constant(tr_engine *engine, const char *name, const char *value, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_format(&sql, err, "CREATE OR REPLACE MACRO pgc.%s() AS ", name);
    if (code == TR_OK)
        code = tr_sql_literal(&sql, tr_str_of(value), err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

static tr_code make_database(tr_engine *engine, const char *name, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code =
        tr_buf_format(&sql, err, "CREATE OR REPLACE TABLE pgc.pg_database AS SELECT"
                                 " 16384::BIGINT AS oid, 10::BIGINT AS datdba, 6 AS encoding,"
                                 " 'C' AS datcollate, 'C' AS datctype, false AS datistemplate,"
                                 " true AS datallowconn, -1 AS datconnlimit,"
                                 " 1663::BIGINT AS dattablespace, NULL::VARCHAR[] AS datacl, ");
    if (code == TR_OK)
        code = tr_sql_literal(&sql, tr_str_of(name), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)" AS datname", 12}, err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

tr_code tr_catalog_tables_make(tr_engine *engine, const json_t *names, tr_err *err)
{
    TR_TRY(make_constant(engine, "current_database", tr_json_text(names, "database", "all"), err));
    return make_database(engine, tr_json_text(names, "database", "all"), err);
}
