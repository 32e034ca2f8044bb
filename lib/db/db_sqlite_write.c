/* SPDX-License-Identifier: Apache-2.0 */
/* Writes. SQLite has one writer at a time, and each commit is a wait for the disk; so those who
 * write queue up, the first of them leads: it does all that waits in one transaction, and everybody
 * is answered after its commit. While it waits for the disk the next batch gathers.
 *
 * A job that is refused (-EEXIST, -ENOENT, ...) has changed nothing, so the batch goes on. One that
 * fails in the middle spoils the batch: it is rolled back and its jobs are done one by one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "db/db_sqlite.h"

#define DB_SQLITE_BELOW_MAX 256 /* documents that a job deletes: others write in between */

struct db_sqlite_job {
    int (*run)(struct db_sqlite_job *job, struct db_sqlite_conn *c);
    struct db_sqlite *s;
    const struct db_shape *shape;
    const char *id;
    enum db_write how;
    const struct db_draft *draft;
    const json_t *docs;
    db_change_fn *fn;
    void *arg;
    const struct db_key_shape *key;
    int64_t limit;
    uint64_t count;
    int result;
    bool done;
    pthread_cond_t changed; /* done, or: lead now */
    struct db_sqlite_job *next;
};

static int db_sqlite_simple(struct db_sqlite_conn *c, const char *sql)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_puts(&q.sql, sql);
    int r = db_sqlite_run(&q, NULL, c);
    if (r == 0)
        r = db_sqlite_step(&q);
    db_sqlite_end(&q);
    return r;
}

static void db_sqlite_rollback(struct db_sqlite_conn *c)
{
    if (sqlite3_get_autocommit(c->handle) == 0) /* some errors have rolled back already */
        (void)db_sqlite_simple(c, "ROLLBACK");  /* fails only where there is no transaction */
}

/* True: job has its result and what is in the transaction stands. */
static bool db_sqlite_do(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    int64_t before = sqlite3_total_changes64(c->handle);
    job->result = job->run(job, c);
    if (job->result == 0)
        return true;
    return sqlite3_total_changes64(c->handle) == before && sqlite3_get_autocommit(c->handle) == 0;
}

static void db_sqlite_batch(struct db_sqlite *s, struct db_sqlite_job *const *jobs, unsigned count)
{
    struct db_sqlite_conn *c = s->writer;
    bool good = true;
    int r = db_sqlite_simple(c, "BEGIN IMMEDIATE");
    for (unsigned i = 0; r == 0 && good && i < count; i++)
        good = db_sqlite_do(jobs[i], c);
    if (r == 0 && good)
        r = db_sqlite_simple(c, "COMMIT");
    if (r == 0 && good)
        return;
    db_sqlite_rollback(c);
    if (r < 0) {
        for (unsigned i = 0; i < count; i++)
            jobs[i]->result = r;
    } else if (count > 1) {
        for (unsigned i = 0; i < count; i++)
            db_sqlite_batch(s, &jobs[i], 1);
    }
}

/* Called and left with the lock held. Leads one batch; the next leader is the first that waits. */
static void db_sqlite_lead(struct db_sqlite *s)
{
    struct db_sqlite_job *jobs[DB_SQLITE_BATCH_MAX];
    unsigned count = 0;
    while (count < DB_SQLITE_BATCH_MAX && s->first != NULL) {
        jobs[count++] = s->first;
        s->first = s->first->next;
    }
    if (s->first == NULL)
        s->last = NULL;
    s->leading = true;
    (void)pthread_mutex_unlock(&s->lock);
    db_sqlite_batch(s, jobs, count);
    (void)pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < count; i++) {
        jobs[i]->done = true;
        (void)pthread_cond_signal(&jobs[i]->changed);
    }
    s->leading = false;
    if (s->first != NULL)
        (void)pthread_cond_signal(&s->first->changed);
}

static int db_sqlite_submit(struct db_sqlite_job *job)
{
    struct db_sqlite *s = job->s;
    if (s->opening) /* in the transaction that db_sqlite_open has begun */
        return job->run(job, s->writer);
    (void)pthread_cond_init(&job->changed, NULL); /* default attributes: cannot fail */
    (void)pthread_mutex_lock(&s->lock);
    if (s->last != NULL)
        s->last->next = job;
    else
        s->first = job;
    s->last = job;
    while (!job->done) {
        if (!s->leading && s->first == job)
            db_sqlite_lead(s);
        else
            (void)pthread_cond_wait(&job->changed, &s->lock);
    }
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_cond_destroy(&job->changed);
    return job->result;
}

