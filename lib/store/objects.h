/* SPDX-License-Identifier: Apache-2.0 */
/* objects: what a cache knows of URLs: small records by key, and marks of what was purged, both
 * kept over restarts. The bodies that a record names are blobs of the store.
 *
 * Life:    objects_open -> calls -> objects_close (what was put is on disk then).
 * Owner:   the daemon's main.
 * Threads: any, after objects_open. Puts and deletes are seen at once by all; they are written by a
 *          thread of its own, some at a time: a crash loses the last second of them, never a purge
 *          that was answered.
 * Errors:  0 or -errno; -ENOENT; -EBADMSG a damaged record (it is dropped). A damaged file is set
 *          aside and begun anew: it is a cache.
 * Units:   bytes; sequence: counts purges, never goes back.
 * Source:  LMDB in path/objects; docs/format.md. */
#pragma once
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/metrics.h"

#define OBJECTS_RECORD_MAX (UINT32_C(1) << 20)
#define OBJECTS_TAGS_MAX   64

struct objects;

struct objects_options {
    const char *path;  /* the store's folder */
    uint64_t size_max; /* of all records; 0: 1 GiB. The longest unused go first */
    struct metrics *metrics;
    const char *metric_prefix;
};
MUST_USE int objects_open(const struct objects_options *options, struct err *err,
                          struct objects **ret);
struct objects *objects_close(struct objects *o);

/* The record's bytes are appended to out. */
MUST_USE int objects_get(struct objects *o, const struct digest *key, struct buf *out);
MUST_USE int objects_put(struct objects *o, const struct digest *key, struct str record);
MUST_USE int objects_delete(struct objects *o, const struct digest *key); /* absent: 0 */

/* A purge marks a tag (a digest of "url:...", "asset:...", "tag:..."): what was asked of an
 * upstream before it counts as gone (hard) or stale (soft). Nothing is walked. A response carries
 * the sequence as it was when its request was sent, and the tags that it falls under. */
uint64_t objects_sequence(const struct objects *o);

/* Durable when it returns; it waits for the disk: not on a loop. */
MUST_USE int objects_purge(struct objects *o, const struct digest *tag, bool soft);

enum objects_mark { OBJECTS_STANDS, OBJECTS_SOFT, OBJECTS_HARD };
enum objects_mark objects_check(struct objects *o, const struct digest *tags, unsigned count,
                                uint64_t sequence);

struct objects_stat {
    uint64_t records, bytes, marks;
};
void objects_stat(struct objects *o, struct objects_stat *ret);
