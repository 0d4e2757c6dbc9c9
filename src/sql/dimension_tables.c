/* SPDX-License-Identifier: Apache-2.0 */
/* dimension_tables.c - see dimension_tables.h. */
#include "sql/dimension_tables.h"

#include "catalog/namespaces.h"
#include "sql/rewrite_internal.h"

static const char policies_table[] = "adwh_dim_merge_policies";
static const char namespaces_table[] = "adwh_dim_namespaces";

bool tr_is_dimension_table(const char *name)
{
    const tr_str text = tr_str_of(name);
    return tr_str_equal_folded(text, tr_str_of(policies_table)) ||
           tr_str_equal_folded(text, tr_str_of(namespaces_table));
}

static tr_code put_policies(const json_t *policies, tr_buf *sql, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(policies); i++) {
        const json_t *policy = json_array_get(policies, i);
        TR_TRY(tr_buf_format(sql, err, ", (%zu, ", i + 1));
        TR_TRY(tr_put_literal(sql, tr_str_of(tr_json_text(policy, "id", "")), err));
        TR_TRY(tr_buf_append(
            sql, tr_str_of(tr_json_bool(policy, "default", false) ? ", true)" : ", false)"), err));
    }
    return TR_OK;
}

static tr_code put_namespaces(const json_t *policies, const json_t *namespaces, tr_buf *sql,
                              tr_err *err)
{
    size_t k;
    const json_t *namespace;
    for (size_t i = 0; i < json_array_size(policies); i++)
        json_array_foreach(namespaces, k, namespace)
        {
            TR_TRY(tr_buf_format(sql, err, ", (%zu, %lld, ", i + 1,
                                 (long long)tr_json_int(namespace, "id", 0)));
            TR_TRY(tr_put_literal(sql, tr_str_of(tr_json_text(namespace, "code", "")), err));
            TR_TRY(tr_buf_append(sql, tr_str_of(")"), err));
        }
    return TR_OK;
}

tr_code tr_dimension_table(tr_catalog *catalog, const tr_tenant *tenant, const char *name,
                           const json_t *policies, tr_buf *sql, tr_err *err)
{
    json_t *namespaces = NULL;
    const bool is_policies = tr_str_equal_folded(tr_str_of(name), tr_str_of(policies_table));
    TR_TRY(tr_buf_append(sql, tr_str_of("SELECT * FROM (VALUES (0::BIGINT, "), err));
    TR_TRY(tr_buf_append(sql, tr_str_of(is_policies ? "'', false)" : "0::BIGINT, '')"), err));
    if (is_policies) {
        TR_TRY(put_policies(policies, sql, err));
    } else {
        TR_TRY(tr_namespace_list(catalog, tenant->org, &namespaces, err));
        const tr_code code = put_namespaces(policies, namespaces, sql, err);
        json_decref(namespaces);
        TR_TRY(code);
    }
    return tr_buf_format(sql, err, ") AS t(\"MERGE_POLICY_ID\", %s) WHERE \"MERGE_POLICY_ID\" > 0",
                         is_policies ? "\"MERGE_POLICY\", \"IS_DEFAULT_MERGE_POLICY\""
                                     : "\"NAMESPACE_ID\", \"NAMESPACE_DESCRIPTION\"");
}
