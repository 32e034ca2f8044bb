/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/purge.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "edge/purge_priv.h"

#define PURGE_CATCH_UP_S 3
#define PURGE_TURN_MS    50
#define PURGE_CONNECT_MS 2000
#define PURGE_STALL_MS   5000

static const cyaml_schema_value_t purge_url = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 4096)};

#define TEXT_OPTIONAL(key, member)                                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct purge_config,     \
                           member, 1, 4096)

const cyaml_schema_field_t purge_config_fields[] = {
    CYAML_FIELD_SEQUENCE("urls", CYAML_FLAG_POINTER, struct purge_config, urls, &purge_url, 1,
                         PURGE_EDGES_MAX),
    TEXT_OPTIONAL("credential_file", credential_file),
    TEXT_OPTIONAL("ca_file", ca_file),
    TEXT_OPTIONAL("catch_up", catch_up),
    CYAML_FIELD_END,
};

int purge_check(const struct purge_config *c, struct err *err)
{
    uint32_t catch_up_s = 0;
    for (unsigned i = 0; i < c->urls_count; i++) {
        struct str url = str_of(c->urls[i]);
        struct str rest = str_behind_http(url);
        if (rest.size == 0 || memchr(rest.data, '/', rest.size) != NULL)
            return err_set(err, -EINVAL,
                           "edges: urls: '%s' is not a URL without a path, such as "
                           "https://edge-2.example.org:9000",
                           c->urls[i]);
    }
    struct secret s = {0};
    int r = c->credential_file == NULL ? 0 : secret_load(c->credential_file, &s, err);
    secret_clear(&s);
    return r < 0 ? r : config_seconds("edges: catch_up", c->catch_up, &catch_up_s, err);
}

static void *purge_run(void *arg)
{
    struct purge *p = arg;
    loop_run(p->loop);
    return NULL;
}

static void purge_metrics(struct purge *p, struct metrics *m)
{
    static const char *const name = "weir_edge_purges_total";
    static const char *const help = "Names purged, by what they name.";
    p->m_url = metrics_counter(m, name, help, "kind=\"url\"");
    p->m_asset = metrics_counter(m, name, help, "kind=\"asset\"");
    p->m_tag = metrics_counter(m, name, help, "kind=\"tag\"");
    p->m_everything = metrics_counter(m, name, help, "kind=\"everything\"");
    p->m_away = metrics_gauge(m, "weir_edge_purge_edges_away",
                              "Other edges whose purges could not be asked for last.", "");
}

/* What was purged elsewhere while this edge was down counts before it serves anything. */
static void purge_catch_up(struct purge *p, uint32_t seconds)
{
    uint64_t until_ms = clock_mono_ms() + (uint64_t)seconds * 1000;
    purge_peers_ask(p);
    while (!purge_peers_asked(p) && clock_mono_ms() < until_ms)
        loop_run_once(p->loop, PURGE_TURN_MS);
    for (unsigned i = 0; i < p->peers_count; i++) {
        if (!p->peers[i].asked)
            log_warn("%s has not told within %u s what it purged: serving without", p->peers[i].url,
                     seconds);
    }
}

static int purge_start(struct purge *p, struct err *err)
{
    const struct edge_config *config = p->edge->config;
    const struct purge_config *c = &config->edges;
    uint32_t catch_up_s = PURGE_CATCH_UP_S;
    const struct fetch_options options = {
        .ca_file = c->ca_file,
        .connect_ms = PURGE_CONNECT_MS,
        .stall_ms = PURGE_STALL_MS,
    };
    int r = config->admin_credential_file == NULL
                ? 0
                : secret_load(config->admin_credential_file, &p->admin, err);
    if (r == 0 && c->credential_file != NULL)
        r = secret_load(c->credential_file, &p->others, err);
    if (r == 0)
        r = config_seconds("edges: catch_up", c->catch_up, &catch_up_s, err);
    if (r < 0)
        return r;
    r = loop_new(&p->loop);
    if (r == 0)
        r = fetch_new(p->loop, &options, &p->fetch);
    if (r < 0)
        return err_errno(err, r, "starting what purges need");
    purge_peers_init(p);
    purge_catch_up(p, catch_up_s);
    r = -pthread_create(&p->thread, NULL, purge_run, p);
    p->started = r == 0;
    return r < 0 ? err_errno(err, r, "starting what purges need") : 0;
}

int purge_open(struct edge *e, struct err *err, struct purge **ret)
{
    struct purge *p = calloc(1, sizeof *p);
    if (p == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    p->magic = PURGE_MAGIC;
    p->edge = e;
    struct objects_purged told = {0};
    int r = objects_purged(e->objects, UINT64_MAX, NULL, NULL, &told);
    memcpy(p->id, told.id, sizeof p->id);
    p->own = p->own_demand = told.sequence;
    (void)pthread_mutex_init(&p->known_lock, NULL); /* does not fail on Linux with such */
    (void)pthread_mutex_init(&p->lock, NULL); /* does not fail on Linux with default attributes */
    purge_metrics(p, e->registry);
    r = r < 0 ? err_errno(err, r, "reading what was purged") : purge_start(p, err);
    if (r < 0)
        purge_free(p);
    else
        *ret = p;
    return r;
}

int purge_route(struct purge *p, struct http_server *admin)
{
    int r = http_route(admin, HTTP_POST, "/purge", purge_post, p);
    return r < 0 ? r : http_route(admin, HTTP_GET, "/purges", purge_list, p);
}

static void purge_end(void *arg)
{
    struct purge *p = arg;
    purge_calls_end(p);
    loop_stop(p->loop);
}

void purge_stop(struct purge *p)
{
    if (p == NULL)
        return;
    ASSERT(p->magic == PURGE_MAGIC);
    (void)pthread_mutex_lock(&p->lock);
    bool again = p->stopping;
    p->stopping = true;
    int r = p->started && !again ? loop_post(p->loop, purge_end, p) : 0;
    (void)pthread_mutex_unlock(&p->lock);
    if (!p->started || again)
        return;
    if (r < 0)
        loop_stop(p->loop); /* what waits stays unanswered */
    (void)pthread_join(p->thread, NULL);
    p->started = false;
}

struct purge *purge_free(struct purge *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PURGE_MAGIC);
    purge_stop(p);
    purge_peers_free(p);
    fetch_free(p->fetch);
    if (p->loop != NULL)
        loop_free(p->loop);
    secret_clear(&p->admin);
    secret_clear(&p->others);
    (void)pthread_mutex_destroy(&p->known_lock);
    (void)pthread_mutex_destroy(&p->lock);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}
