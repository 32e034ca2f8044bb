/* SPDX-License-Identifier: Apache-2.0 */
/* store_ctl: what the commands of `weirctl store` share: which store, opened how; sizes, progress
 * bars, and Ctrl-C.
 *
 * Life:    ctl_store_where from the arguments -> ctl_store_open -> use -> ctl_store_close, also
 *          after an error.
 * Owner:   the command's stack.
 * Threads: one.
 * Errors:  0 or -errno with a sentence in err.
 * Units:   bytes. */
#pragma once
#include <stdio.h>
#include "base/buf.h"
#include "base/rbuf.h"
#include "fetch/tier_config.h"
#include "store/store_config.h"
#include "store/store_look.h"
#include "weirctl.h"

ctl_command ctl_store_stat, ctl_store_ls, ctl_store_get, ctl_store_put, ctl_store_verify;
ctl_command ctl_store_dump, ctl_store_rebuild, ctl_store_compact, ctl_store_export;
ctl_command ctl_store_import;

/* --- which store --------------------------------------------------------------------------------
 */

struct ctl_store_where {
    const char *path, *config, *state; /* NULL: not given */
    bool edge;
};

/* For a command's list of options. */
#define CTL_STORE_WHERE(w)                                                                         \
    {"--config", &(w).config, NULL}, {"--state", &(w).state, NULL},                                \
    {                                                                                              \
        "--edge", NULL, &(w).edge                                                                  \
    }
#define CTL_STORE_WHERE_USAGE                                                                      \
    "\n"                                                                                           \
    "Which store: PATH, its folder; or --config FILE, an origin's or edge's configuration; or\n"   \
    "--state FOLDER of `weirctl dev`, its origin's or, with --edge, its edge's. Otherwise that\n"  \
    "of $WEIR_STATE, ./state or /etc/weir, the first there is.\n"

/* Takes the first of *count words for the path where none of the options says which store; only:
 * it can be nothing else, otherwise it must be the name of a folder. */
void ctl_store_take_path(struct ctl_store_where *w, const char **words, size_t *count, bool only);

/* --- open ---------------------------------------------------------------------------------------
 */

struct ctl_store_config {
    struct store_config store;
    struct tier_bucket_config *bucket;
    struct tier_siblings_config *siblings;
    char *origin; /* only an edge has one */
};

struct ctl_store {
    char path[4096];
    struct store_options options; /* as the daemon would open it */
    struct store_device devices[STORE_CONFIG_DEVICES_MAX];
    struct ctl_store_config *config; /* NULL: named by its path */
    struct store_look look;          /* devices_count 0: it has no index yet */
    struct store_tier *bucket, *siblings;
    struct store *store;
    struct store_worker *worker;
};

enum ctl_store_how {
    CTL_STORE_READ,      /* beside a daemon, what is on its devices */
    CTL_STORE_READ_TIER, /* likewise, and from the bucket and the siblings */
    CTL_STORE_WRITE,     /* nobody else may have it open; nothing goes on in the background */
    CTL_STORE_COMPACT,   /* likewise; all in the background goes at full speed */
};

/* Finds out about it, without opening. */
MUST_USE int ctl_store_find(const struct ctl_store_where *w, struct ctl_store *s, struct err *err);
/* -ENOENT: there is nothing that a store is made of. */
MUST_USE int ctl_store_exists(const struct ctl_store *s, struct err *err);
MUST_USE int ctl_store_open(const struct ctl_store_where *w, enum ctl_store_how how,
                            struct ctl_store *s, struct err *err);
void ctl_store_close(struct ctl_store *s);

/* The bytes of a blob, verified. */
MUST_USE int ctl_store_read(struct ctl_store *s, const struct digest *d, struct rbuf **ret,
                            struct err *err);

struct ctl_store_ref {
    char name[STORE_NAME_MAX + 1];
    struct store_ref ref;
};
/* All refs by name; the caller frees. */
MUST_USE int ctl_store_refs(struct ctl_store *s, struct ctl_store_ref **ret, size_t *ret_count,
                            struct err *err);

/* --- for people ---------------------------------------------------------------------------------
 */

/* "1.2 GiB" on a terminal, "1288490188" elsewhere. */
#define CTL_SIZE_TEXT 24
const char *ctl_size(uint64_t size, char out[CTL_SIZE_TEXT]);
/* "1 blob", "2 blobs": what goes behind the word. */
const char *ctl_s(uint64_t count);
/* Always for people. */
const char *ctl_size_human(uint64_t size, char out[CTL_SIZE_TEXT]);

/* A progress bar on stderr, where that is a terminal. */
struct ctl_bar {
    const char *what;
    uint64_t began_ms, shown_ms;
    bool counts; /* things, not bytes */
};
void ctl_bar_show(struct ctl_bar *b, uint64_t done, uint64_t total);
void ctl_bar_clear(struct ctl_bar *b);

/* From now on the first Ctrl-C only has ctl_interrupted() say so, the second ends at once. */
void ctl_catch_interrupts(void);
bool ctl_interrupted(void);
/* Says that it was interrupted; returns 130. */
int ctl_say_interrupted(const char *more);
