/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <stdio.h>
#include <string.h>
#include "base/base.h"

static const struct {
    const char *name;
    ctl_command *run;
    const char *help;
} commands[] = {
    {"publish", ctl_publish, "encode a film and put it on the origin"},
    {"assets", ctl_assets, "list what the origin has"},
    {"remove", ctl_remove, "take an asset off the origin and out of the catalogue"},
    {"sign", ctl_sign, "print a signed URL of an asset"},
    {"plan", ctl_plan, "list and change plans, and who has which"},
    {"session", ctl_session, "list and end what a user plays"},
    {"history", ctl_history, "show, export and clear what a user watched; where it is kept"},
    {"purge", ctl_purge, "make edges forget by URL, asset or tag"},
    {"user", ctl_user, "see to accounts: roles, disabling, new passwords"},
    {"key", ctl_key, "the keys that sign access tokens, and a new one"},
    {"init", ctl_init, "make the state folder of a development host"},
    {"edge", ctl_edge, "look at a running edge: its figures, and what is hot"},
    {"store", ctl_store, "look into a store, and mend it"},
    {"db", ctl_db, "copy control's database to another kind, and check it"},
    {"dev", ctl_dev, "run all four daemons from one state folder"},
};

static void main_usage(FILE *out)
{
    (void)fprintf(out, "usage: weirctl COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(out,
                  "\nweirctl COMMAND --help tells more; weirctl --version prints the version.\n");
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        printf("weirctl %s\n", WEIR_VERSION);
        return 0;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        main_usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 2 && i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    if (argc >= 2)
        (void)fprintf(stderr, "weirctl: there is no command '%s'\n\n", argv[1]);
    main_usage(stderr);
    return 2;
}
