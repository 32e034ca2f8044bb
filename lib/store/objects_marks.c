/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of purges in RAM: a table that is read by all and changed by the writer, once a change is
 * on disk. A mark is never taken away but by raising the floor above it, so it depends on no clock
 * how long one counts. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include "store/index_priv.h"
#include "store/objects_priv.h"

#define MARKS_SLOTS_MIN 64u

/* --- rows of the file ------------------------------------------------------------------------- */

struct mark_disk {
    uint64_t hard, soft, own, sum;
};

static int mark_read(const struct digest *tag, const struct mark_disk *d,
                     struct objects_mark_row *ret, uint64_t *ret_sum)
{
    uint64_t sum = objects_row_sum(tag, d, offsetof(struct mark_disk, sum));
    if (le64toh(d->sum) != sum)
        return -EBADMSG;
    *ret = (struct objects_mark_row){le64toh(d->hard), le64toh(d->soft), le64toh(d->own)};
    *ret_sum = sum;
    return ret->hard == 0 && ret->soft == 0 ? -EBADMSG : 0;
}

int objects_mark_row_get(struct objects *o, MDB_txn *txn, const struct digest *tag,
                         struct objects_mark_row *ret, uint64_t *ret_sum)
{
    struct mark_disk d;
    int r =
        index_get_row(txn, o->dbs[OBJECTS_MARKS], index_val(tag->bytes, DIGEST_SIZE), &d, sizeof d);
    return r < 0 ? r : mark_read(tag, &d, ret, ret_sum);
}

int objects_mark_row_put(struct objects *o, MDB_txn *txn, const struct digest *tag,
                         const struct objects_mark_row *row, uint64_t *ret_sum)
{
    struct mark_disk d = {htole64(row->hard), htole64(row->soft), htole64(row->own), 0};
    uint64_t sum = objects_row_sum(tag, &d, offsetof(struct mark_disk, sum));
    d.sum = htole64(sum);
    MDB_val key = index_val(tag->bytes, DIGEST_SIZE), value = index_val(&d, sizeof d);
    int r = index_err(mdb_put(txn, o->dbs[OBJECTS_MARKS], &key, &value, 0));
    if (r == 0)
        *ret_sum = sum;
    return r;
}

uint64_t objects_row_last(const struct objects_mark_row *row)
{
    return MAX(row->hard, row->soft);
}

void objects_row_raise(struct objects_mark_row *row, enum objects_mark mark, bool own,
                       uint64_t sequence)
{
    if (mark == OBJECTS_HARD)
        row->hard = MAX(row->hard, sequence);
    else if (mark == OBJECTS_SOFT)
        row->soft = MAX(row->soft, sequence);
    if (own)
        row->own = MAX(row->own, sequence);
}

/* --- the table -------------------------------------------------------------------------------- */

static struct objects_marks_shard *marks_shard(struct objects *o, const struct digest *tag)
{
    return &o->marks[tag->bytes[0] % OBJECTS_SHARDS];
}

static bool slot_free(const struct objects_mark_slot *s)
{
    return objects_row_last(&s->row) == 0;
}

/* Where the tag is, or where it would go. At least one slot is free. */
static struct objects_mark_slot *marks_find(const struct objects_marks_shard *s,
                                            const struct digest *tag)
{
    uint64_t at;
    memcpy(&at, tag->bytes + 8, sizeof at);
    for (;; at++) {
        struct objects_mark_slot *slot = &s->slots[at & (s->slots_count - 1)];
        if (slot_free(slot) || digest_eq(&slot->tag, tag))
            return slot;
    }
}

/* Moves those that are younger than a sequence into a table of its own; with the lock. */
static int marks_rebuild(struct objects_marks_shard *s, uint64_t slots_count, uint64_t above)
{
    struct objects_marks_shard n = {.slots_count = slots_count};
    n.slots = calloc(slots_count, sizeof *n.slots);
    if (n.slots == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < s->slots_count; i++) {
        const struct objects_mark_slot *from = &s->slots[i];
        if (slot_free(from) || objects_row_last(&from->row) <= above)
            continue;
        *marks_find(&n, &from->tag) = *from;
        n.count++;
    }
    free(s->slots);
    s->slots = n.slots;
    s->slots_count = n.slots_count;
    s->count = n.count;
    return 0;
}

