/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
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

int ctl_parse(int argc, char **argv, const char *usage, const struct ctl_option *options,
              size_t options_count, const char **words, size_t words_max, size_t *ret_words)
{
    size_t words_count = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            (void)fputs(usage, stdout);
            return 3;
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            if (words_count == words_max)
                return ctl_usage_error(usage, "one argument too many:", argv[i]);
            words[words_count++] = argv[i];
            continue;
        }
        const struct ctl_option *o = options;
        while (o < options + options_count && strcmp(o->name, argv[i]) != 0)
            o++;
        if (o == options + options_count)
            return ctl_usage_error(usage, "there is no option", argv[i]);
        if (o->flag != NULL) {
            *o->flag = true;
        } else if (i + 1 == argc) {
            return ctl_usage_error(usage, "a value is missing behind", argv[i]);
        } else {
            *o->value = argv[++i];
        }
    }
    *ret_words = words_count;
    return 0;
}