/* Runs q on c; *ret_num is the num that it returns, -ENOENT where it did nothing. */
static int db_sqlite_changed(struct db_sqlite_query *q, struct db_sqlite_conn *c, int64_t *ret_num)
{
    int r = db_sqlite_run(q, NULL, c);
    if (r == 0)
        r = db_sqlite_int(q, ret_num);
    db_sqlite_end(q);
    return r;
}

static int db_sqlite_write_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    const struct db_draft *draft = job->draft;
    struct db_sqlite_query q;
    int64_t num = 0;
    db_sqlite_query_init(&q);
    if (job->how == DB_REPLACE) {
        buf_printf(&q.sql, "UPDATE c_%s SET doc = ? WHERE id = ? RETURNING num", job->shape->name);
        db_sqlite_bind_str(&q, str_of(draft->text));
        db_sqlite_bind_str(&q, str_of(draft->id));
    } else {
        buf_printf(&q.sql, "INSERT INTO c_%s (id, doc) VALUES (?, ?)%s RETURNING num",
                   job->shape->name,
                   job->how == DB_PUT ? " ON CONFLICT (id) DO UPDATE SET doc = excluded.doc" : "");
        db_sqlite_bind_str(&q, str_of(draft->id));
        db_sqlite_bind_str(&q, str_of(draft->text));
    }
    int r = db_sqlite_changed(&q, c, &num);
    return r == 0 ? db_sqlite_text_put(c, job->shape, num, draft->doc) : r;
}

int db_sqlite_write(struct db *db, unsigned coll, enum db_write how, const struct db_draft *draft)
{
    struct db_sqlite_job job = {.run = db_sqlite_write_run,
                                .s = db_sqlite_of(db),
                                .shape = &db->shapes[coll],
                                .how = how,
                                .draft = draft};
    return db_sqlite_submit(&job);
}

/* One transaction. */
static int db_sqlite_many_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    size_t i;
    const json_t *doc;
    int r = 0;
    job->how = DB_PUT;
    json_array_foreach(job->docs, i, doc)
    {
        struct db_draft draft;
        r = db_draft(job->shape, doc, &draft);
        if (r < 0)
            return r;
        job->draft = &draft;
        r = db_sqlite_write_run(job, c);
        job->draft = NULL;
        free(draft.text);
        if (r < 0)
            return r;
    }
    return 0;
}

int db_sqlite_put_many(struct db *db, unsigned coll, const json_t *docs)
{
    struct db_sqlite_job job = {
        .run = db_sqlite_many_run, .s = db_sqlite_of(db), .shape = &db->shapes[coll], .docs = docs};
    return db_sqlite_submit(&job);
}

static int db_sqlite_find_num(struct db_sqlite_job *job, struct db_sqlite_conn *c, int64_t *ret_num,
                              json_t **ret_doc)
{
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "SELECT num, doc FROM c_%s WHERE id = ?", job->shape->name);
    db_sqlite_bind_str(&q, str_of(job->id));
    int r = db_sqlite_run(&q, NULL, c);
    if (r == 0)
        r = db_sqlite_step(&q);
    if (r == 0)
        r = -ENOENT;
    if (r > 0) {
        *ret_num = sqlite3_column_int64(q.stmt, 0);
        r = db_sqlite_document(&q, 1, ret_doc);
    }
    db_sqlite_end(&q);
    return r;
}

static int db_sqlite_remove_num(struct db_sqlite_conn *c, const struct db_shape *shape, int64_t num)
{
    struct db_sqlite_query q;
    int64_t gone;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "DELETE FROM c_%s WHERE num = ? RETURNING num", shape->name);
    db_sqlite_bind_int(&q, num);
    int r = db_sqlite_changed(&q, c, &gone);
    return r == 0 ? db_sqlite_text_remove(c, shape, num) : r;
}

static int db_sqlite_change_to(struct db_sqlite_job *job, struct db_sqlite_conn *c, int64_t num,
                               const json_t *doc)
{
    struct db_draft draft;
    struct db_sqlite_query q;
    int r = db_draft(job->shape, doc, &draft);
    if (r < 0)
        return r;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "UPDATE c_%s SET doc = ? WHERE num = ? RETURNING num", job->shape->name);
    db_sqlite_bind_str(&q, str_of(draft.text));
    db_sqlite_bind_int(&q, num);
    r = db_sqlite_changed(&q, c, &num);
    free(draft.text);
    return r == 0 ? db_sqlite_text_put(c, job->shape, num, doc) : r;
}

