/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"

#define CONFIG_SECONDS_MAX (UINT64_C(100) * 366 * 86400)

#define CONFIG_SIZE_MAX ((size_t)1 << 20)

/* What libcyaml said while loading: its first error line, and the innermost place it names. */
struct config_log {
    char reason[256];
    char key[128];
    unsigned line;
};

__attribute__((format(printf, 3, 0))) static void config_on_log(cyaml_log_t level, void *ctx,
                                                                const char *format, va_list list)
{
    struct config_log *log = ctx;
    char text[256];
    if (level < CYAML_LOG_ERROR)
        return;
    (void)vsnprintf(text, sizeof text, format, list); /* a longer text is cut */
    text[strcspn(text, "\n")] = 0;
    struct str rest = str_of(text);
    if (str_starts(rest, STR("Load: ")))
        rest = str_skip(rest, strlen("Load: "));
    const char *at = strstr(text, "(line: ");
    if (at != NULL && log->line == 0) {
        log->line = (unsigned)strtoul(at + strlen("(line: "), NULL, 10);
        const char *quote = strstr(text, "field '");
        if (quote != NULL) {
            struct str behind;
            struct str key = str_cut(str_of(quote + strlen("field '")), '\'', &behind);
            (void)snprintf(log->key, sizeof log->key, STR_FMT, STR_ARG(key));
        }
    } else if (at == NULL && log->reason[0] == 0 && !str_starts(rest, STR("Backtrace"))) {
        (void)snprintf(log->reason, sizeof log->reason, STR_FMT, STR_ARG(rest));
    }
}

static void *config_memory(void *ctx, void *p, size_t size)
{
    (void)ctx;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

/* libcyaml places an unknown key at the field before it: the text itself tells where it stands. */
static void config_place_unknown_key(struct config_log *log, struct str text)
{
    static const struct str prefix = {"Unexpected key: ", sizeof "Unexpected key: " - 1};
    if (!str_starts(str_of(log->reason), prefix))
        return;
    struct str name = str_skip(str_of(log->reason), prefix.size);
    (void)snprintf(log->key, sizeof log->key, STR_FMT, STR_ARG(name));
    (void)snprintf(log->reason, sizeof log->reason, "there is no such key");
    for (unsigned line = 1; text.size > 0; line++) {
        struct str rest;
        struct str here = str_trim(str_cut(str_cut(text, '\n', &text), ':', &rest));
        if (str_starts(here, STR("- ")))
            here = str_trim(str_skip(here, 2));
        if (str_eq(here, str_of(log->key))) {
            log->line = line;
            return;
        }
    }
}

static const cyaml_config_t config_plain = {
    .log_fn = NULL,
    .mem_fn = config_memory,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_DEFAULT,
};

static int config_parse_with(const char *name, const char *text, size_t size,
                             cyaml_cfg_flags_t flags, const cyaml_schema_value_t *schema,
                             void **ret, struct err *err)
{
    ASSERT(schema != NULL);
    ASSERT(ret != NULL);
    struct config_log log = {.line = 0};
    cyaml_config_t how = config_plain;
    how.flags |= flags;
    how.log_fn = config_on_log;
    how.log_ctx = &log;
    void *loaded = NULL;
    cyaml_err_t r = cyaml_load_data((const uint8_t *)text, size, &how, schema, &loaded, NULL);
    if (r == CYAML_OK && loaded != NULL) {
        *ret = loaded;
        return 0;
    }
    if (loaded != NULL)
        config_free(schema, loaded);
    config_place_unknown_key(&log, (struct str){text, size});
    const char *reason = log.reason[0] != 0 ? log.reason : cyaml_strerror(r);
    if (r == CYAML_OK)
        reason = "the file is empty";
    if (log.line > 0 && log.key[0] != 0)
        return err_set(err, -EINVAL, "%s: line %u: %s: %s", name, log.line, log.key, reason);
    if (log.line > 0)
        return err_set(err, -EINVAL, "%s: line %u: %s", name, log.line, reason);
    return err_set(err, -EINVAL, "%s: %s", name, reason);
}

int config_parse(const char *name, const char *text, size_t size,
                 const cyaml_schema_value_t *schema, void **ret, struct err *err)
{
    return config_parse_with(name, text, size, CYAML_CFG_DEFAULT, schema, ret, err);
}

static int config_load_with(const char *path, cyaml_cfg_flags_t flags,
                            const cyaml_schema_value_t *schema, void **ret, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read(path, CONFIG_SIZE_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "reading %s", path);
    return config_parse_with(path, text.data != NULL ? text.data : "", text.size, flags, schema,
                             ret, err);
}

int config_load(const char *path, const cyaml_schema_value_t *schema, void **ret, struct err *err)
{
    return config_load_with(path, CYAML_CFG_DEFAULT, schema, ret, err);
}

int config_load_part(const char *path, const cyaml_schema_value_t *schema, void **ret,
                     struct err *err)
{
    return config_load_with(path, CYAML_CFG_IGNORE_UNKNOWN_KEYS, schema, ret, err);
}

void config_free(const cyaml_schema_value_t *schema, void *config)
{
    if (config != NULL)
        (void)cyaml_free(&config_plain, schema, config, 0); /* fails for a bad schema only */
}

int config_size(const char *key, const char *text, uint64_t *ret, struct err *err)
{
    if (text == NULL)
        return 0;
    int r = str_to_size(str_of(text), ret);
    if (r < 0)
        return err_set(err, r, "%s: '%s' is not a size such as 64M or 2G", key, text);
    return 0;
}

int config_seconds(const char *key, const char *text, uint32_t *ret, struct err *err)
{
    uint64_t s = 0;
    if (text == NULL)
        return 0;
    int r = str_to_seconds(str_of(text), &s);
    if (r < 0)
        return err_set(err, r, "%s: '%s' is not a time such as 30s, 12h or 7d", key, text);
    if (s > CONFIG_SECONDS_MAX)
        return err_set(err, -ERANGE, "%s: '%s' is more than 100 years", key, text);
    *ret = (uint32_t)s;
    return 0;
}
