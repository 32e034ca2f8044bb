/* SPDX-License-Identifier: Apache-2.0 */
/* path_io: the real backend with faults for what lies below given folders: a disk that fails, is
 * read-only, or is as full as it is said to be. */
#pragma once
#include <stdatomic.h>
#include "io/io.h"

#define PATH_IO_RULES 4
#define PATH_IO_FDS   1024

struct path_rule {
    char folder[160];
    _Atomic int open;           /* != 0: what opening, making, renaming, removing answers */
    _Atomic int make;           /* the same, for what makes or changes files alone */
    _Atomic int op[3];          /* by enum io_kind */
    _Atomic uint64_t bad_from;  /* reads of volumes that touch these bytes fail with -EIO: */
    _Atomic uint64_t bad_until; /* 0: none do */
    _Atomic uint64_t free;      /* what is free there; 0: what is */
    _Atomic uint64_t failed;    /* how often it failed */
};

struct path_io {
    struct io_ops ops; /* give this to the store */
    const struct io_ops *inner;
    struct path_rule rules[PATH_IO_RULES];
    unsigned rules_count;
    _Atomic uint8_t rule_of[PATH_IO_FDS]; /* a rule's number and 1; 0: none */
};

void path_io_init(struct path_io *p, const struct io_ops *inner);
/* Before the store opens. */
struct path_rule *path_io_rule(struct path_io *p, const char *folder);
void path_rule_fail(struct path_rule *r, int res);   /* all of it; 0: it works again */
void path_rule_writes(struct path_rule *r, int res); /* writes, syncs and what makes files */
