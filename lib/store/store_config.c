/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_config.h"
#include <errno.h>
#include <string.h>
#include "base/buf.h"

#define TEXT(key, member)                                                                          \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct store_config,     \
                           member, 1, 32)

static const cyaml_schema_field_t store_device_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct store_device_config, path, 1, 1023),
    CYAML_FIELD_BOOL("cold", CYAML_FLAG_OPTIONAL, struct store_device_config, cold),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t store_device_value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct store_device_config, store_device_fields)};

const cyaml_schema_field_t store_config_fields[] = {
    CYAML_FIELD_STRING_PTR("path", CYAML_FLAG_POINTER, struct store_config, path, 1, 4000),
    TEXT("volume_size", volume_size),
    TEXT("hot_size", hot_size),
    TEXT("disk_size", disk_size),
    CYAML_FIELD_SEQUENCE("devices", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct store_config,
                         devices, &store_device_value, 1, STORE_CONFIG_DEVICES_MAX),
    TEXT("warm_max", warm_max),
    TEXT("demote_after", demote_after),
    TEXT("unreferenced_after", unreferenced_after),
    TEXT("dropped_after", dropped_after),
    TEXT("keep_rate", keep_rate),
    TEXT("scrub_rate", scrub_rate),
    TEXT("durability", durability),
    TEXT("admission", admission),
    CYAML_FIELD_END,
};

/* "none" or a size; *ret keeps its default when text is NULL. */
static int store_config_rate(const char *key, const char *text, uint64_t *ret, struct err *err)
{
    if (text == NULL || strcmp(text, "none") != 0)
        return config_size(key, text, ret, err);
    *ret = STORE_RATE_NONE;
    return 0;
}

/* 0 seconds is a wish of its own: a default stands for it in the options. */
static int store_config_wait(const char *key, const char *text, uint32_t *ret, struct err *err)
{
    uint32_t s = 0;
    if (text == NULL)
        return 0;
    int r = config_seconds(key, text, &s, err);
    if (r == 0)
        *ret = s != 0 ? s : STORE_AT_ONCE;
    return r;
}

/* The value of a name; *ret keeps its default when text is NULL. */
static int store_config_name(const char *key, const char *text, const char *const *names,
                             unsigned count, unsigned *ret, struct err *err)
{
    CLEAN_BUF struct buf list = BUF_EMPTY;
    for (unsigned i = 0; text != NULL && i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return 0;
        }
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    buf_putc(&list, 0);
    return text == NULL ? 0
                        : err_set(err, -EINVAL, "%s: '%s' is none of %s", key, text,
                                  buf_error(&list) == 0 ? list.data : "those there are");
}

static int store_config_names(const struct store_config *c, struct store_options *o,
                              struct err *err)
{
    static const char *const durabilities[] = {[STORE_LOCAL] = "local",
                                               [STORE_REMOTE_ASYNC] = "s3-async",
                                               [STORE_REMOTE_SYNC] = "s3-sync"};
    static const char *const admissions[] = {
        [STORE_ADMIT_AUTO] = "auto", [STORE_ADMIT_ALL] = "all", [STORE_ADMIT_SECOND] = "second"};
    unsigned durability = o->durability, admission = o->admission;
    int r = store_config_name("durability", c->durability, durabilities, ARRAY_LEN(durabilities),
                              &durability, err);
    if (r == 0)
        r = store_config_name("admission", c->admission, admissions, ARRAY_LEN(admissions),
                              &admission, err);
    o->durability = (enum store_durability)durability;
    o->admission = (enum store_admission)admission;
    return r;
}

static void store_config_devices(const struct store_config *c, struct store_device *devices,
                                 struct store_options *o)
{
    for (unsigned i = 0; i < c->devices_count && i < STORE_CONFIG_DEVICES_MAX; i++) {
        devices[i] = (struct store_device){.path = c->devices[i].path, .cold = c->devices[i].cold};
        o->devices_count = i + 1;
    }
    o->devices = devices;
}

int store_config_apply(const struct store_config *c, struct store_device *devices,
                       struct store_options *o, struct err *err)
{
    const struct {
        const char *key, *text;
        uint64_t *ret;
    } sizes[] = {{"volume_size", c->volume_size, &o->volume_size},
                 {"hot_size", c->hot_size, &o->hot_size},
                 {"disk_size", c->disk_size, &o->size_max},
                 {"warm_max", c->warm_max, &o->warm_max}};
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes) && r == 0; i++)
        r = config_size(sizes[i].key, sizes[i].text, sizes[i].ret, err);
    if (r == 0)
        r = store_config_rate("keep_rate", c->keep_rate, &o->keep_rate, err);
    if (r == 0)
        r = store_config_rate("scrub_rate", c->scrub_rate, &o->scrub_rate, err);
    if (r == 0)
        r = store_config_wait("unreferenced_after", c->unreferenced_after, &o->unreferenced_s, err);
    if (r == 0)
        r = store_config_wait("dropped_after", c->dropped_after, &o->dropped_s, err);
    if (r == 0)
        r = config_seconds("demote_after", c->demote_after, &o->demote_after_s, err);
    if (r == 0)
        r = store_config_names(c, o, err);
    if (r < 0)
        return r;
    o->path = c->path;
    if (devices != NULL)
        store_config_devices(c, devices, o);
    return 0;
}
