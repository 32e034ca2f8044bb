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
 *          aside and begun anew: it is a cache. -EBUSY: another process has it open.
 * Units:   bytes; sequence: counts purges, never goes back.
 * Source:  LMDB in path/objects; docs/format.md. */
#pragma once
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/metrics.h"

#define OBJECTS_RECORD_MAX (UINT32_C(1) << 20)
#define OBJECTS_TAGS_MAX   64
#define OBJECTS_ID_SIZE    16

struct objects;

struct objects_options {
    const char *path;   /* the store's folder */
    uint64_t size_max;  /* of all records on disk; 0: 1 GiB. The longest unused go first */
    uint64_t marks_max; /* 0: a million, which take 50 MB of RAM */
    struct metrics *metrics;
    const char *metric_prefix;
};
MUST_USE int objects_open(const struct objects_options *options, struct err *err,
                          struct objects **ret);
struct objects *objects_close(struct objects *o);

/* For a take-over by another process, which may open it when this returns: what was put is on disk,
 * and what is put from now on is in this process alone. Purges are refused (-EROFS); objects_check
 * sees those of the other process as soon as they were answered. There is no way back. */
void objects_yield(struct objects *o);

/* The record's bytes are appended to out. */
MUST_USE int objects_get(struct objects *o, const struct digest *key, struct buf *out);

/* May be dropped (0 all the same) when the disk does not keep up: then there is no record of that
 * key, never the one before. A delete is no purge: a crash within the second may undo it. */
MUST_USE int objects_put(struct objects *o, const struct digest *key, struct str record);
MUST_USE int objects_delete(struct objects *o, const struct digest *key); /* absent: 0 */

/* A purge marks a tag (a digest of "url:...", "asset:...", "tag:..."): what was asked of an
 * upstream before it counts as gone (hard) or stale (soft). Nothing is walked. A response carries
 * the sequence as it was when its request was sent, and the tags that it falls under.
 *
 * Who joins a fetch that is under way checks it like a record: a fetch that began before a purge is
 * no answer to who came after it. While its tags are not known (before its head), it may be joined
 * only if its sequence is that of now. */
uint64_t objects_sequence(const struct objects *o);

enum objects_mark { OBJECTS_STANDS, OBJECTS_SOFT, OBJECTS_HARD };
enum objects_mark objects_check(struct objects *o, const struct digest *tags, unsigned count,
                                uint64_t sequence);

/* The same for what is looked at often: *stood, at first 0, keeps up to which sequence it stood, so
 * that its tags are looked at once a purge. */
enum objects_mark objects_check_again(struct objects *o, const struct digest *tags, unsigned count,
                                      uint64_t sequence, _Atomic uint64_t *stood);

/* Durable when they return; they wait for the disk: not on a loop. -ENOSPC, -EIO: nothing is
 * purged. The oldest marks beyond marks_max become one: all that was asked for before the youngest
 * of them is gone. */
MUST_USE int objects_purge(struct objects *o, const struct digest *tags, unsigned count, bool soft);
MUST_USE int objects_purge_all(struct objects *o, bool soft);

/* What others purged, passed on by objects_purged there: the same, but not passed on again. With
 * all: everything, as OBJECTS_SOFT or OBJECTS_HARD. */
struct objects_purge {
    struct digest tag;
    enum objects_mark mark;
};
MUST_USE int objects_purge_taken(struct objects *o, const struct objects_purge *purges,
                                 unsigned count, enum objects_mark all);

/* The purges of this one behind a sequence, in no order: up to the sequence that ret tells, which
 * is where to go on from. ret->all: everything, because of objects_purge_all or because the marks
 * are one by now. Looks at RAM alone. each: < 0 ends it with that. */
struct objects_purged {
    uint8_t id[OBJECTS_ID_SIZE]; /* of the file: with another one sequences begin anew */
    uint64_t sequence;
    enum objects_mark all;
};
/* after UINT64_MAX: each is not called. */
typedef int objects_purged_each(void *arg, const struct objects_purge *purge);
MUST_USE int objects_purged(struct objects *o, uint64_t after, objects_purged_each *each, void *arg,
                            struct objects_purged *ret);

struct objects_stat {
    uint64_t records, bytes, marks;
    uint64_t dropped, evicted, damaged; /* since it was opened */
};
void objects_stat(struct objects *o, struct objects_stat *ret);
