/* SPDX-License-Identifier: Apache-2.0 */
/* objects_fixture: records and marks in a folder of their own. */
#pragma once
#include "store/objects.h"

struct objects_fixture {
    char folder[64];
    struct objects_options options;
    struct objects *objects;
};

void objects_fixture_new(struct objects_fixture *f);                       /* opens, too */
void objects_fixture_new_in(struct objects_fixture *f, const char *where); /* opens not */
void objects_fixture_open(struct objects_fixture *f);
void objects_fixture_close(struct objects_fixture *f);
void objects_fixture_reopen(struct objects_fixture *f);
void objects_fixture_free(struct objects_fixture *f);

struct digest objects_fixture_key(uint64_t seed);
/* Bytes that depend on both; the caller frees. */
char *objects_fixture_record(uint64_t seed, size_t size);
void objects_fixture_put(struct objects_fixture *f, uint64_t seed, size_t size);
/* The size of what is there and right, or -errno; fails the test when other bytes came. */
int objects_fixture_get(struct objects_fixture *f, uint64_t seed);
void objects_fixture_purge(struct objects_fixture *f, uint64_t tag, bool soft);
enum objects_mark objects_fixture_check(struct objects_fixture *f, uint64_t tag, uint64_t sequence);

/* Changes a bit of a file; of the mark of a tag, wherever it is in the closed file. */
void objects_fixture_flip(const char *path, uint64_t offset);
void objects_fixture_flip_mark(const struct objects_fixture *f, uint64_t tag);
