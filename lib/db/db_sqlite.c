/* SPDX-License-Identifier: Apache-2.0 */
/* Single documents read, and the table of the backend's operations. */
#include "db/db_sqlite.h"
#include <errno.h>
#include <stdlib.h>

static void db_sqlite_close(struct db *db)
{
    struct db_sqlite *s = db_sqlite_of(db);
    ASSERT(s->first == NULL);
    for (unsigned i = 0; i < s->readers_count; i++)
        db_sqlite_disconnect(s->readers[i]);
    db_sqlite_disconnect(s->writer);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_cond_destroy(&s->freed);
    db_end(db);
    free(s->path);
    free(s);
}

/* The first row's document, -ENOENT when there is none. */
static int db_sqlite_one(struct db_sqlite_query *q, struct db_sqlite *s, struct db_sqlite_conn *c,
                         json_t **ret)
{
    int r = db_sqlite_run(q, s, c);
    if (r == 0)
        r = db_sqlite_step(q);
    if (r == 0)
        r = -ENOENT;
    else if (r > 0)
        r = db_sqlite_document(q, 0, ret);
    db_sqlite_end(q);
    return r;
}

static int db_sqlite_get_by(struct db_sqlite *s, struct db_sqlite_conn *c, unsigned coll,
                            const char *id, json_t **ret)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT doc FROM c_%s WHERE id = ?", s->db.shapes[coll].name);
    db_sqlite_bind_str(&q, str_of(id));
    return db_sqlite_one(&q, s, c, ret);
}

static int db_sqlite_get(struct db *db, unsigned coll, const char *id, json_t **ret)
{
    return db_sqlite_get_by(db_sqlite_of(db), NULL, coll, id, ret);
}

static int db_sqlite_get_many(struct db *db, unsigned coll, const char *const *ids, unsigned count,
                              json_t *into)
{
    struct db_sqlite *s = db_sqlite_of(db);
    struct db_sqlite_conn *c = NULL;
    int r = db_sqlite_take(s, &c);
    if (r < 0)
        return r;
    for (unsigned i = 0; r == 0 && i < count; i++) {
        json_t *doc = NULL;
        r = db_id_ok(ids[i]) ? db_sqlite_get_by(s, c, coll, ids[i], &doc) : -ENOENT;
        if (r == 0 || r == -ENOENT)
            r = json_array_append_new(into, r == 0 ? doc : json_null()) < 0 ? -ENOMEM : 0;
    }
    db_sqlite_give(s, c);
    return r;
}

static int db_sqlite_find(struct db *db, unsigned coll, const struct db_key_shape *key,
                          const json_t *value, json_t **ret)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT doc FROM c_%s", db->shapes[coll].name);
    db_sqlite_indexed(&q, db_sqlite_of(db), &db->shapes[coll], key);
    buf_printf(&q.sql, " WHERE json_extract(doc, '$.%s') = ?", key->fields[0]);
    db_sqlite_bind_value(&q, value);
    return db_sqlite_one(&q, db_sqlite_of(db), NULL, ret);
}

const struct db_backend_ops db_sqlite_ops = {
    .write = db_sqlite_write,
    .put_many = db_sqlite_put_many,
    .change = db_sqlite_change,
    .get = db_sqlite_get,
    .newest = db_sqlite_get,
    .get_many = db_sqlite_get_many,
    .find = db_sqlite_find,
    .remove = db_sqlite_remove,
    .remove_below = db_sqlite_remove_below,
    .list = db_sqlite_list,
    .count = db_sqlite_count,
    .search = db_sqlite_search,
    .facets = db_sqlite_facets,
    .rarity = db_sqlite_rarity,
    .total = db_sqlite_total,
    .words = db_sqlite_words,
    .scan = db_sqlite_scan,
    .others = db_sqlite_others,
    .check = db_sqlite_check,
    .close = db_sqlite_close,
};
