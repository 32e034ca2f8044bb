/* SPDX-License-Identifier: Apache-2.0 */
#include "property_model.h"
#include <errno.h>
#include <stdio.h>
#include "store/format.h"

static uint32_t model_size(uint64_t seed, uint32_t thing)
{
    static const uint32_t sizes[] = {0, 90, 4000, 5000, 30000, 70000};
    return sizes[(seed + thing) % ARRAY_LEN(sizes)] + thing;
}

static uint64_t model_hash(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static struct rbuf *model_film_blob(const struct model *m, uint32_t film, struct digest *ret)
{
    struct digest links[MODEL_LINKS];
    const struct model_film *f = &m->films[film];
    for (uint32_t i = 0; i < f->count; i++)
        links[i] = m->things[f->links[i]].digest;
    return links_fixture_blob(film, links, f->count, ret);
}

struct rbuf *model_blob(const struct model *m, uint32_t thing)
{
    struct digest d;
    if (thing < MODEL_BLOBS)
        return fixture_blob(m->seed * 1000 + thing, m->things[thing].length, &d);
    return model_film_blob(m, thing - MODEL_BLOBS, &d);
}

void model_init(struct model *m, uint64_t seed)
{
    *m = (struct model){.seed = seed};
    for (uint32_t i = 0; i < MODEL_BLOBS; i++) {
        struct model_thing *t = &m->things[i];
        t->length = model_size(seed, i);
        rbuf_unref(fixture_blob(seed * 1000 + i, t->length, &t->digest));
    }
    for (uint32_t i = 0; i < MODEL_FILMS; i++) {
        struct model_film *f = &m->films[i];
        struct model_thing *t = &m->things[MODEL_BLOBS + i];
        uint64_t random = model_hash(seed * 100 + i);
        uint32_t count = (uint32_t)(random % (MODEL_LINKS + 1));
        /* A step that has nothing in common with their number: each comes once. */
        uint32_t at = (uint32_t)(random >> 8) % MODEL_BLOBS, step = (random >> 20) % 2 != 0 ? 5 : 7;
        for (f->count = 0; f->count < count; f->count++, at = (at + step) % MODEL_BLOBS)
            f->links[f->count] = at;
        struct rbuf *b = model_film_blob(m, i, &t->digest);
        t->length = rbuf_size(b);
        rbuf_unref(b);
    }
    for (uint32_t i = 0; i < MODEL_NAMES; i++) {
        m->names[i].film = MODEL_NONE;
        (void)snprintf(m->names[i].name, sizeof m->names[i].name, "ref.%u", i);
    }
}

/* --- the store's part ------------------------------------------------------------------------- */

static int model_read(const struct model *m, struct store_worker *w, uint32_t thing)
{
    struct rbuf *got = NULL;
    int r = fixture_get(w, &m->things[thing].digest, &got);
    if (r == 0) {
        uint32_t size, want_size;
        struct rbuf *want = model_blob(m, thing);
        const uint8_t *a = rbuf_data(got, &size), *b = rbuf_data(want, &want_size);
        if (size != want_size || (size > 0 && memcmp(a, b, size) != 0))
            r = -EILSEQ;
        rbuf_unref(want);
    }
    rbuf_unref(got);
    return r;
}

int model_do(const struct model *m, struct store *s, struct store_worker *w,
             const struct model_op *op)
{
    int r = -EINVAL;
    struct rbuf *b;
    switch (op->kind) {
    case MODEL_PUT:
        b = model_blob(m, op->thing);
        r = fixture_put(w, &m->things[op->thing].digest, b, 0);
        rbuf_unref(b);
        return r;
    case MODEL_REF:
        return fixture_ref_put(w, m->names[op->name].name,
                               &m->things[MODEL_BLOBS + op->thing].digest, STORE_REF_ANY);
    case MODEL_DELETE:
        return fixture_ref_delete(w, m->names[op->name].name);
    case MODEL_READ:
        return model_read(m, w, op->thing);
    case MODEL_SETTLE:
        links_fixture_later(op->seconds);
        return store_settle(s);
    }
    return r;
}

/* --- what became of it ------------------------------------------------------------------------ */

static void model_orphan(struct model *m, struct model_thing *t, uint64_t wait_s)
{
    t->due_least = t->due_most = m->now_s + wait_s;
}

static void model_unname(struct model *m, struct model_thing *t)
{
    assert_true(t->refs > 0);
    if (--t->refs == 0)
        model_orphan(m, t, MODEL_DROPPED);
}

static void model_name(struct model_thing *t)
{
    t->is = MODEL_PRESENT;
    t->refs++;
}

static void model_hold(struct model *m, uint32_t film)
{
    struct model_film *f = &m->films[film];
    if (f->holds++ > 0)
        return;
    model_name(&m->things[MODEL_BLOBS + film]);
    for (uint32_t i = 0; i < f->count; i++)
        model_name(&m->things[f->links[i]]);
}

static void model_let_go(struct model *m, uint32_t film)
{
    if (film == MODEL_NONE || --m->films[film].holds > 0)
        return;
    const struct model_film *f = &m->films[film];
    model_unname(m, &m->things[MODEL_BLOBS + film]);
    for (uint32_t i = 0; i < f->count; i++)
        model_unname(m, &m->things[f->links[i]]);
}

/* Whether a ref of the film must or can be refused. */
static enum model_is model_film_is(const struct model *m, uint32_t film)
{
    const struct model_film *f = &m->films[film];
    enum model_is is = m->things[MODEL_BLOBS + film].is;
    for (uint32_t i = 0; i < f->count && is != MODEL_ABSENT; i++) {
        enum model_is link = m->things[f->links[i]].is;
        is = link == MODEL_PRESENT ? is : link;
    }
    return is;
}

static void model_move(struct model *m, struct model_name *n, uint32_t film)
{
    uint32_t before = n->film;
    if (film != MODEL_NONE)
        model_hold(m, film); /* first: what both name is not let go of */
    model_let_go(m, before);
    n->film = film;
    n->generation++;
}

static void model_put(struct model *m, struct model_thing *t)
{
    t->is = MODEL_PRESENT;
    if (t->refs == 0)
        model_orphan(m, t, MODEL_UNREFERENCED);
}

static void model_settle(struct model *m, uint32_t seconds)
{
    m->now_s += seconds;
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        struct model_thing *t = &m->things[i];
        if (t->refs > 0 || t->is == MODEL_ABSENT)
            continue;
        if (t->due_most <= m->now_s)
            t->is = MODEL_ABSENT;
        else if (t->due_least <= m->now_s)
            t->is = MODEL_MAYBE;
    }
}

