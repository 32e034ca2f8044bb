/* SPDX-License-Identifier: Apache-2.0 */
/* What other edges purged while this one could not be told: each is asked every two seconds for its
 * own purges behind the last that is known of it. An edge tells of its own ones only, so nothing
 * goes in circles; a sequence is of one file, which its id names. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/log.h"
#include "edge/purge_priv.h"

#define PEERS_EVERY_MS   2000
#define PEERS_KEEP_TURNS 1800u /* an hour: what nobody uses for long makes room for other records */
#define PEERS_ANSWER_MAX ((size_t)96 << 20) /* a million purges */
#define PEERS_TAKE_MAX   65536u             /* marks in one transaction */

/* What is remembered of one over a restart. */
struct peer_record {
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t cursor;
};

const char *purge_bearer(const struct purge *p)
{
    const struct secret *s = p->others.size > 0 ? &p->others : &p->admin;
    return s->size > 0 ? s->text : NULL;
}

static void peer_recall(struct purge_peer *e)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    struct peer_record record;
    if (objects_get(e->purge->edge->objects, &e->cursor_key, &b) < 0 || b.size != sizeof record)
        return;
    memcpy(&record, b.data, sizeof record);
    memcpy(e->id, record.id, sizeof e->id);
    e->cursor = record.cursor;
    e->has_id = true;
    purge_known_all(e->purge, e->id, e->cursor);
}

/* Lost by a crash it is asked for more than it needs. */
static void peer_remember(struct purge_peer *e)
{
    struct peer_record record = {.cursor = e->cursor};
    memcpy(record.id, e->id, sizeof record.id);
    struct str bytes = {(const char *)&record, sizeof record};
    int r = objects_put(e->purge->edge->objects, &e->cursor_key, bytes);
    if (r < 0)
        log_warn("remembering the purges of %s: %s", e->url, strerror(-r));
}

void purge_peers_init(struct purge *p)
{
    const struct purge_config *c = &p->edge->config->edges;
    for (unsigned i = 0; i < c->urls_count; i++) {
        struct purge_peer *e = &p->peers[p->peers_count++];
        e->purge = p;
        e->url = c->urls[i];
        CLEAN_BUF struct buf name = BUF_EMPTY;
        buf_printf(&name, "purges of %s", e->url);
        e->cursor_key = digest_of(name.data != NULL ? name.data : "", name.size);
        peer_recall(e);
    }
}

void purge_peers_free(struct purge *p)
{
    loop_timer_stop(&p->timer);
    for (unsigned i = 0; i < p->peers_count; i++) {
        if (p->peers[i].op != NULL)
            fetch_cancel(p->peers[i].op);
        buf_free(&p->peers[i].answer);
    }
}

bool purge_peers_asked(const struct purge *p)
{
    for (unsigned i = 0; i < p->peers_count; i++) {
        if (!p->peers[i].asked)
            return false;
    }
    return true;
}

/* A purge that came by its call is not taken again, if nothing is missing before it. */
void purge_peer_told(struct purge *p, const struct purge_ask *ask)
{
    for (unsigned i = 0; ask->has_from && i < p->peers_count; i++) {
        struct purge_peer *e = &p->peers[i];
        if (!e->has_id || memcmp(e->id, ask->from_id, sizeof e->id) != 0 ||
            e->cursor < ask->from_before || e->cursor >= ask->from_sequence)
            continue;
        e->cursor = ask->from_sequence;
        purge_known_all(p, e->id, e->cursor);
        peer_remember(e);
    }
}

/* --- an answer -------------------------------------------------------------------------------- */

struct peer_told {
    uint8_t id[OBJECTS_ID_SIZE];
    uint64_t sequence;
    enum objects_mark all;
    json_t *hard, *soft; /* lists of digests */
};

static int peer_read(json_t *root, struct peer_told *ret)
{
    json_t *sequence = json_object_get(root, "sequence");
    const char *all = json_string_value(json_object_get(root, "everything"));
    ret->hard = json_object_get(root, "hard");
    ret->soft = json_object_get(root, "soft");
    ret->sequence = (uint64_t)json_integer_value(sequence);
    if (enc_unhex(str_of(json_string_value(json_object_get(root, "id"))), ret->id, sizeof ret->id) <
            0 ||
        !json_is_integer(sequence) || json_integer_value(sequence) < 0 || all == NULL ||
        !json_is_array(ret->hard) || !json_is_array(ret->soft))
        return -EBADMSG;
    ret->all = OBJECTS_STANDS;
    if (strcmp(all, "hard") == 0)
        ret->all = OBJECTS_HARD;
    else if (strcmp(all, "soft") == 0)
        ret->all = OBJECTS_SOFT;
    return 0;
}

