/* SPDX-License-Identifier: Apache-2.0 */
/* The other way round: every entry must have its extent, and refs must name what is there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/store_verify.h"
#include "store/store_verify_priv.h"

#define VERIFY_TRIES 4u /* of a look-up that meets a copy just moved */

/* --- entries ---------------------------------------------------------------------------------- */

/* What is wrong with an entry by the index alone, or NULL. */
static int verify_entry_wrong(struct verify *v, const struct digest *d, const struct index_entry *e,
                              const char **ret)
{
    struct index_extent x;
    unsigned count = 0;
    *ret = NULL;
    if (e->volume == 0) {
        if ((e->flags & INDEX_REMOTE) == 0)
            *ret = "its entry says that it is nowhere";
        return 0;
    }
    int r = index_extents(v->reader, e->volume, e->offset, 1, &x, &count);
    if (r < 0)
        return r;
    if (count != 1 || x.offset != e->offset || x.kind != FORMAT_BLOB || !digest_eq(&x.digest, d))
        *ret = "its entry says that it is here, and there is no extent of it";
    else if (verify_row(v, e->volume) == NULL)
        *ret = "its entry names a volume that there is not";
    return 0;
}

static int verify_entry(struct verify *v, const struct index_blob *b)
{
    struct index_entry now = b->entry;
    const char *wrong = NULL;
    int r = verify_entry_wrong(v, &b->digest, &b->entry, &wrong);
    if (r < 0 || wrong == NULL)
        return r;
    /* Once more with what is true now: rows of new volumes too. */
    r = verify_read_rows(v);
    if (r == 0)
        r = index_find(v->reader, &b->digest, &now);
    if (r == 0)
        r = verify_entry_wrong(v, &b->digest, &now, &wrong);
    if (r < 0 || wrong == NULL || now.volume != b->entry.volume || now.offset != b->entry.offset)
        return r == -ENOENT ? 0 : r;
    verify_say(v, &(struct store_fault){.kind = STORE_FAULT_INDEX,
                                        .volume = now.volume,
                                        .offset = now.offset,
                                        .has_digest = true,
                                        .digest = b->digest,
                                        .text = wrong});
    return 0;
}

int verify_entries(struct verify *v)
{
    struct digest last = {{0}};
    bool after = false;
    unsigned count = 0;
    int r = 0;
    do {
        r = index_blobs(v->reader, &last, after, VERIFY_CHUNK, v->blobs, &count);
        for (unsigned i = 0; i < count && r == 0; i++)
            r = verify_entry(v, &v->blobs[i]);
        if (count > 0)
            last = v->blobs[count - 1].digest;
        after = true;
        if (r == 0)
            r = verify_go_on(v);
    } while (r == 0 && count > 0);
    return r;
}

/* --- refs ------------------------------------------------------------------------------------- */

struct verify_name {
    char name[STORE_NAME_MAX + 1];
    struct digest presentation;
};

struct verify_names {
    struct verify_name *names;
    size_t count, cap;
    bool failed;
};

static bool verify_add_name(void *arg, struct str name, const struct store_ref *ref)
{
    struct verify_names *l = arg;
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct verify_name *more = reallocarray(l->names, cap, sizeof *more);
        if (more == NULL) {
            l->failed = true;
            return false;
        }
        l->names = more;
        l->cap = cap;
    }
    struct verify_name *n = &l->names[l->count];
    if (str_copy(name, n->name, sizeof n->name) < 0)
        return true; /* longer than a name may be: its row was found out otherwise */
    n->presentation = ref->presentation;
    l->count++;
    return true;
}

struct verify_ref {
    struct verify *v;
    const struct verify_name *name;
    bool is_cached; /* of a cache, which need not have what its refs name */
};

static int verify_compare(const void *a, const void *b)
{
    return digest_compare(a, b);
}

static bool verify_is_damaged(const struct verify *v, const struct digest *d)
{
    return v->damaged.count > 0 && bsearch(d, v->damaged.digests, v->damaged.count,
                                           sizeof *v->damaged.digests, verify_compare) != NULL;
}