/* The answer that there must have been, where there is only one. */
static void model_expect(const struct model *m, const struct model_op *op, enum model_is is,
                         int res)
{
    if ((is == MODEL_PRESENT && res != 0) || (is == MODEL_ABSENT && res != -ENOENT))
        print_message("seed %d: op %d of thing %u and name %u gave %d\n", (int)m->seed, op->kind,
                      op->thing, op->name, res);
    if (is == MODEL_MAYBE)
        assert_true(res == 0 || res == -ENOENT);
    else
        assert_int_equal(res, is == MODEL_PRESENT ? 0 : -ENOENT);
}

void model_done(struct model *m, const struct model_op *op, int res)
{
    struct model_name *n = &m->names[op->name];
    switch (op->kind) {
    case MODEL_PUT:
        assert_int_equal(res, 0);
        model_put(m, &m->things[op->thing]);
        break;
    case MODEL_REF:
        model_expect(m, op, model_film_is(m, op->thing), res);
        if (res == 0)
            model_move(m, n, op->thing);
        break;
    case MODEL_DELETE:
        model_expect(m, op, n->film == MODEL_NONE ? MODEL_ABSENT : MODEL_PRESENT, res);
        if (res == 0)
            model_move(m, n, MODEL_NONE);
        break;
    case MODEL_READ:
        /* What may be absent may come back while its space is not given back: by a rebuild. */
        model_expect(m, op, m->things[op->thing].is, res);
        break;
    case MODEL_SETTLE:
        assert_int_equal(res, 0);
        model_settle(m, op->seconds);
        break;
    }
}

void model_maybe(struct model *m, const struct model_op *op)
{
    struct model_thing *t = &m->things[op->thing];
    if (op->kind == MODEL_PUT && t->refs == 0) {
        uint64_t due = m->now_s + MODEL_UNREFERENCED;
        t->due_least = t->is == MODEL_ABSENT ? due : MIN(t->due_least, due);
        t->due_most = due;
        t->is = t->is == MODEL_ABSENT ? MODEL_MAYBE : t->is;
    }
    if (op->kind != MODEL_SETTLE)
        return;
    m->now_s += op->seconds;
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        t = &m->things[i];
        if (t->refs == 0 && t->is == MODEL_PRESENT && t->due_least <= m->now_s)
            t->is = MODEL_MAYBE;
    }
}

