/* SPDX-License-Identifier: Apache-2.0 */
/* value_table.c - see value_table_internal.h. */
#include "parquet/value_table_internal.h"

bool tr_value_table_make(tr_value_table *table, uint64_t values)
{
    uint64_t count = 16;
    while (count < values * 2)
        count *= 2;
    uint64_t *slots = tr_alloc_zeroed(count, sizeof *slots);
    if (slots == NULL)
        return false;
    *table = (tr_value_table){slots, count - 1};
    return true;
}

void tr_value_table_clear(tr_value_table *table)
{
    if (table->slots != NULL)
        memset(table->slots, 0, (table->mask + 1) * sizeof *table->slots);
}

void tr_value_table_free(tr_value_table *table)
{
    tr_free(table->slots);
    *table = (tr_value_table){0};
}
