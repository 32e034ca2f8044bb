/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus_config.h"
#include <errno.h>

int bus_config_check(const struct bus_config *c, struct err *err)
{
    const struct {
        const char *key;
        const char *value;
    } files[] = {
        {"redis_password_file", c->redis_password_file},
        {"redis_ca_file", c->redis_ca_file},
        {"redis_cert_file", c->redis_cert_file},
        {"redis_key_file", c->redis_key_file},
    };
    if (c->redis != NULL) {
        struct bus_redis_options options = bus_config_options(c);
        return bus_check_redis(&options, err);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (files[i].value != NULL)
            return err_set(err, -EINVAL, "%s: needs the key redis", files[i].key);
    return 0;
}
