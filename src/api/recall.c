/* SPDX-License-Identifier: Apache-2.0 */
/* recall.c - facts that may be a moment old: a bounded table, four places to a key.
 *
 * A key has one bucket of four entries; a new one takes the place of the oldest end. No allocation,
 * no order to keep, a lock for a share of the buckets: cheap enough for every request.
 */
#include "api/core_internal.h"

#include <pthread.h>

enum { WAYS = 4, LOCKS = 16 };

typedef struct entry {
    uint8_t key[32];
    int64_t until_ms; /* 0: empty */
} entry;

struct tr_recall {
    pthread_mutex_t locks[LOCKS];
    uint32_t bucket_count; /* a power of two */
    size_t value_bytes;
    entry *entries;
    uint8_t *values;
};

tr_code tr_recall_open(uint32_t entries, size_t value_bytes, tr_recall **out, tr_err *err)
{
    tr_recall *recall = tr_alloc_zeroed(1, sizeof *recall);
    if (recall == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a cache");
    for (recall->bucket_count = 1; recall->bucket_count * WAYS < entries;)
        recall->bucket_count *= 2;
    const size_t count = (size_t)recall->bucket_count * WAYS;
    recall->value_bytes = value_bytes;
    recall->entries = tr_alloc_zeroed(count, sizeof *recall->entries);
    recall->values = tr_alloc_array(count, value_bytes);
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&recall->locks[i], NULL);
    if (recall->entries == NULL || recall->values == NULL) {
        tr_recall_close(recall);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a cache");
    }
    *out = recall;
    return TR_OK;
}

void tr_recall_close(tr_recall *recall)
{
    if (recall == NULL)
        return;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&recall->locks[i]);
    tr_free(recall->entries);
    tr_free(recall->values);
    tr_free(recall);
}

static uint32_t bucket_of(const tr_recall *recall, const uint8_t key[32])
{
    uint32_t head;
    memcpy(&head, key, sizeof head); /* keys are hashes already */
    return head & (recall->bucket_count - 1);
}

bool tr_recall_get(tr_recall *recall, const uint8_t key[32], int64_t now_ms, void *value)
{
    const uint32_t bucket = bucket_of(recall, key);
    bool is_found = false;
    pthread_mutex_lock(&recall->locks[bucket % LOCKS]);
    for (size_t i = (size_t)bucket * WAYS; i < (size_t)(bucket + 1) * WAYS && !is_found; i++)
        if (recall->entries[i].until_ms > now_ms && memcmp(recall->entries[i].key, key, 32) == 0) {
            memcpy(value, recall->values + i * recall->value_bytes, recall->value_bytes);
            is_found = true;
        }
    pthread_mutex_unlock(&recall->locks[bucket % LOCKS]);
    return is_found;
}

void tr_recall_put(tr_recall *recall, const uint8_t key[32], int64_t until_ms, const void *value)
{
    const uint32_t bucket = bucket_of(recall, key);
    size_t place = (size_t)bucket * WAYS;
    pthread_mutex_lock(&recall->locks[bucket % LOCKS]);
    for (size_t i = place; i < (size_t)(bucket + 1) * WAYS; i++) {
        if (memcmp(recall->entries[i].key, key, 32) == 0) {
            place = i;
            break;
        }
        if (recall->entries[i].until_ms < recall->entries[place].until_ms)
            place = i;
    }
    memcpy(recall->entries[place].key, key, 32);
    recall->entries[place].until_ms = until_ms;
    memcpy(recall->values + place * recall->value_bytes, value, recall->value_bytes);
    pthread_mutex_unlock(&recall->locks[bucket % LOCKS]);
}

void tr_recall_forget(tr_recall *recall)
{
    for (uint32_t lock = 0; lock < LOCKS; lock++) {
        pthread_mutex_lock(&recall->locks[lock]);
        for (uint32_t bucket = lock; bucket < recall->bucket_count; bucket += LOCKS)
            memset(&recall->entries[(size_t)bucket * WAYS], 0, WAYS * sizeof(entry));
        pthread_mutex_unlock(&recall->locks[lock]);
    }
}
