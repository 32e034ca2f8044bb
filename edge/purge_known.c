/* SPDX-License-Identifier: Apache-2.0 */
/* Between edges: a sibling or parent that has not heard of a purge yet would give out old bytes as
 * new ones. So a question to another edge tells up to where its asker knows each edge's purges,
 * "id:sequence,id:sequence", and who knows less says so (421): then the next in line is asked, at
 * last the origin. What counts is raised before a purge does: a question whose answer will stand
 * demands it. */
#include <errno.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/log.h"
#include "edge/purge_priv.h"

static struct purge_known *known_find(struct purge *p, const uint8_t *id)
{
    for (unsigned i = 0; i < p->known_count; i++) {
        if (memcmp(p->known[i].id, id, OBJECTS_ID_SIZE) == 0)
            return &p->known[i];
    }
    return NULL;
}

/* NULL: there are too many; then nothing that is demanded can be met. */
static struct purge_known *known_get(struct purge *p, const uint8_t *id)
{
    struct purge_known *k = known_find(p, id);
    if (k != NULL)
        return k;
    if (p->known_count == PURGE_KNOWN_MAX) {
        p->known_overflow = true;
        return NULL;
    }
    k = &p->known[p->known_count++];
    *k = (struct purge_known){0};
    memcpy(k->id, id, OBJECTS_ID_SIZE);
    return k;
}

void purge_known_demand(struct purge *p, const uint8_t *id, uint64_t sequence)
{
    (void)pthread_mutex_lock(&p->known_lock);
    struct purge_known *k = known_get(p, id);
    if (k != NULL)
        k->demand = MAX(k->demand, sequence);
    (void)pthread_mutex_unlock(&p->known_lock);
}

void purge_known_all(struct purge *p, const uint8_t *id, uint64_t sequence)
{
    (void)pthread_mutex_lock(&p->known_lock);
    struct purge_known *k = known_get(p, id);
    if (k != NULL) {
        k->all = sequence;
        k->demand = MAX(k->demand, sequence);
    }
    (void)pthread_mutex_unlock(&p->known_lock);
}

void purge_known_drop(struct purge *p, const uint8_t *id)
{
    (void)pthread_mutex_lock(&p->known_lock);
    struct purge_known *k = known_find(p, id);
    if (k != NULL)
        *k = p->known[--p->known_count];
    (void)pthread_mutex_unlock(&p->known_lock);
}

void purge_known_own(struct purge *p, uint64_t sequence)
{
    (void)pthread_mutex_lock(&p->known_lock);
    p->own_demand = sequence;
    (void)pthread_mutex_unlock(&p->known_lock);
}

static void known_put(struct buf *out, const uint8_t *id, uint64_t sequence)
{
    char text[2 * OBJECTS_ID_SIZE + 1];
    enc_hex(id, OBJECTS_ID_SIZE, text);
    buf_printf(out, "%s%s:%llu", out->size > 0 ? "," : "", text, (unsigned long long)sequence);
}

void purge_demand(struct purge *p, struct buf *out)
{
    if (p == NULL || p->peers_count == 0)
        return;
    (void)pthread_mutex_lock(&p->known_lock);
    known_put(out, p->id, p->own_demand);
    for (unsigned i = 0; i < p->known_count && !p->known_overflow; i++)
        known_put(out, p->known[i].id, p->known[i].demand);
    if (p->known_overflow)
        buf_puts(out, ",more");
    (void)pthread_mutex_unlock(&p->known_lock);
}

static bool known_covers(struct purge *p, struct str one)
{
    struct str rest;
    struct str text = str_cut(str_trim(one), ':', &rest);
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t sequence = 0;
    if (enc_unhex(text, id, sizeof id) < 0 || str_to_u64(rest, &sequence) < 0)
        return false;
    if (memcmp(id, p->id, sizeof id) == 0)
        return objects_sequence(p->edge->objects) >= sequence;
    const struct purge_known *k = known_find(p, id);
    return k != NULL && k->all >= sequence;
}

bool purge_covers(struct purge *p, struct str demand)
{
    bool covers = true;
    if (p == NULL || p->peers_count == 0)
        return true; /* it knows of no other edges: theirs is the mistake, docs/purge.md */
    (void)pthread_mutex_lock(&p->known_lock);
    while (demand.size > 0 && covers)
        covers = known_covers(p, str_cut(demand, ',', &demand));
    (void)pthread_mutex_unlock(&p->known_lock);
    return covers;
}
