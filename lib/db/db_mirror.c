/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_mirror.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "db/db_memory.h"

/* --- life ------------------------------------------------------------------------------------- */

static int db_memory_of(struct db *db, struct db_memory **ret)
{
    if (db->memory == NULL) {
        struct db_memory *m = calloc(1, sizeof *m);
        if (m == NULL)
            return -ENOMEM;
        for (unsigned i = 0; i < DB_MEMORY_STRIPES; i++)
            (void)pthread_mutex_init(&m->stripes[i], NULL); /* default attributes: cannot fail */
        (void)pthread_mutex_init(&m->lock, NULL);
        db->memory = m;
    }
    *ret = db->memory;
    return 0;
}

static void db_mirror_state_free(struct db_mirror_state *s)
{
    if (s == NULL)
        return;
    db_image_free(s->image);
    json_decref(s->changed);
    (void)pthread_rwlock_destroy(&s->lock);
    free(s);
}

struct db_memory *db_memory_free(struct db_memory *m)
{
    if (m == NULL)
        return NULL;
    for (unsigned i = 0; i < DB_COLLECTIONS_MAX; i++) {
        db_mirror_state_free(m->mirrors[i]);
        db_memo_free(m->memos[i]);
    }
    for (unsigned i = 0; i < DB_MEMORY_STRIPES; i++)
        (void)pthread_mutex_destroy(&m->stripes[i]);
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
    return NULL;
}

int db_mirror(struct db *db, unsigned coll, size_t size_max)
{
    struct db_memory *m = NULL;
    pthread_rwlockattr_t attr;
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    ASSERT(!db->shapes[coll].open);
    int r = db_memory_of(db, &m);
    struct db_mirror_state *s = r < 0 ? NULL : calloc(1, sizeof *s);
    if (s == NULL)
        return -ENOMEM;
    ASSERT(m->mirrors[coll] == NULL);
    s->coll = coll;
    s->size_max = size_max;
    /* Else who searches all the time keeps writers out. */
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    r = -pthread_rwlock_init(&s->lock, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
    if (r < 0) {
        free(s);
        return r;
    }
    m->mirrors[coll] = s;
    return 0;
}

int db_remember(struct db *db, unsigned coll)
{
    struct db_memory *m = NULL;
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    ASSERT(coll < db->schema->collections_count);
    int r = db_memory_of(db, &m);
    if (r < 0)
        return r;
    ASSERT(m->memos[coll] == NULL);
    return db_memo_new(&m->memos[coll]);
}

void db_tell(struct db *db, db_told_fn *fn, void *arg)
{
    if (db->memory == NULL)
        return;
    (void)pthread_mutex_lock(&db->memory->lock);
    db->memory->told = fn;
    db->memory->told_arg = arg;
    (void)pthread_mutex_unlock(&db->memory->lock);
}

void db_fresh(struct db *db, uint64_t until_ms)
{
    if (db->memory != NULL)
        atomic_store(&db->memory->fresh_ms, until_ms);
}

static bool db_memory_counts(const struct db_memory *m)
{
    uint64_t until = atomic_load_explicit(&m->fresh_ms, memory_order_acquire);
    return until == UINT64_MAX || clock_mono_ms() < until;
}

bool db_is_fresh(const struct db *db)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    return db->memory != NULL && db_memory_counts(db->memory);
}

bool db_mirror_is_whole(const struct db *db, unsigned coll)
{
    const struct db_memory *m = db->memory;
    return m != NULL && m->mirrors[coll] != NULL && atomic_load(&m->mirrors[coll]->whole);
}

size_t db_mirror_size(struct db *db, unsigned coll)
{
    struct db_mirror_state *s = db->memory == NULL ? NULL : db->memory->mirrors[coll];
    size_t size = 0;
    if (s == NULL)
        return 0;
    (void)pthread_rwlock_rdlock(&s->lock);
    size = s->image == NULL ? 0 : s->image->size;
    (void)pthread_rwlock_unlock(&s->lock);
    return size;
}

int db_others(struct db *db, bool *ret)
{
    ASSERT(db != NULL && db->magic == DB_MAGIC);
    return db->ops->others == NULL ? -EOPNOTSUPP : db->ops->others(db, ret);
}

/* --- keeping it right ------------------------------------------------------------------------- */

/* Under the lock. What cannot be kept is given up. */
static void db_mirror_give_up(struct db_mirror_state *s)
{
    atomic_store(&s->whole, false);
    s->image = db_image_free(s->image);
}

static void db_mirror_apply(struct db_mirror_state *s, struct db_image *image, const char *id,
                            int got, const json_t *doc, int *ret)
{
    int r = got;
    if (got == 0)
        r = db_image_put(image, doc);
    else if (got == -ENOENT)
        r = db_image_remove(image, id);
    if (r == 0 && image->size > s->size_max)
        r = -ENOBUFS;
    *ret = r;
}

static pthread_mutex_t *db_memory_stripe(struct db_memory *m, const char *id)
{
    struct digest d = digest_of(id, strlen(id));
    return &m->stripes[d.bytes[3] % DB_MEMORY_STRIPES];
}

