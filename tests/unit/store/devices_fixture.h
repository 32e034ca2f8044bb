/* SPDX-License-Identifier: Apache-2.0 */
/* devices_fixture: a store with several devices, each of which can be made to fail. */
#pragma once
#include "path_io.h"
#include "store_fixture.h"

#define DEVICES_MAX 3

struct devices {
    struct fixture f;
    struct path_io io;
    struct path_rule *rules[DEVICES_MAX];
    struct store_device list[DEVICES_MAX];
    char paths[DEVICES_MAX][160];
};

/* "wwc": two warm ones and a cold one, in the folders a, b, c beside the store's. Does not open. */
void devices_new(struct devices *d, const char *kinds);
void devices_free(struct devices *d);

/* The id of the device that has the blob; 0: none. */
uint32_t devices_of(struct devices *d, uint64_t seed, uint32_t size);
/* Number i of the list, which is open. */
struct store_device_stat devices_stat(struct devices *d, unsigned i);
/* How many files with that suffix are in the folder. */
unsigned devices_files(const char *folder, const char *suffix);
/* All files below a folder, their names and bytes, but for what LMDB may touch at any time. */
struct digest devices_snapshot(const char *folder);
/* store_open fails with code and words, and changes nothing below the fixture's folder. */
void devices_refused(struct fixture *f, int code, const char *words);