static int peer_take_list(struct purge_peer *e, json_t *list, enum objects_mark mark)
{
    size_t size = json_array_size(list);
    struct objects_purge *purges = calloc(MIN(size, (size_t)PEERS_TAKE_MAX) + 1, sizeof *purges);
    int r = purges == NULL ? -ENOMEM : 0;
    for (size_t at = 0; at < size && r == 0;) {
        unsigned count = 0;
        for (; at < size && count < PEERS_TAKE_MAX && r == 0; at++, count++) {
            purges[count].mark = mark;
            r = digest_parse(str_of(json_string_value(json_array_get(list, at))),
                             &purges[count].tag);
        }
        if (r == 0)
            r = objects_purge_taken(e->purge->edge->objects, purges, count, OBJECTS_STANDS);
    }
    free(purges);
    return r;
}

static int peer_take(struct purge_peer *e)
{
    struct peer_told told;
    json_t *root =
        json_loadb(e->answer.data != NULL ? e->answer.data : "", e->answer.size, 0, NULL);
    int r = peer_read(root, &told);
    bool is_new = r == 0 && (!e->has_id || memcmp(told.id, e->id, sizeof e->id) != 0);
    if (is_new && e->has_id)
        purge_known_drop(e->purge, e->id);
    if (r == 0)
        purge_known_demand(e->purge, told.id, told.sequence);
    if (r == 0 && told.all != OBJECTS_STANDS)
        r = objects_purge_taken(e->purge->edge->objects, NULL, 0, told.all);
    if (r == 0)
        r = peer_take_list(e, told.hard, OBJECTS_HARD);
    if (r == 0)
        r = peer_take_list(e, told.soft, OBJECTS_SOFT);
    if (r == 0 && (is_new || told.sequence != e->cursor)) {
        memcpy(e->id, told.id, sizeof e->id);
        e->cursor = told.sequence;
        e->has_id = true;
        purge_known_all(e->purge, e->id, e->cursor);
        peer_remember(e);
    }
    json_decref(root);
    return r;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void peer_is_away(struct purge_peer *e, bool away, const char *why)
{
    if (away && (!e->is_away || !e->asked))
        log_warn("purges of %s cannot be asked for: %s", e->url, why);
    else if (!away && e->is_away)
        log_info("the purges of %s are known again", e->url);
    e->is_away = away;
    int64_t count = 0;
    for (unsigned i = 0; i < e->purge->peers_count; i++)
        count += e->purge->peers[i].is_away ? 1 : 0;
    metric_set(e->purge->m_away, count);
}

static int peer_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct purge_peer *e = arg;
    if (size > PEERS_ANSWER_MAX - e->answer.size)
        return -EFBIG;
    buf_put(&e->answer, data, size);
    return buf_error(&e->answer);
}

static void peer_on_done(void *arg, int res, unsigned status)
{
    struct purge_peer *e = arg;
    char why[64];
    e->op = NULL;
    e->asking = false;
    (void)snprintf(why, sizeof why, "it answered %u", status);
    if (res == 0 && status == 200) {
        res = peer_take(e);
        if (res < 0)
            (void)snprintf(why, sizeof why, "taking them: %s", strerror(-res));
    } else if (res == 0) {
        res = -EPROTO;
    } else {
        (void)snprintf(why, sizeof why, "%s", strerror(-res));
    }
    peer_is_away(e, res < 0, why);
    e->asked = true;
    buf_free(&e->answer);
    e->answer = BUF_EMPTY;
    e->is_self = res == 0 && memcmp(e->purge->id, e->id, sizeof e->id) == 0;
    if (e->is_self)
        purge_known_drop(e->purge, e->id);
}

static void peer_ask(struct purge_peer *e)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    char id[2 * OBJECTS_ID_SIZE + 1];
    enc_hex(e->id, sizeof e->id, id);
    buf_printf(&url, "%s/purges?after=%llu&id=%s", e->url,
               (unsigned long long)(e->has_id ? e->cursor : 0), id);
    struct fetch_request request = {
        .method = "GET",
        .url = url.data,
        .bearer = purge_bearer(e->purge),
        .on_data = peer_on_data,
        .on_done = peer_on_done,
        .arg = e,
    };
    int r = buf_error(&url);
    if (r == 0)
        r = fetch_start(e->purge->fetch, &request, &e->op);
    e->asking = r == 0;
    if (r < 0) {
        peer_is_away(e, true, strerror(-r));
        e->asked = true;
    }
}

void purge_peers_ask(void *arg)
{
    struct purge *p = arg;
    bool keep = ++p->peers_turns % PEERS_KEEP_TURNS == 0;
    for (unsigned i = 0; i < p->peers_count; i++) {
        struct purge_peer *e = &p->peers[i];
        if (!e->asking && !e->is_self)
            peer_ask(e);
        if (keep && e->has_id)
            peer_remember(e);
    }
    if (p->peers_count > 0)
        loop_timer_start(p->loop, &p->timer, PEERS_EVERY_MS, purge_peers_ask, p);
}
