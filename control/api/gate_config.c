/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/gate_config.h"
#include <errno.h>
#include <stdlib.h>
#include "control/api/rate.h"

static const cyaml_schema_value_t gate_config_text = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 512)};

const cyaml_schema_field_t gate_config_fields[] = {
    CYAML_FIELD_UINT("rate_user", CYAML_FLAG_OPTIONAL, struct gate_config, rate_user),
    CYAML_FIELD_UINT("rate_address", CYAML_FLAG_OPTIONAL, struct gate_config, rate_address),
    CYAML_FIELD_SEQUENCE("cors_origins", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct gate_config, cors_origins, &gate_config_text, 1, 64),
    CYAML_FIELD_SEQUENCE("proxies", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct gate_config,
                         proxies, &gate_config_text, 1, 64),
    CYAML_FIELD_END,
};

/* scheme://host[:port], as browsers write it: lower case, nothing behind. */
static bool gate_is_origin(struct str s)
{
    struct str rest = str_behind_http(s);
    for (size_t i = 0; i < rest.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_:[]", rest.data[i]) == NULL)
            return false;
    return rest.size > 0;
}

static int gate_make_origins(const struct gate_config *c, struct err *err, struct gate_settings *s)
{
    s->origins = calloc(c->cors_origins_count + 1, sizeof(char *));
    for (unsigned i = 0; s->origins != NULL && i < c->cors_origins_count; i++) {
        struct str origin = str_of(c->cors_origins[i]);
        if (!gate_is_origin(origin))
            return err_set(err, -EINVAL, "api: cors_origins: '%s' is not like https://host:port",
                           c->cors_origins[i]);
        s->origins[i] = str_dup(origin);
        if (s->origins[i] == NULL)
            return err_set(err, -ENOMEM, "out of memory");
    }
    return s->origins == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int gate_make_proxies(const struct gate_config *c, struct err *err, struct gate_settings *s)
{
    s->proxies = calloc(c->proxies_count + 1, sizeof *s->proxies);
    if (s->proxies == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    for (; s->proxies_count < c->proxies_count; s->proxies_count++)
        if (addr_net_parse(str_of(c->proxies[s->proxies_count]), &s->proxies[s->proxies_count]) < 0)
            return err_set(err, -EINVAL, "api: proxies: '%s' is no address or network",
                           c->proxies[s->proxies_count]);
    return 0;
}

static int gate_make_rates(const struct gate_config *c, struct err *err, struct gate_settings *s)
{
    s->rate_user = c->rate_user != 0 ? c->rate_user : GATE_RATE_USER;
    s->rate_address = c->rate_address != 0 ? c->rate_address : GATE_RATE_ADDRESS;
    if (s->rate_user <= RATE_LIMIT_MAX && s->rate_address <= RATE_LIMIT_MAX)
        return 0;
    return err_set(err, -EINVAL, "api: %s is more than %d",
                   s->rate_user > RATE_LIMIT_MAX ? "rate_user" : "rate_address", RATE_LIMIT_MAX);
}

int gate_settings_new(const struct gate_config *c, struct err *err, struct gate_settings **ret)
{
    struct gate_settings *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    int r = gate_make_rates(c, err, s);
    if (r == 0)
        r = gate_make_origins(c, err, s);
    if (r == 0)
        r = gate_make_proxies(c, err, s);
    if (r < 0) {
        gate_settings_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct gate_settings *gate_settings_free(struct gate_settings *s)
{
    if (s == NULL)
        return NULL;
    for (unsigned i = 0; s->origins != NULL && s->origins[i] != NULL; i++)
        free(s->origins[i]);
    free(s->origins);
    free(s->proxies);
    free(s);
    return NULL;
}

bool gate_settings_allow(const struct gate_settings *s, struct str origin)
{
    for (unsigned i = 0; s->origins[i] != NULL; i++)
        if (str_eq(origin, str_of(s->origins[i])))
            return true;
    return false;
}
