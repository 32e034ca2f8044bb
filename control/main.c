/* SPDX-License-Identifier: Apache-2.0 */
#include "control/control.h"
#include "http/daemon.h"

static int main_start(const void *config, struct err *err, void **ret_state)
{
    struct control *c = NULL;
    int r = control_start(config, err, &c);
    if (r == 0)
        *ret_state = c;
    return r;
}

static int main_reload(void *state, const void *config, struct err *err)
{
    return control_reload(state, config, err);
}

static void main_stop(void *state)
{
    control_stop(state);
}

int main(int argc, char **argv)
{
    static const struct daemon_ops ops = {
        .name = "weir-control",
        .schema = &control_schema,
        .check = control_config_check,
        .start = main_start,
        .reload = main_reload,
        .stop = main_stop,
    };
    return daemon_main(argc, argv, &ops);
}