void model_look(struct model *m, struct store_worker *w, const struct model_op *op)
{
    struct model_name *n = &m->names[op->name];
    struct store_ref ref;
    if (op->kind != MODEL_REF && op->kind != MODEL_DELETE)
        return;
    int r = store_ref_get(w, str_of(n->name), &ref);
    bool is_delete = op->kind == MODEL_DELETE, had = n->film != MODEL_NONE;
    bool moved = r == 0 ? ref.generation != n->generation : had;
    if (!moved)
        return;
    if (is_delete)
        assert_int_equal(r, -ENOENT);
    else
        assert_int_not_equal(model_film_is(m, op->thing), MODEL_ABSENT);
    model_move(m, n, is_delete ? MODEL_NONE : op->thing);
}

void model_rebuilt(struct model *m, struct store_worker *w)
{
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        struct model_thing *t = &m->things[i];
        if (t->refs > 0 || t->is == MODEL_ABSENT)
            continue;
        /* Nothing is due now, so that what is there is there to stay for a while. */
        bool there = links_fixture_refs(w, &t->digest) >= 0;
        assert_true(there || t->is == MODEL_MAYBE);
        t->is = there ? MODEL_PRESENT : MODEL_ABSENT;
        model_orphan(m, t, MODEL_UNREFERENCED);
    }
}

/* --- checks ----------------------------------------------------------------------------------- */

struct model_listed {
    const struct model *model;
    unsigned found, blobs;
};

static bool model_each_blob(void *arg, const struct store_blob *b)
{
    struct model_listed *x = arg;
    x->blobs++;
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        const struct model_thing *t = &x->model->things[i];
        if (!digest_eq(&t->digest, &b->digest))
            continue;
        x->found++;
        assert_int_not_equal(t->is, MODEL_ABSENT);
        assert_int_equal(b->refs, t->refs);
        assert_int_equal(b->length, t->length);
        assert_false(b->damaged);
    }
    return true;
}

static bool model_each_ref(void *arg, struct str name, const struct store_ref *ref)
{
    (void)name;
    (void)ref;
    ++*(unsigned *)arg;
    return true;
}

static void model_check_refs(const struct model *m, struct store_worker *w)
{
    unsigned want = 0, got = 0;
    for (uint32_t i = 0; i < MODEL_NAMES; i++) {
        const struct model_name *n = &m->names[i];
        struct store_ref ref;
        int r = store_ref_get(w, str_of(n->name), &ref);
        assert_int_equal(r, n->film == MODEL_NONE ? -ENOENT : 0);
        if (r < 0)
            continue;
        want++;
        assert_int_equal(ref.generation, n->generation);
        assert_true(digest_eq(&ref.presentation, &m->things[MODEL_BLOBS + n->film].digest));
    }
    assert_int_equal(store_ref_list(w, model_each_ref, &got), 0);
    assert_int_equal(got, want);
}

uint64_t model_live(const struct model *m, uint64_t *ret_blobs)
{
    uint64_t sum = 0;
    *ret_blobs = 0;
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        bool there = m->things[i].is == MODEL_PRESENT;
        sum += there ? format_record_size(m->things[i].length) : 0;
        *ret_blobs += there;
    }
    /* A ref has one record, a deleted one too. */
    for (uint32_t i = 0; i < MODEL_NAMES; i++)
        sum += m->names[i].generation > 0 ? FORMAT_ALIGN : 0;
    return sum;
}

void model_check(struct model *m, struct store *s, struct store_worker *w)
{
    struct store_stat stat;
    struct model_listed listed = {.model = m};
    uint64_t blobs = 0;
    model_check_refs(m, w);
    for (uint32_t i = 0; i < MODEL_THINGS; i++) {
        struct model_op read = {.kind = MODEL_READ, .thing = i};
        int r = model_do(m, s, w, &read);
        model_done(m, &read, r);
        /* Settled: it neither goes nor comes by itself. */
        m->things[i].is = r == 0 ? MODEL_PRESENT : MODEL_ABSENT;
    }
    assert_int_equal(store_blob_list(w, model_each_blob, &listed), 0);
    uint64_t live = model_live(m, &blobs);
    assert_int_equal(listed.found, blobs);
    assert_int_equal(listed.blobs, blobs);
    store_stat(s, &stat);
    assert_int_equal(stat.blobs, blobs);
    assert_int_equal(stat.live_bytes, live);
    assert_int_equal(stat.damaged, 0);
    assert_true(stat.used_bytes >= stat.live_bytes);
}
