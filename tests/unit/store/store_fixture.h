/* SPDX-License-Identifier: Apache-2.0 */
/* store_fixture: a store in a folder of its own, and calls that wait for their answer. */
#pragma once
#include "store/store.h"
#include "../unit.h"

struct fixture {
    char folder[64]; /* the store is in folder/s */
    char path[80];
    struct store_options options;
    struct store *store;
    struct store_worker *worker;
};

void fixture_new(struct fixture *f); /* small volumes, no RAM tier; does not open */
void fixture_new_in(struct fixture *f, const char *where); /* a folder for the folder */
void fixture_open(struct fixture *f);                      /* must succeed */
void fixture_close(struct fixture *f);
void fixture_reopen(struct fixture *f);
void fixture_free(struct fixture *f); /* closes, removes the folder */

/* Bytes that depend on seed, the same each time. */
struct rbuf *fixture_blob(uint64_t seed, uint32_t size, struct digest *ret);

int fixture_put(struct store_worker *w, const struct digest *d, struct rbuf *blob, unsigned flags);
/* *ret: a reference. */
int fixture_get(struct store_worker *w, const struct digest *d, struct rbuf **ret);
int fixture_get_own(struct store_worker *w, const struct digest *d); /* store_get_own */
int fixture_put_seed(struct store_worker *w, uint64_t seed, uint32_t size);
/* Many at once, each of which must succeed. */
void fixture_put_seeds(struct store_worker *w, uint64_t first, unsigned count, uint32_t size);
/* 0: the bytes came, and are those of the seed; fails the test when others came. */
int fixture_get_seed(struct store_worker *w, uint64_t seed, uint32_t size);
int fixture_ref_put(struct store_worker *w, const char *name, const struct digest *d,
                    uint64_t expect);
int fixture_ref_delete(struct store_worker *w, const char *name);

/* Changes a byte of a file by xor. */
void fixture_flip(const char *path, uint64_t offset, uint8_t mask);
void fixture_volume_path(const struct fixture *f, uint32_t id, char out[160]);