/* Room for so many more. */
static int marks_room(struct objects_marks_shard *s, uint64_t more)
{
    uint64_t slots = MAX(s->slots_count, MARKS_SLOTS_MIN);
    int r = 0;
    (void)pthread_rwlock_wrlock(&s->lock);
    while ((s->count + more) + (s->count + more) / 2 >= slots)
        slots *= 2;
    if (slots != s->slots_count)
        r = marks_rebuild(s, slots, 0);
    (void)pthread_rwlock_unlock(&s->lock);
    return r;
}

int objects_marks_reserve(struct objects *o, const struct objects_wish *wishes)
{
    uint64_t more[OBJECTS_SHARDS] = {0};
    int r = 0;
    for (const struct objects_wish *w = wishes; w != NULL; w = w->next) {
        for (unsigned i = 0; i < w->count; i++)
            more[w->purges[i].tag.bytes[0] % OBJECTS_SHARDS]++;
    }
    for (unsigned i = 0; i < OBJECTS_SHARDS && r == 0; i++)
        r = more[i] > 0 ? marks_room(&o->marks[i], more[i]) : 0;
    return r;
}

static void marks_put(struct objects *o, const struct digest *tag,
                      const struct objects_mark_row *row)
{
    struct objects_marks_shard *s = marks_shard(o, tag);
    (void)pthread_rwlock_wrlock(&s->lock);
    struct objects_mark_slot *slot = marks_find(s, tag);
    if (slot_free(slot)) {
        *slot = (struct objects_mark_slot){.tag = *tag};
        s->count++;
        atomic_fetch_add_explicit(&o->marks_count, 1, memory_order_relaxed);
        ASSERT(s->count < s->slots_count);
    }
    slot->row.hard = MAX(slot->row.hard, row->hard);
    slot->row.soft = MAX(slot->row.soft, row->soft);
    slot->row.own = MAX(slot->row.own, row->own);
    (void)pthread_rwlock_unlock(&s->lock);
}

void objects_marks_set(struct objects *o, const struct digest *tag, enum objects_mark mark,
                       bool own, uint64_t sequence)
{
    struct objects_mark_row row = {0};
    objects_row_raise(&row, mark, own, sequence);
    marks_put(o, tag, &row);
}

void objects_floor_raise(struct objects *o, const struct objects_mark_row *to)
{
    /* One thread at a time does this. */
    atomic_store(&o->floor_hard, MAX(atomic_load(&o->floor_hard), to->hard));
    atomic_store(&o->floor_soft, MAX(atomic_load(&o->floor_soft), to->soft));
    atomic_store(&o->floor_own, MAX(atomic_load(&o->floor_own), to->own));
}

/* A table that cannot be made smaller stays: its marks are right, only superfluous. */
void objects_marks_cut(struct objects *o, uint64_t above)
{
    uint64_t left = 0;
    for (unsigned i = 0; i < OBJECTS_SHARDS; i++) {
        struct objects_marks_shard *s = &o->marks[i];
        (void)pthread_rwlock_wrlock(&s->lock);
        if (s->slots_count > 0)
            (void)marks_rebuild(s, s->slots_count, above);
        left += s->count;
        (void)pthread_rwlock_unlock(&s->lock);
    }
    atomic_store_explicit(&o->marks_count, left, memory_order_relaxed);
}

int objects_marks_each(struct objects *o, objects_marks_fn *each, void *arg)
{
    int r = 0;
    for (unsigned i = 0; i < OBJECTS_SHARDS && r == 0; i++) {
        struct objects_marks_shard *s = &o->marks[i];
        (void)pthread_rwlock_rdlock(&s->lock);
        for (uint64_t j = 0; j < s->slots_count && r == 0; j++) {
            if (!slot_free(&s->slots[j]))
                r = each(arg, &s->slots[j]);
        }
        (void)pthread_rwlock_unlock(&s->lock);
    }
    return r;
}

static enum objects_mark row_check(const struct objects_mark_row *row, uint64_t sequence)
{
    if (row->hard > sequence)
        return OBJECTS_HARD;
    return row->soft > sequence ? OBJECTS_SOFT : OBJECTS_STANDS;
}

/* Another process has the file: what it purged is in there before it answered. A file that cannot
 * be read leaves it open what was purged: everything may be. */
static int marks_refresh(struct objects *o)
{
    struct objects_reader *reader = NULL;
    struct objects_state state;
    int r = objects_reader_take(o, &reader);
    if (r < 0)
        return r;
    r = objects_state_get(o, reader->txn, &state);
    if (r == 0 && state.sequence > objects_sequence(o)) {
        (void)pthread_mutex_lock(&o->lock);
        o->state = state;
        r = objects_marks_load(o, reader->txn);
        (void)pthread_mutex_unlock(&o->lock);
    }
    objects_reader_give(o, reader);
    return r;
}