/* Reads it again. Who reads later puts later: so nothing old is put over something new. */
static void db_mirror_renew(struct db *db, struct db_mirror_state *s, const char *id)
{
    json_t *doc = NULL;
    int r = 0;
    pthread_mutex_t *stripe = db_memory_stripe(db->memory, id);
    (void)pthread_mutex_lock(stripe);
    int got = db->ops->newest(db, s->coll, id, &doc);
    (void)pthread_rwlock_wrlock(&s->lock);
    if (s->filling && json_object_set_new_nocheck(s->changed, id, json_true()) < 0)
        s->lost = true;
    if (s->image != NULL) {
        db_mirror_apply(s, s->image, id, got, doc, &r);
        if (r < 0)
            db_mirror_give_up(s);
    }
    (void)pthread_rwlock_unlock(&s->lock);
    (void)pthread_mutex_unlock(stripe);
    json_decref(doc);
}

void db_changing(struct db *db, unsigned coll, const char *id)
{
    struct db_memory *m = db->memory;
    if (m != NULL && m->memos[coll] != NULL)
        db_memo_forget(m->memos[coll], id);
}

static void db_changed_here(struct db *db, unsigned coll, const char *id)
{
    struct db_memory *m = db->memory;
    if (m->memos[coll] != NULL)
        db_memo_forget(m->memos[coll], id);
    if (m->mirrors[coll] != NULL && id != NULL)
        db_mirror_renew(db, m->mirrors[coll], id);
    else if (m->mirrors[coll] != NULL)
        db_lost(db, coll);
}

void db_changed(struct db *db, unsigned coll, const char *id)
{
    struct db_memory *m = db->memory;
    if (m == NULL || (m->memos[coll] == NULL && m->mirrors[coll] == NULL))
        return;
    db_changed_here(db, coll, id);
    (void)pthread_mutex_lock(&m->lock);
    if (m->told != NULL)
        m->told(m->told_arg, coll, id != NULL ? id : "");
    (void)pthread_mutex_unlock(&m->lock);
}

void db_heard(struct db *db, unsigned coll, const char *id)
{
    ASSERT(coll < db->schema->collections_count);
    if (db->memory != NULL)
        db_changed_here(db, coll, id[0] != 0 ? id : NULL);
}

void db_lost(struct db *db, unsigned coll)
{
    struct db_memory *m = db->memory;
    ASSERT(coll < db->schema->collections_count);
    if (m != NULL && m->memos[coll] != NULL)
        db_memo_forget(m->memos[coll], NULL);
    if (m == NULL || m->mirrors[coll] == NULL)
        return;
    struct db_mirror_state *s = m->mirrors[coll];
    (void)pthread_rwlock_wrlock(&s->lock);
    s->lost = s->filling;
    db_mirror_give_up(s);
    (void)pthread_rwlock_unlock(&s->lock);
}

/* --- filling ---------------------------------------------------------------------------------- */

struct db_filling {
    struct db_mirror_state *state;
    struct db_image *image;
};

static int db_mirror_take(void *arg, const json_t *doc)
{
    struct db_filling *f = arg;
    int r = db_image_put(f->image, doc);
    return r == 0 && f->image->size > f->state->size_max ? -ENOBUFS : r;
}

/* What changed while it was read, read again; more may change meanwhile. 1: nothing is left, and
 * the lock is held. */
static int db_mirror_catch_up(struct db *db, struct db_filling *f)
{
    struct db_mirror_state *s = f->state;
    const char *id;
    json_t *value;
    int r = 0;
    (void)pthread_rwlock_wrlock(&s->lock);
    if (s->lost)
        r = -ESTALE;
    else if (json_object_size(s->changed) == 0)
        return 1;
    json_t *changed = s->changed;
    json_t *none = json_object();
    if (none == NULL)
        r = -ENOMEM;
    else
        s->changed = none;
    (void)pthread_rwlock_unlock(&s->lock);
    json_object_foreach(changed, id, value)
    {
        json_t *doc = NULL;
        if (r < 0)
            break;
        int got = db->ops->newest(db, s->coll, id, &doc);
        db_mirror_apply(s, f->image, id, got, doc, &r);
        json_decref(doc);
    }
    if (none != NULL)
        json_decref(changed);
    return r;
}

static int db_mirror_begin(struct db_mirror_state *s)
{
    json_t *changed = json_object();
    int r = changed == NULL ? -ENOMEM : 0;
    (void)pthread_rwlock_wrlock(&s->lock);
    if (r == 0 && s->filling)
        r = -EBUSY;
    if (r == 0) {
        s->filling = true;
        s->lost = false;
        s->changed = changed;
        changed = NULL;
    }
    (void)pthread_rwlock_unlock(&s->lock);
    json_decref(changed);
    return r;
}

/* Under the lock. */
static void db_mirror_end(struct db_mirror_state *s)
{
    s->filling = false;
    json_decref(s->changed);
    s->changed = NULL;
}