/* Whether the ref still names what it did. */
static bool verify_ref_stands(const struct verify_ref *x)
{
    struct store_ref now;
    return index_find_ref(x->v->reader, str_of(x->name->name), &now) == 0 &&
           digest_eq(&now.presentation, &x->name->presentation);
}

static void verify_ref_fault(const struct verify_ref *x, const struct digest *d, const char *text)
{
    if (verify_ref_stands(x))
        verify_say(x->v, &(struct store_fault){.kind = STORE_FAULT_MISSING,
                                               .has_digest = true,
                                               .digest = *d,
                                               .ref = x->name->name,
                                               .text = text});
}

static int verify_link(void *arg, const struct digest *d)
{
    struct verify_ref *x = arg;
    struct index_entry e;
    int r = index_find(x->v->reader, d, &e);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r == -ENOENT && !x->is_cached)
        verify_ref_fault(x, d, "the ref's presentation names it, and it is not there");
    else if (r == 0 && ((e.flags & INDEX_QUARANTINED) != 0 || verify_is_damaged(x->v, d)))
        verify_ref_fault(x, d, "the ref's presentation names it, and it is damaged");
    return 0;
}

/* The record of a presentation, which may be moved while we ask for it. */
static int verify_read_presentation(struct verify *v, const struct digest *d, struct index_entry *e,
                                    struct rbuf **ret)
{
    int r = -ENOENT;
    for (unsigned tries = 0; tries < VERIFY_TRIES && (r == -ENOENT || r == -EBADMSG); tries++) {
        r = index_find(v->reader, d, e);
        if (r == 0 && (e->flags & INDEX_QUARANTINED) != 0)
            return -EBADMSG;
        if (r == 0)
            r = verify_read_rows(v);
        const struct index_volume *row = r == 0 ? verify_row(v, e->volume) : NULL;
        if (row != NULL)
            volume_unref(verify_volume(v, row));
        if (r == 0)
            r = volume_read_blob(v->store->volumes, v->queue, d, e, ret);
    }
    return r;
}

static int verify_presentation(struct verify_ref *x)
{
    struct verify *v = x->v;
    const struct digest *d = &x->name->presentation;
    struct index_entry e;
    struct rbuf *record = NULL;
    int r = index_find(v->reader, d, &e);
    if (r == -ENOENT) {
        if (!x->is_cached)
            verify_ref_fault(x, d, "the ref names this presentation, and it is not there");
        return 0;
    }
    if (r < 0 || v->links == NULL || e.volume == 0)
        return r; /* in the bucket alone: not ours to read */
    r = verify_read_presentation(v, d, &e, &record);
    if (r == -EBADMSG || r == -ENOENT || r == -EIO) {
        verify_ref_fault(x, d, "the ref names this presentation, and it cannot be read");
        return 0;
    }
    if (r < 0)
        return r;
    rbuf_window(record, format_payload_offset(e.length), e.length);
    uint32_t size;
    const uint8_t *bytes = rbuf_data(record, &size);
    r = v->links(v->links_arg, bytes, size, verify_link, x);
    rbuf_unref(record);
    if (r != -EBADMSG)
        return r;
    verify_ref_fault(x, d, "the ref names it, and it is no presentation");
    return 0;
}

int verify_refs(struct verify *v)
{
    struct verify_names l = {0};
    struct index_ref row;
    if (v->damaged.count > 1)
        qsort(v->damaged.digests, v->damaged.count, sizeof *v->damaged.digests, verify_compare);
    int r = index_list_refs(v->reader, verify_add_name, &l);
    if (r == 0 && l.failed)
        r = -ENOMEM;
    for (size_t i = 0; i < l.count && r == 0; i++) {
        struct verify_ref x = {.v = v, .name = &l.names[i]};
        int found = index_find_ref_row(v->reader, str_of(x.name->name), &row);
        if (found < 0)
            continue; /* gone meanwhile */
        x.is_cached = row.volume == 0;
        v->report->refs++;
        r = verify_presentation(&x);
        if (r == 0)
            r = verify_go_on(v);
    }
    free(l.names);
    return r;
}