enum objects_mark objects_check(struct objects *o, const struct digest *tags, unsigned count,
                                uint64_t sequence)
{
    if (atomic_load_explicit(&o->yielded, memory_order_relaxed) && marks_refresh(o) < 0)
        return OBJECTS_HARD;
    /* Nothing was purged since. The sequence is told after the marks are in the table. */
    if (objects_sequence(o) <= sequence)
        return OBJECTS_STANDS;
    enum objects_mark mark = OBJECTS_STANDS;
    for (unsigned i = 0; i < count && mark != OBJECTS_HARD; i++) {
        struct objects_marks_shard *s = marks_shard(o, &tags[i]);
        (void)pthread_rwlock_rdlock(&s->lock);
        if (s->count > 0) {
            const struct objects_mark_slot *slot = marks_find(s, &tags[i]);
            enum objects_mark found =
                slot_free(slot) ? OBJECTS_STANDS : row_check(&slot->row, sequence);
            mark = MAX(mark, found);
        }
        (void)pthread_rwlock_unlock(&s->lock);
    }
    /* After the marks: one that has gone from the table by now is in the floor. */
    const struct objects_mark_row row = {.hard = atomic_load(&o->floor_hard),
                                         .soft = atomic_load(&o->floor_soft)};
    enum objects_mark floor = row_check(&row, sequence);
    return MAX(mark, floor);
}

enum objects_mark objects_check_again(struct objects *o, const struct digest *tags, unsigned count,
                                      uint64_t sequence, _Atomic uint64_t *stood)
{
    uint64_t now = objects_sequence(o); /* before the marks are looked at */
    if (atomic_load_explicit(stood, memory_order_relaxed) == now &&
        !atomic_load_explicit(&o->yielded, memory_order_relaxed))
        return OBJECTS_STANDS;
    enum objects_mark mark = objects_check(o, tags, count, sequence);
    if (mark == OBJECTS_STANDS)
        atomic_store_explicit(stood, now, memory_order_relaxed);
    return mark;
}

/* --- opening ---------------------------------------------------------------------------------- */

void objects_marks_init(struct objects *o)
{
    for (unsigned i = 0; i < OBJECTS_SHARDS; i++)
        (void)pthread_rwlock_init(&o->marks[i].lock, NULL); /* does not fail with defaults */
}

void objects_marks_free(struct objects *o)
{
    for (unsigned i = 0; i < OBJECTS_SHARDS; i++) {
        free(o->marks[i].slots);
        (void)pthread_rwlock_destroy(&o->marks[i].lock);
    }
}

/* o->state is read already: rows that are not as it says would let purged bytes come back. */
int objects_marks_load(struct objects *o, MDB_txn *txn)
{
    MDB_cursor *c = NULL;
    MDB_val key, value;
    uint64_t count = 0, sums = 0;
    int r = index_err(mdb_cursor_open(txn, o->dbs[OBJECTS_MARKS], &c));
    if (r < 0)
        return r;
    for (r = index_err(mdb_cursor_get(c, &key, &value, MDB_FIRST)); r == 0;) {
        struct mark_disk d;
        struct digest tag;
        struct objects_mark_row row;
        uint64_t sum = 0;
        if (key.mv_size != sizeof tag.bytes || value.mv_size != sizeof d) {
            r = -EBADMSG;
            break;
        }
        memcpy(tag.bytes, key.mv_data, sizeof tag.bytes);
        memcpy(&d, value.mv_data, sizeof d);
        r = mark_read(&tag, &d, &row, &sum);
        if (r == 0 && MAX(objects_row_last(&row), row.own) > o->state.sequence)
            r = -EBADMSG;
        if (r == 0)
            r = marks_room(marks_shard(o, &tag), 1);
        if (r < 0)
            break;
        marks_put(o, &tag, &row);
        count++;
        sums ^= sum;
        r = index_err(mdb_cursor_get(c, &key, &value, MDB_NEXT));
    }
    mdb_cursor_close(c);
    if (r != -ENOENT)
        return r;
    if (count != o->state.marks || sums != o->state.marks_sum)
        return -EBADMSG;
    objects_floor_raise(o, &o->state.floor);
    atomic_store(&o->sequence, o->state.sequence);
    return 0;
}