int db_mirror_fill(struct db *db, unsigned coll)
{
    ASSERT(db->memory != NULL && db->memory->mirrors[coll] != NULL);
    struct db_mirror_state *s = db->memory->mirrors[coll];
    struct db_filling f = {.state = s};
    int r = db_mirror_begin(s);
    if (r < 0)
        return r;
    r = db_image_new(&db->shapes[coll], &f.image);
    if (r == 0)
        r = db->ops->scan(db, coll, db_mirror_take, &f);
    if (r == 0)
        r = db_image_ready(f.image);
    while (r == 0)
        r = db_mirror_catch_up(db, &f);
    if (r < 0)
        (void)pthread_rwlock_wrlock(&s->lock);
    db_mirror_end(s);
    struct db_image *old = f.image;
    if (r == 1) {
        old = s->image;
        s->image = f.image;
        atomic_store(&s->whole, true);
    }
    (void)pthread_rwlock_unlock(&s->lock);
    db_image_free(old);
    return MIN(r, 0);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The image to ask, locked for reading; NULL: ask the backend. */
static const struct db_image *db_image_take(struct db *db, unsigned coll)
{
    const struct db_memory *m = db->memory;
    if (m == NULL || m->mirrors[coll] == NULL)
        return NULL;
    struct db_mirror_state *s = m->mirrors[coll];
    if (!atomic_load_explicit(&s->whole, memory_order_relaxed) || !db_memory_counts(m))
        return NULL;
    (void)pthread_rwlock_rdlock(&s->lock);
    if (s->image != NULL)
        return s->image;
    (void)pthread_rwlock_unlock(&s->lock);
    return NULL;
}

static void db_image_give(struct db *db, unsigned coll)
{
    (void)pthread_rwlock_unlock(&db->memory->mirrors[coll]->lock);
}

static int db_memo_ask(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    struct db_memo *memo = db->memory->memos[coll];
    uint64_t turn = 0;
    json_t *doc = NULL;
    int r = db_memo_get(memo, id, &doc, &turn);
    if (r == -EAGAIN) {
        r = db->ops->newest(db, coll, id, &doc);
        if (r == 0 || r == -ENOENT)
            db_memo_put(memo, id, doc, turn);
    }
    if (r == 0)
        *ret = doc;
    return r;
}

int db_ask_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL && db->memory != NULL && db->memory->memos[coll] != NULL &&
        db_memory_counts(db->memory))
        return db_memo_ask(db, coll, id, ret);
    if (m == NULL)
        return db->ops->get(db, coll, id, ret);
    int r = db_image_get(m, id, ret);
    db_image_give(db, coll);
    return r;
}

int db_ask_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                    json_t *into)
{
    const struct db_image *m = db_image_take(db, coll);
    int r = 0;
    if (m == NULL)
        return db->ops->get_many(db, coll, ids, count, into);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        json_t *doc = NULL;
        r = db_image_get(m, ids[i], &doc);
        if (r == 0 || r == -ENOENT)
            r = json_array_append_new(into, r == 0 ? doc : json_null()) < 0 ? -ENOMEM : 0;
    }
    db_image_give(db, coll);
    return r;
}

int db_ask_list(struct db *db, unsigned coll, const struct db_range *range, json_t *into)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->list(db, coll, range, into);
    int r = db_image_list(m, range, into);
    db_image_give(db, coll);
    return r;
}

int db_ask_count(struct db *db, unsigned coll, const struct db_range *range, uint64_t *ret)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->count(db, coll, range, ret);
    int r = db_image_count(m, range, ret);
    db_image_give(db, coll);
    return r;
}

int db_ask_search(struct db *db, unsigned coll, struct db_hits *hits)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->search(db, coll, hits);
    int r = db_image_search(m, hits);
    db_image_give(db, coll);
    return r;
}

int db_ask_facets(struct db *db, unsigned coll, const struct db_facets *facets, bool *ret_done,
                  json_t **ret)
{
    const struct db_image *m = db_image_take(db, coll);
    *ret_done = m != NULL;
    if (m == NULL)
        return 0;
    int r = db_image_facets(m, facets, ret);
    db_image_give(db, coll);
    return r;
}

int db_ask_rarity(struct db *db, unsigned coll, const struct db_term *term, uint64_t *ret)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->rarity(db, coll, term, ret);
    *ret = db_image_rarity(m, term);
    db_image_give(db, coll);
    return 0;
}

int db_ask_total(struct db *db, unsigned coll, uint64_t *ret)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->total(db, coll, ret);
    *ret = m->count;
    db_image_give(db, coll);
    return 0;
}

int db_ask_words(struct db *db, unsigned coll, const char *prefix, unsigned limit, json_t *into)
{
    const struct db_image *m = db_image_take(db, coll);
    if (m == NULL)
        return db->ops->words(db, coll, prefix, limit, into);
    int r = db_image_words(m, prefix, limit, into);
    db_image_give(db, coll);
    return r;
}
