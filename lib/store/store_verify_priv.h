/* SPDX-License-Identifier: Apache-2.0 */
/* store_verify_priv: what store_verify.c (volumes) and store_verify_index.c (entries and refs)
 * share.
 *
 * Life:    see store_verify.h.
 * Owner:   the caller's thread.
 * Threads: one.
 * Errors:  0 or -errno.
 * Units:   bytes. */
#pragma once
#include "store/store_priv.h"
#include "store/store_verify.h"

#define VERIFY_CHUNK 512u /* rows of the index at a time */

/* The digests of damaged blobs, to tell which refs they hurt. */
struct verify_damaged {
    struct digest *digests;
    size_t count, cap;
};

struct verify {
    struct store *store;
    struct index_reader *reader;
    struct io_queue *queue;
    struct index_extent *extents; /* VERIFY_CHUNK */
    struct index_blob *blobs;     /* VERIFY_CHUNK */
    struct index_volume *rows;    /* of all volumes, as the index had them last */
    size_t rows_count, rows_cap;
    struct verify_damaged damaged;
    store_links *links;
    void *links_arg;
    store_verify_fault *fault;
    store_verify_progress *progress;
    void *arg;
    struct store_verify *report;
};

void verify_say(struct verify *v, const struct store_fault *f);
MUST_USE int verify_go_on(struct verify *v); /* -EINTR: no */
MUST_USE int verify_read_rows(struct verify *v);
const struct index_volume *verify_row(const struct verify *v, uint32_t volume); /* or NULL */
/* Opened if it was made meanwhile; a reference, or NULL. */
struct volume *verify_volume(struct verify *v, const struct index_volume *row);

/* store_verify_index.c */
MUST_USE int verify_entries(struct verify *v);
MUST_USE int verify_refs(struct verify *v);
