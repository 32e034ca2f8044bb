/* SPDX-License-Identifier: Apache-2.0 */
/* store_look: what can be told of a store by its index alone, before it is opened.
 *
 * Life:    one call; not while this process has the store open (LMDB allows an index once).
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  0 or -errno with a sentence in err; -ENOENT: there is no index.
 * Units:   bytes. */
#pragma once
#include "store/store.h"

#define STORE_LOOK_DEVICES_MAX 64u
#define STORE_LOOK_PATH_MAX    1024u

struct store_look {
    uint64_t index_bytes; /* in use in the index's file */
    uint64_t index_map;   /* what it may grow to before it is made larger */
    bool counted;         /* what names each blob is counted: an origin's; a cache's never is */
    unsigned devices_count;
    struct {
        bool cold;
        char path[STORE_LOOK_PATH_MAX]; /* where it was last */
    } devices[STORE_LOOK_DEVICES_MAX];
};

/* path: the store's folder. Beside a daemon, too. */
MUST_USE int store_look(const char *path, struct store_look *ret, struct err *err);
