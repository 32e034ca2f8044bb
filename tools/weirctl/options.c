/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int ctl_fail(const struct err *err)
{
    (void)fprintf(stderr, "weirctl: %s\n", err->text);
    return 1;
}

static int ctl_usage_error(const char *usage, const char *what, const char *name)
{
    (void)fprintf(stderr, "weirctl: %s %s\n%s", what, name, usage);
    return 2;
}

int ctl_asset_check(const char *asset, struct err *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size = strlen(asset);
    if (size > 0 && size <= 128 && asset[0] != '.' && strspn(asset, letters) == size)
        return 0;
    return err_set(err, -EINVAL,
                   "'%s' is not an asset name: 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a "
                   "dot",
                   asset);
}

/* "--name" or "--name=value" among the options; *ret_value is NULL in the first form. */
static const struct ctl_option *ctl_find(const char *arg, const struct ctl_option *options,
                                         size_t count, const char **ret_value)
{
    size_t size = strcspn(arg, "=");
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) != size || strncmp(options[i].name, arg, size) != 0)
            continue;
        *ret_value = arg[size] == '=' ? arg + size + 1 : NULL;
        return &options[i];
    }
    return NULL;
}

int ctl_parse(int argc, char **argv, const char *usage, const struct ctl_option *options,
              size_t options_count, const char **words, size_t words_max, size_t *ret_words)
{
    size_t words_count = 0;
    bool is_over = false; /* behind "--" all are words */
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        if (!is_over && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            (void)fputs(usage, stdout);
            return 3;
        }
        if (!is_over && strcmp(arg, "--") == 0) {
            is_over = true;
            continue;
        }
        if (is_over || arg[0] != '-' || arg[1] == 0) {
            if (words_count == words_max)
                return ctl_usage_error(usage, "one argument too many:", arg);
            words[words_count++] = arg;
            continue;
        }
        const struct ctl_option *o = ctl_find(arg, options, options_count, &value);
        if (o == NULL)
            return ctl_usage_error(usage, "there is no option", arg);
        if (o->flag != NULL && value != NULL)
            return ctl_usage_error(usage, "there is no value for", o->name);
        if (o->flag == NULL && value == NULL && i + 1 == argc)
            return ctl_usage_error(usage, "a value is missing behind", arg);
        if (o->flag != NULL)
            *o->flag = true;
        else
            *o->value = value != NULL ? value : argv[++i];
    }
    *ret_words = words_count;
    return 0;
}
