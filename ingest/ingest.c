/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/ingest.h"
#include <errno.h>
#include <libavutil/log.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "ingest/spool.h"

#define INGEST_SEGMENT_MS 4000
#define INGEST_THREADS    2 /* of the pool: questions to disk and origin */
#define INGEST_WORKERS    1 /* HTTP: a few requests a second */
#define INGEST_BODY_MAX   (256u << 10)
#define INGEST_DRAIN_MS   5000

static unsigned ingest_cores(const struct ingest_config *c)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return c->threads > 0 ? c->threads : cores > 0 ? (unsigned)cores : 1;
}

/* A copy without a slash at the end; NULL stays NULL. */
static int ingest_keep(const char *text, char **ret)
{
    if (text == NULL)
        return 0;
    *ret = str_dup(str_of(text));
    return *ret == NULL ? -ENOMEM : 0;
}

static int ingest_jobs(struct ingest *i, const struct ingest_config *c, struct err *err)
{
    int r = ingest_keep(c->state, &i->state);
    if (r == 0)
        r = ingest_keep(c->origin_url, &i->origin_url);
    if (r == 0)
        r = ingest_keep(c->control_url, &i->control_url);
    if (r == 0)
        r = ingest_keep(c->ca_file, &i->ca_file);
    if (r == 0)
        r = file_mkdirs(c->state);
    if (r < 0)
        return err_errno(err, r, "state: %s", c->state);
    r = spool_open(c->state, &i->spool, err);
    if (r < 0)
        return r;
    struct job_settings s = {
        .state = i->state,
        .spool = i->spool,
        .segment_ms = c->segment_seconds == NULL ? INGEST_SEGMENT_MS
                                                 : (uint32_t)lround(*c->segment_seconds * 1000),
        .cores = ingest_cores(c),
        .remote = {.origin_url = i->origin_url,
                   .control_url = i->control_url,
                   .ca_file = i->ca_file},
    };
    r = secret_load(c->publish_credential_file, &s.remote.origin_secret, err);
    if (r == 0 && c->admin_credential_file != NULL)
        r = secret_load(c->admin_credential_file, &s.remote.control_secret, err);
    if (r == 0)
        r = jobs_new(&s, i->metrics, &i->jobs, err);
    secret_clear(&s.remote.origin_secret);
    secret_clear(&s.remote.control_secret);
    return r;
}

static int ingest_serve(struct ingest *i, const struct ingest_config *c, struct err *err)
{
    struct http_listen listen = http_listen_of(&c->listen);
    struct http_options options = {.listens = &listen,
                                   .listens_count = 1,
                                   .workers = INGEST_WORKERS,
                                   .body_size_max = INGEST_BODY_MAX,
                                   .body_secret = &i->secret,
                                   .server_name = "weir-ingest",
                                   .access_log = c->access_log,
                                   .metrics = i->metrics,
                                   .metric_prefix = "weir_ingest"};
    int r = http_server_new(&options, err, &i->server);
    if (r < 0)
        return r;
    r = ingest_routes(i);
    if (r < 0)
        return err_errno(err, r, "starting");
    return http_server_start(i->server, err);
}

int ingest_start(const struct ingest_config *c, struct err *err, struct ingest **ret)
{
    struct ingest *i = calloc(1, sizeof *i);
    if (i == NULL)
        return err_errno(err, -ENOMEM, "starting");
    i->magic = INGEST_MAGIC;
    av_log_set_level(AV_LOG_FATAL); /* what matters comes back as a code and becomes a sentence */
    int r = secret_load(c->credential_file, &i->secret, err);
    if (r == 0) {
        r = metrics_new(&i->metrics);
        if (r == 0)
            r = pool_new(INGEST_THREADS, &i->pool);
        if (r < 0)
            (void)err_errno(err, r, "starting");
    }
    if (r == 0)
        r = ingest_jobs(i, c, err);
    if (r == 0)
        r = ingest_serve(i, c, err);
    if (r == 0) {
        r = jobs_start(i->jobs);
        if (r < 0)
            (void)err_errno(err, r, "starting a thread");
    }
    if (r < 0) {
        ingest_stop(i);
        return r;
    }
    *ret = i;
    return 0;
}

/* Jobs first: who waits for one to end is answered while the server still stands. */
void ingest_stop(struct ingest *i)
{
    if (i == NULL)
        return;
    ASSERT(i->magic == INGEST_MAGIC);
    if (i->jobs != NULL)
        jobs_stop(i->jobs);
    if (i->server != NULL)
        http_server_drain(i->server, INGEST_DRAIN_MS);
    i->pool = pool_free(i->pool);
    http_server_free(i->server);
    jobs_free(i->jobs);
    metrics_free(i->metrics);
    secret_clear(&i->secret);
    free(i->origin_url);
    free(i->control_url);
    free(i->ca_file);
    free(i->state);
    free(i->spool);
    MAGIC_CLEAR(i);
    free(i);
}

uint16_t ingest_port(const struct ingest *i)
{
    return http_server_port(i->server, 0);
}
