/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon.h"
#include "ingest/ingest.h"

static int main_start(const void *config, struct err *err, void **ret_state)
{
    struct ingest *i = NULL;
    int r = ingest_start(config, err, &i);
    if (r == 0)
        *ret_state = i;
    return r;
}

static int main_reload(void *state, const void *config, struct err *err)
{
    (void)config; /* certificates only: the rest needs a restart */
    struct ingest *i = state;
    return http_server_reload_tls(i->server, err);
}

static void main_stop(void *state)
{
    ingest_stop(state);
}

int main(int argc, char **argv)
{
    static const struct daemon_ops ops = {
        .name = "weir-ingest",
        .schema = &ingest_schema,
        .check = ingest_check,
        .start = main_start,
        .reload = main_reload,
        .stop = main_stop,
    };
    return daemon_main(argc, argv, &ops);
}
