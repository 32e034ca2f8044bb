/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/edges.h"
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/config.h"
#include "fetch/fetch.h"

#define EDGES_STAT_SIZE_MAX (1 << 20)
#define EDGES_STAT_EVERY    2 /* of the health requests */

struct edge {
    char *url;
    char *health_url;
    char *stat_url; /* NULL: its load is not known */
    bool has_status;
    double weight;
    double capacity; /* bytes a second */
    bool has_position;
    double latitude;
    double longitude;
    char **places;
    unsigned places_count;

    atomic_bool is_up;
    _Atomic uint32_t load; /* of a thousand */

    /* The thread's. */
    struct edges *of;
    struct loop_timer timer;
    struct fetch_op *health, *stat;
    unsigned failures;
    unsigned asked;
    struct buf body;
    uint64_t sent_bytes;
    uint64_t sent_ms; /* 0: not known yet */
};

struct edges {
    uint32_t magic;
#define EDGES_MAGIC UINT32_C(0xed9e5e75)
    struct edge *at;
    unsigned count;
    struct loop *loop; /* NULL: nobody is asked */
    struct fetch *fetch;
    pthread_t thread;
    bool has_thread;
};

/* --- asking ----------------------------------------------------------------------------------- */

static void edge_judge(struct edge *e, bool is_good)
{
    bool was_up = atomic_load(&e->is_up);
    e->failures = is_good ? 0 : e->failures + 1;
    bool is_up = is_good || (was_up && e->failures < EDGES_FAILURES);
    if (is_up == was_up)
        return;
    atomic_store(&e->is_up, is_up);
    if (is_up)
        log_info("edge %s is up again", e->url);
    else
        log_warn("edge %s is down: nobody is sent there", e->url);
}

/* Without a status_url nobody promised us a certificate that we know, so a refusal by TLS
 * (-EBADMSG) is a sign of life as well. */
static void edge_on_health(void *arg, int res, unsigned status)
{
    struct edge *e = arg;
    e->health = NULL;
    if (e->has_status)
        edge_judge(e, res == 0 && status == 200);
    else
        edge_judge(e, res == -EBADMSG || (res == 0 && status < 500));
}

static int edge_on_stat_data(void *arg, const uint8_t *data, size_t size)
{
    struct edge *e = arg;
    if (e->body.size + size > EDGES_STAT_SIZE_MAX)
        return -EFBIG;
    buf_put(&e->body, data, size);
    return buf_error(&e->body);
}

static void edge_measure(struct edge *e, uint64_t bytes)
{
    uint64_t now_ms = clock_mono_ms();
    /* Fewer than before: it was restarted. */
    if (e->sent_ms != 0 && bytes >= e->sent_bytes && now_ms > e->sent_ms) {
        double rate = (double)(bytes - e->sent_bytes) * 1000 / (double)(now_ms - e->sent_ms);
        double load = MIN(rate / e->capacity, 10.0) * 1000;
        atomic_store(&e->load, (uint32_t)load);
    }
    e->sent_bytes = bytes;
    e->sent_ms = now_ms;
}

static void edge_on_stat(void *arg, int res, unsigned status)
{
    struct edge *e = arg;
    e->stat = NULL;
    json_t *body = NULL;
    if (res == 0 && status == 200 && e->body.size > 0)
        body = json_loadb(e->body.data, e->body.size, 0, NULL);
    const json_t *bytes = json_object_get(body, "bytes");
    if (json_is_integer(bytes) && json_integer_value(bytes) >= 0)
        edge_measure(e, (uint64_t)json_integer_value(bytes));
    json_decref(body);
    buf_clear(&e->body);
}

static void edge_on_timer(void *arg)
{
    struct edge *e = arg;
    const struct fetch_request health = {
        .method = "GET",
        .url = e->health_url,
        .stall_ms = EDGES_WAIT_MS,
        .on_done = edge_on_health,
        .arg = e,
    };
    const struct fetch_request stat = {
        .method = "GET",
        .url = e->stat_url,
        .stall_ms = EDGES_WAIT_MS,
        .on_data = edge_on_stat_data,
        .on_done = edge_on_stat,
        .arg = e,
    };
    if (e->health == NULL && fetch_start(e->of->fetch, &health, &e->health) < 0)
        edge_judge(e, false);
    if (e->stat_url != NULL && e->stat == NULL && e->asked++ % EDGES_STAT_EVERY == 0 &&
        fetch_start(e->of->fetch, &stat, &e->stat) < 0)
        log_debug("the load of edge %s is not known", e->url);
    loop_timer_start(e->of->loop, &e->timer, EDGES_ASK_MS, edge_on_timer, e);
}

static void *edges_main(void *arg)
{
    struct edges *e = arg;
    loop_run(e->loop);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

static char *edge_join(const char *url, const char *path)
{
    struct buf b = BUF_EMPTY;
    struct str text = str_of(url);
    while (str_ends(text, STR("/")))
        text.size--;
    buf_put_str(&b, text);
    buf_puts(&b, path);
    char *joined = buf_take(&b);
    buf_free(&b);
    return joined;
}

static int edge_add_place(struct edge *e, const char *code, const char *behind)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%.2s%s", code, behind); /* sized to fit */
    e->places[e->places_count] = str_dup(str_of(text));
    return e->places[e->places_count++] == NULL ? -ENOMEM : 0;
}

