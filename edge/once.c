/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/once.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/digest.h"

#define ONCE_STEPS_MAX 64 /* slots that are looked at before the table counts as full */

struct once_slot {
    struct digest key;
    int64_t expires_s; /* 0: empty */
};

struct once {
    uint32_t magic;
#define ONCE_MAGIC UINT32_C(0x09ce09ce)
    pthread_mutex_t lock; /* covers the slots */
    struct once_slot *slots;
};

int once_new(struct once **ret)
{
    struct once *o = calloc(1, sizeof *o);
    if (o == NULL)
        return -ENOMEM;
    o->magic = ONCE_MAGIC;
    (void)pthread_mutex_init(&o->lock, NULL);
    *ret = o;
    return 0;
}

struct once *once_free(struct once *o)
{
    if (o == NULL)
        return NULL;
    ASSERT(o->magic == ONCE_MAGIC);
    (void)pthread_mutex_destroy(&o->lock);
    free(o->slots);
    MAGIC_CLEAR(o);
    free(o);
    return NULL;
}

/* All slots of a key's stretch are looked at: an expired one in its middle ends no search. */
static int once_find(struct once *o, const struct digest *key, int64_t now_s,
                     struct once_slot **ret)
{
    if (o->slots == NULL)
        o->slots = calloc(ONCE_MAX, sizeof *o->slots);
    if (o->slots == NULL)
        return -ENOMEM;
    unsigned start = (unsigned)key->bytes[0] << 16 | (unsigned)key->bytes[1] << 8 | key->bytes[2];
    struct once_slot *free_slot = NULL;
    for (unsigned i = 0; i < ONCE_STEPS_MAX; i++) {
        struct once_slot *slot = &o->slots[(start + i) & (ONCE_MAX - 1)];
        if (slot->expires_s > now_s && digest_eq(&slot->key, key))
            return -EEXIST;
        if (slot->expires_s <= now_s && free_slot == NULL)
            free_slot = slot;
    }
    if (free_slot == NULL)
        return -ENOSPC;
    *ret = free_slot;
    return 0;
}

int once_take(struct once *o, struct str id, struct str uri, int64_t expires_s, int64_t now_s)
{
    ASSERT(o->magic == ONCE_MAGIC);
    ASSERT(expires_s > now_s);
    CLEAN_BUF struct buf text = BUF_EMPTY;
    buf_put_str(&text, id);
    buf_putc(&text, '\0'); /* in no id: JSON's texts have none here */
    buf_put_str(&text, uri);
    if (buf_error(&text) < 0)
        return -ENOMEM;
    struct digest key = digest_of(text.data, text.size);
    struct once_slot *slot = NULL;
    (void)pthread_mutex_lock(&o->lock);
    int r = once_find(o, &key, now_s, &slot);
    if (r == 0)
        *slot = (struct once_slot){key, expires_s};
    (void)pthread_mutex_unlock(&o->lock);
    return r;
}
