/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/digest.h"
#include "db/db_memory.h"

#define DB_MEMO_TEXT_MAX 4096 /* larger documents are not kept */

struct db_memo_entry {
    uint32_t size; /* of the JSON; 0: there is no such document */
    char text[];   /* the id with its zero, the JSON */
};

/* A slot for each hash. Its turn rises with every change, so that what was read before one is not
 * put there after it. */
struct db_memo_slot {
    struct db_memo_entry *entry;
    uint64_t turn;
};

struct db_memo {
    uint32_t magic;
#define DB_MEMO_MAGIC UINT32_C(0xdb3e3011)
    pthread_mutex_t lock; /* guards the slots */
    struct db_memo_slot slots[DB_REMEMBER_MAX];
};

int db_memo_new(struct db_memo **ret)
{
    struct db_memo *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->magic = DB_MEMO_MAGIC;
    (void)pthread_mutex_init(&m->lock, NULL); /* default attributes: cannot fail */
    *ret = m;
    return 0;
}

struct db_memo *db_memo_free(struct db_memo *m)
{
    if (m == NULL)
        return NULL;
    ASSERT(m->magic == DB_MEMO_MAGIC);
    for (unsigned i = 0; i < DB_REMEMBER_MAX; i++)
        free(m->slots[i].entry);
    (void)pthread_mutex_destroy(&m->lock);
    MAGIC_CLEAR(m);
    free(m);
    return NULL;
}

static struct db_memo_slot *db_memo_slot(struct db_memo *m, const char *id)
{
    struct digest d = digest_of(id, strlen(id));
    return &m->slots[((unsigned)d.bytes[0] << 8 | d.bytes[1]) % DB_REMEMBER_MAX];
}

int db_memo_get(struct db_memo *m, const char *id, json_t **ret, uint64_t *ret_turn)
{
    char text[DB_MEMO_TEXT_MAX];
    uint32_t size = 0;
    ASSERT(m->magic == DB_MEMO_MAGIC);
    struct db_memo_slot *slot = db_memo_slot(m, id);
    (void)pthread_mutex_lock(&m->lock);
    const struct db_memo_entry *e = slot->entry;
    bool known = e != NULL && strcmp(e->text, id) == 0;
    if (known) {
        size = e->size;
        memcpy(text, e->text + strlen(id) + 1, size);
    }
    *ret_turn = slot->turn;
    (void)pthread_mutex_unlock(&m->lock);
    if (!known)
        return -EAGAIN;
    if (size == 0)
        return -ENOENT;
    *ret = json_loadb(text, size, JSON_ALLOW_NUL, NULL);
    return *ret == NULL ? -ENOMEM : 0; /* our own text */
}

void db_memo_put(struct db_memo *m, const char *id, const json_t *doc, uint64_t turn)
{
    char *text = doc == NULL ? NULL : json_dumps(doc, JSON_COMPACT);
    size_t id_size = strlen(id) + 1;
    size_t size = text == NULL ? 0 : strlen(text);
    ASSERT(m->magic == DB_MEMO_MAGIC);
    bool fits = size <= DB_MEMO_TEXT_MAX && (text != NULL || doc == NULL);
    struct db_memo_entry *e = fits ? malloc(sizeof *e + id_size + size) : NULL;
    if (e != NULL) {
        e->size = (uint32_t)size;
        memcpy(e->text, id, id_size);
        for (size_t i = 0; i < size; i++) /* no zero behind it: its size is known */
            e->text[id_size + i] = text[i];
        struct db_memo_slot *slot = db_memo_slot(m, id);
        (void)pthread_mutex_lock(&m->lock);
        if (slot->turn == turn) {
            struct db_memo_entry *old = slot->entry;
            slot->entry = e;
            e = old;
        }
        (void)pthread_mutex_unlock(&m->lock);
        free(e);
    }
    free(text);
}

static void db_memo_drop(struct db_memo_slot *slot)
{
    free(slot->entry);
    slot->entry = NULL;
    slot->turn++;
}

void db_memo_forget(struct db_memo *m, const char *id)
{
    ASSERT(m->magic == DB_MEMO_MAGIC);
    (void)pthread_mutex_lock(&m->lock);
    if (id != NULL)
        db_memo_drop(db_memo_slot(m, id));
    for (unsigned i = 0; id == NULL && i < DB_REMEMBER_MAX; i++)
        db_memo_drop(&m->slots[i]);
    (void)pthread_mutex_unlock(&m->lock);
}
