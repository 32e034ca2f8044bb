/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edge.h"
#include "http/daemon.h"

static int main_start(const void *config, struct err *err, void **ret_state)
{
    struct edge *e = NULL;
    int r = edge_start(config, err, &e);
    if (r == 0)
        *ret_state = e;
    return r;
}

static int main_reload(void *state, const void *config, struct err *err)
{
    return edge_reload(state, config, err); /* what its files hold; the rest needs a restart */
}

static int main_yield(void *state, struct err *err)
{
    (void)err;
    edge_yield(state);
    return 0;
}

static void main_stop(void *state)
{
    edge_stop(state);
}

int main(int argc, char **argv)
{
    static const struct daemon_ops ops = {
        .name = "weir-edge",
        .schema = &edge_schema,
        .check = edge_check,
        .start = main_start,
        .reload = main_reload,
        .stop = main_stop,
        .yield = main_yield,
    };
    return daemon_main(argc, argv, &ops);
}