static int db_sqlite_change_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    int64_t num = 0;
    json_t *old = NULL;
    json_t *doc = NULL;
    bool gone = false;
    int r = db_sqlite_find_num(job, c, &num, &old);
    if (r < 0)
        return r;
    r = job->fn(job->arg, old, &doc, &gone);
    if (r == 0 && gone)
        r = db_sqlite_remove_num(c, job->shape, num);
    else if (r == 0 && doc != NULL)
        r = db_sqlite_change_to(job, c, num, doc);
    json_decref(old);
    json_decref(doc);
    return r;
}

int db_sqlite_change(struct db *db, unsigned coll, const char *id, db_change_fn *fn, void *arg)
{
    struct db_sqlite_job job = {.run = db_sqlite_change_run,
                                .s = db_sqlite_of(db),
                                .shape = &db->shapes[coll],
                                .id = id,
                                .fn = fn,
                                .arg = arg};
    return db_sqlite_submit(&job);
}

static int db_sqlite_remove_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    struct db_sqlite_query q;
    int64_t num = 0;
    db_sqlite_query_init(&q);
    buf_printf(&q.sql, "DELETE FROM c_%s WHERE id = ? RETURNING num", job->shape->name);
    db_sqlite_bind_str(&q, str_of(job->id));
    int r = db_sqlite_changed(&q, c, &num);
    return r == 0 ? db_sqlite_text_remove(c, job->shape, num) : r;
}

int db_sqlite_remove(struct db *db, unsigned coll, const char *id)
{
    struct db_sqlite_job job = {
        .run = db_sqlite_remove_run, .s = db_sqlite_of(db), .shape = &db->shapes[coll], .id = id};
    return db_sqlite_submit(&job);
}

static int db_sqlite_below_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    int64_t nums[DB_SQLITE_BELOW_MAX];
    unsigned count = 0;
    struct db_sqlite_query q;
    db_sqlite_query_init(&q);
    /* No text is below an integer in SQLite's order, and NULL is below nothing. */
    buf_printf(&q.sql, "SELECT num FROM c_%s", job->shape->name);
    db_sqlite_indexed(&q, job->s, job->shape, job->key);
    buf_printf(&q.sql, " WHERE json_extract(doc, '$.%s') < ? LIMIT %d", job->key->fields[0],
               DB_SQLITE_BELOW_MAX);
    db_sqlite_bind_int(&q, job->limit);
    int r = db_sqlite_run(&q, NULL, c);
    while (r >= 0 && (r = db_sqlite_step(&q)) > 0 && count < DB_SQLITE_BELOW_MAX)
        nums[count++] = sqlite3_column_int64(q.stmt, 0);
    db_sqlite_end(&q);
    for (unsigned i = 0; r >= 0 && i < count; i++)
        r = db_sqlite_remove_num(c, job->shape, nums[i]);
    job->count = count;
    return r;
}

int db_sqlite_remove_below(struct db *db, unsigned coll, const struct db_key_shape *key,
                           int64_t limit, uint64_t *ret_count)
{
    uint64_t count = 0;
    for (;;) {
        struct db_sqlite_job job = {.run = db_sqlite_below_run,
                                    .s = db_sqlite_of(db),
                                    .shape = &db->shapes[coll],
                                    .key = key,
                                    .limit = limit};
        int r = db_sqlite_submit(&job);
        if (r < 0)
            return r;
        count += job.count;
        if (job.count < DB_SQLITE_BELOW_MAX)
            break;
    }
    *ret_count = count;
    return 0;
}

/* data_version changes with what other connections commit; in this process the writer's is the only
 * one that does. */
static int db_sqlite_others_run(struct db_sqlite_job *job, struct db_sqlite_conn *c)
{
    struct db_sqlite_query q;
    int64_t version = 0;
    db_sqlite_query_init(&q);
    buf_puts(&q.sql, "PRAGMA data_version");
    int r = db_sqlite_run(&q, NULL, c);
    if (r == 0)
        r = db_sqlite_int(&q, &version);
    db_sqlite_end(&q);
    job->count = version != job->s->seen ? 1 : 0;
    if (r == 0)
        job->s->seen = version;
    return r;
}

int db_sqlite_others(struct db *db, bool *ret)
{
    struct db_sqlite_job job = {.run = db_sqlite_others_run, .s = db_sqlite_of(db)};
    int r = db_sqlite_submit(&job);
    if (r == 0)
        *ret = job.count > 0;
    return r;
}
