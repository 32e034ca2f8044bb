/* SPDX-License-Identifier: Apache-2.0 */
/* The sweep: on a thread of its own, because it waits for ingest. */
#include "control/upload/uploads.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/upload/upload_doc.h"
#include "fetch/fetch.h"

#define UPLOADS_BUSY_MS 500
#define UPLOADS_IDLE_MS 3000

struct uploads {
    uint32_t magic;
#define UPLOADS_MAGIC UINT32_C(0x0b10ad51)
    struct control *control;
    struct pool *pool; /* one thread */
    struct fetch_client *client;
    char *ca_file;
    struct loop *_Atomic loop; /* NULL: not attached; every worker asks */
    struct loop_timer timer;
    atomic_bool is_running, is_busy;
    bool fails; /* the last sweep did */
};

static void uploads_turn(void *arg)
{
    struct uploads *u = arg;
    struct live *l = control_live(u->control);
    bool busy = false;
    if (l->ingest_url != NULL) {
        int r = upload_doc_sweep(u->control->db, u->client, l->ingest_url, l->ingest_bearer,
                                 clock_real_ms(), &busy);
        if (r < 0 && !u->fails)
            log_error("looking after uploads: %s", strerror(-r));
        u->fails = r < 0;
    }
    live_unref(l);
    atomic_store(&u->is_busy, busy);
    atomic_store(&u->is_running, false);
}

static void uploads_on_timer(void *arg)
{
    struct uploads *u = arg;
    if (!atomic_exchange(&u->is_running, true) && pool_run(u->pool, uploads_turn, u) < 0)
        atomic_store(&u->is_running, false);
    loop_timer_start(u->loop, &u->timer,
                     atomic_load(&u->is_busy) ? UPLOADS_BUSY_MS : UPLOADS_IDLE_MS, uploads_on_timer,
                     u);
}

void uploads_attach(struct uploads *u, struct loop *loop)
{
    ASSERT(u->magic == UPLOADS_MAGIC);
    atomic_store(&u->loop, loop);
    loop_timer_start(loop, &u->timer, 0, uploads_on_timer, u);
}

void uploads_detach(struct uploads *u, struct loop *loop)
{
    ASSERT(u->magic == UPLOADS_MAGIC);
    if (atomic_load(&u->loop) != loop)
        return;
    loop_timer_stop(&u->timer);
    atomic_store(&u->loop, NULL);
}

int uploads_new(struct control *c, struct uploads **ret)
{
    struct uploads *u = calloc(1, sizeof *u);
    if (u == NULL)
        return -ENOMEM;
    u->magic = UPLOADS_MAGIC;
    u->control = c;
    const char *ca_file = c->config->ingest_ca_file;
    if (ca_file != NULL)
        u->ca_file = str_dup(str_of(ca_file));
    int r = ca_file != NULL && u->ca_file == NULL ? -ENOMEM : 0;
    const struct fetch_options options = {.ca_file = u->ca_file, .stall_ms = 5000};
    if (r == 0)
        r = fetch_client_new(&options, &u->client);
    if (r == 0)
        r = pool_new(1, &u->pool);
    if (r < 0) {
        uploads_free(u);
        return r;
    }
    *ret = u;
    return 0;
}

struct uploads *uploads_free(struct uploads *u)
{
    if (u == NULL)
        return NULL;
    ASSERT(u->magic == UPLOADS_MAGIC);
    ASSERT(atomic_load(&u->loop) == NULL);
    pool_free(u->pool);
    fetch_client_free(u->client);
    free(u->ca_file);
    MAGIC_CLEAR(u);
    free(u);
    return NULL;
}
