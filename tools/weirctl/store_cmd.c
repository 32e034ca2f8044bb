/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "store_ctl.h"

static const struct {
    const char *name;
    ctl_command *run;
    const char *help;
} commands[] = {
    {"stat", ctl_store_stat, "how much it holds, and on which devices"},
    {"ls", ctl_store_ls, "list refs, blobs, or what one ref names"},
    {"get", ctl_store_get, "write a blob's bytes to a file or stdout"},
    {"put", ctl_store_put, "put files as blobs, and print their digests"},
    {"verify", ctl_store_verify, "read and check everything"},
    {"dump", ctl_store_dump, "list the records of a volume's file"},
    {"rebuild", ctl_store_rebuild, "make a new index from the volumes"},
    {"compact", ctl_store_compact, "reclaim what is due, and give its space back"},
    {"export", ctl_store_export, "write refs and all that they name to a tar file"},
    {"import", ctl_store_import, "take a tar file of export"},
};

static void store_usage(FILE *out)
{
    (void)fprintf(out, "usage: weirctl store COMMAND [PATH | --config FILE | --state FOLDER "
                       "[--edge]] [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
    (void)fprintf(out, "\nstat, ls, get, verify, dump and export only read, also beside a running "
                       "daemon; the others\nneed the store for themselves. With --json, a JSON "
                       "object a line. weirctl store COMMAND --help\ntells more.\n");
}

/* What could not be written was not said, whatever the command thinks. */
static int store_said(int code)
{
    struct err err = {0};
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return code;
    (void)err_errno(&err, -errno, "writing to stdout");
    return code == 0 ? ctl_fail(&err) : code;
}

int ctl_store(int argc, char **argv)
{
    if (argc >= 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        store_usage(stdout);
        return 0;
    }
    for (size_t i = 0; argc >= 1 && i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0)
            return store_said(commands[i].run(argc - 1, argv + 1));
    }
    if (argc >= 1)
        (void)fprintf(stderr, "weirctl: there is no command 'store %s'\n\n", argv[0]);
    store_usage(stderr);
    return 2;
}