static int edge_init(struct edge *e, struct edges *of, const struct control_edge *c)
{
    e->of = of;
    e->url = edge_join(c->url, "");
    e->has_status = c->status_url != NULL;
    e->health_url = edge_join(e->has_status ? c->status_url : c->url, "/health/ready");
    e->weight = MAX(c->weight, 1U);
    e->capacity = (double)c->capacity_mbps * 1e6 / 8;
    if (e->has_status && c->capacity_mbps > 0)
        e->stat_url = edge_join(c->status_url, "/edge/stat");
    e->has_position = c->position != NULL;
    e->latitude = e->has_position ? c->position->latitude : 0;
    e->longitude = e->has_position ? c->position->longitude : 0;
    e->places = calloc(MAX(c->countries_count + c->continents_count, 1U), sizeof *e->places);
    atomic_init(&e->is_up, true); /* until it is known better */
    int r = e->url == NULL || e->health_url == NULL || e->places == NULL ||
                    (e->has_status && c->capacity_mbps > 0 && e->stat_url == NULL)
                ? -ENOMEM
                : 0;
    for (unsigned i = 0; r == 0 && i < c->countries_count; i++)
        r = edge_add_place(e, c->countries[i], "");
    for (unsigned i = 0; r == 0 && i < c->continents_count; i++)
        r = edge_add_place(e, c->continents[i], ".");
    return r;
}

int edges_new(const struct control_config *config, struct err *err, struct edges **ret)
{
    unsigned extra = config->edge_url != NULL ? 1 : 0;
    struct edges *e = calloc(1, sizeof *e);
    struct edge *at = calloc(config->edges_count + extra, sizeof *at);
    if (e == NULL || at == NULL) {
        free(e);
        free(at);
        return err_set(err, -ENOMEM, "out of memory");
    }
    e->magic = EDGES_MAGIC;
    e->at = at;
    const struct control_edge plain = {.url = config->edge_url};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < config->edges_count + extra; i++) {
        r = edge_init(&at[i], e, i < extra ? &plain : &config->edges[i - extra]);
        e->count++;
    }
    if (r < 0) {
        edges_free(e);
        return err_set(err, r, "out of memory");
    }
    *ret = e;
    return 0;
}

/* Everything below runs on the thread before it ends, or before it was there. */
static void edges_close(struct edges *e)
{
    for (unsigned i = 0; i < e->count; i++)
        loop_timer_stop(&e->at[i].timer);
    fetch_free(e->fetch);
    if (e->loop != NULL)
        loop_free(e->loop);
    e->fetch = NULL;
    e->loop = NULL;
}

struct edges *edges_free(struct edges *e)
{
    if (e == NULL)
        return NULL;
    ASSERT(e->magic == EDGES_MAGIC);
    if (e->has_thread) {
        loop_stop(e->loop);
        (void)pthread_join(e->thread, NULL);
    }
    edges_close(e);
    for (unsigned i = 0; i < e->count; i++) {
        struct edge *each = &e->at[i];
        for (unsigned k = 0; k < each->places_count; k++)
            free(each->places[k]);
        free(each->places);
        free(each->url);
        free(each->health_url);
        free(each->stat_url);
        buf_free(&each->body);
    }
    free(e->at);
    MAGIC_CLEAR(e);
    free(e);
    return NULL;
}

static void edges_inherit(struct edges *e, const struct edges *old)
{
    for (unsigned i = 0; i < e->count; i++)
        for (unsigned k = 0; k < old->count; k++)
            if (strcmp(e->at[i].url, old->at[k].url) == 0) {
                atomic_store(&e->at[i].is_up, atomic_load(&old->at[k].is_up));
                atomic_store(&e->at[i].load, atomic_load(&old->at[k].load));
            }
}

int edges_watch(struct edges *e, const struct edges *old)
{
    const struct fetch_options options = {
        .connect_ms = EDGES_WAIT_MS,
        .breaker_failures = UINT32_MAX, /* one that is away is asked all the same */
    };
    if (e->count < 2)
        return 0; /* there is no choice */
    if (old != NULL)
        edges_inherit(e, old);
    int r = loop_new(&e->loop);
    if (r == 0)
        r = fetch_new(e->loop, &options, &e->fetch);
    for (unsigned i = 0; r == 0 && i < e->count; i++)
        loop_timer_start(e->loop, &e->at[i].timer, 0, edge_on_timer, &e->at[i]);
    if (r == 0)
        r = -pthread_create(&e->thread, NULL, edges_main, e);
    e->has_thread = r == 0;
    if (r < 0)
        edges_close(e);
    return r;
}

/* --- choosing --------------------------------------------------------------------------------- */

const char *edges_pick(struct edges *e, const struct edge_viewer *viewer, struct str lot)
{
    struct edge_view views[EDGE_COUNT_MAX];
    unsigned chosen = 0;
    ASSERT(e->magic == EDGES_MAGIC);
    ASSERT(e->count > 0 && e->count <= EDGE_COUNT_MAX);
    if (e->count == 1)
        return e->at[0].url;
    for (unsigned i = 0; i < e->count; i++) {
        const struct edge *each = &e->at[i];
        views[i] = (struct edge_view){
            .url = each->url,
            .weight = each->weight,
            .is_up = atomic_load_explicit(&each->is_up, memory_order_relaxed),
            .load = (double)atomic_load_explicit(&each->load, memory_order_relaxed) / 1000,
            .has_position = each->has_position,
            .latitude = each->latitude,
            .longitude = each->longitude,
            .places = (const char *const *)each->places,
            .places_count = each->places_count,
        };
    }
    int r = edge_choose(views, e->count, viewer, lot, &chosen);
    return e->at[r == 0 ? chosen : 0].url;
}

void edges_origins(const struct edges *e, struct buf *out)
{
    for (unsigned i = 0; i < e->count; i++) {
        if (i > 0)
            buf_putc(out, ' ');
        buf_puts(out, e->at[i].url);
    }
}

unsigned edges_up(const struct edges *e)
{
    unsigned up = 0;
    for (unsigned i = 0; i < e->count; i++)
        up += atomic_load(&e->at[i].is_up);
    return up;
}
