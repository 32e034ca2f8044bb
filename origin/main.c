/* SPDX-License-Identifier: Apache-2.0 */
#include "http/daemon.h"
#include "origin/origin.h"

static int main_start(const void *config, struct err *err, void **ret_state)
{
    struct origin *o = NULL;
    int r = origin_start(config, err, &o);
    if (r == 0)
        *ret_state = o;
    return r;
}

static int main_reload(void *state, const void *config, struct err *err)
{
    (void)config; /* certificates only: the rest needs a restart */
    struct origin *o = state;
    return http_server_reload_tls(o->server, err);
}

static void main_stop(void *state)
{
    origin_stop(state);
}

int main(int argc, char **argv)
{
    static const struct daemon_ops ops = {
        .name = "weir-origin",
        .schema = &origin_schema,
        .check = origin_check,
        .start = main_start,
        .reload = main_reload,
        .stop = main_stop,
    };
    return daemon_main(argc, argv, &ops);
}
