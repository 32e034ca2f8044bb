/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "ingest/ingest.h"

#define CONFIG_TEXT_MAX 4096

static const cyaml_schema_field_t ingest_fields[] = {
    HTTP_LISTEN_FIELD("listen", struct ingest_config, listen),
    CYAML_FIELD_STRING_PTR("credential_file", CYAML_FLAG_POINTER, struct ingest_config,
                           credential_file, 1, CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("state", CYAML_FLAG_POINTER, struct ingest_config, state, 1,
                           CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("origin_url", CYAML_FLAG_POINTER, struct ingest_config, origin_url, 1,
                           CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("publish_credential_file", CYAML_FLAG_POINTER, struct ingest_config,
                           publish_credential_file, 1, CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("control_url", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ingest_config, control_url, 1, CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("admin_credential_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ingest_config, admin_credential_file, 1, CONFIG_TEXT_MAX),
    CYAML_FIELD_STRING_PTR("ca_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ingest_config, ca_file, 1, CONFIG_TEXT_MAX),
    CYAML_FIELD_FLOAT_PTR("segment_seconds", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                          struct ingest_config, segment_seconds),
    CYAML_FIELD_UINT("threads", CYAML_FLAG_OPTIONAL, struct ingest_config, threads),
    HTTP_ACCESS_LOG_FIELD("access_log", struct ingest_config, access_log),
    CYAML_FIELD_END,
};

const cyaml_schema_value_t ingest_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct ingest_config, ingest_fields)};

/* "https://host:port", without a path: ours are appended. */
static int config_url(const char *key, const char *url, struct err *err)
{
    struct str rest = str_behind_http(str_of(url));
    if (rest.size == 0 || memchr(rest.data, '/', rest.size) != NULL)
        return err_set(err, -EINVAL,
                       "%s: '%s' is not a URL such as http://host:port without a path", key, url);
    return 0;
}

int ingest_check(const void *config, struct err *err)
{
    const struct ingest_config *c = config;
    int r = http_listen_check("listen", &c->listen, err);
    if (r == 0)
        r = config_url("origin_url", c->origin_url, err);
    if (r == 0 && c->control_url != NULL)
        r = config_url("control_url", c->control_url, err);
    if (r == 0 && (c->control_url == NULL) != (c->admin_credential_file == NULL))
        r = err_set(err, -EINVAL,
                    "control_url and admin_credential_file come together or not at all");
    if (r == 0 && c->segment_seconds != NULL &&
        !(*c->segment_seconds * 1000 >= LADDER_SEGMENT_MS_MIN &&
          *c->segment_seconds * 1000 <= LADDER_SEGMENT_MS_MAX))
        r = err_set(err, -EINVAL, "segment_seconds: %g is not within 1 to 30", *c->segment_seconds);
    if (r == 0 && c->threads > 256)
        r = err_set(err, -EINVAL, "threads: %u is more than 256", c->threads);
    struct secret s = {0};
    if (r == 0)
        r = secret_load(c->credential_file, &s, err);
    if (r == 0)
        r = secret_load(c->publish_credential_file, &s, err);
    if (r == 0 && c->admin_credential_file != NULL)
        r = secret_load(c->admin_credential_file, &s, err);
    secret_clear(&s);
    return r;
}
