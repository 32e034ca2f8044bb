/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch_next: what a player is going to ask for, by what it asks for now. Pure.
 *
 * Life:    none.
 * Owner:   the caller; texts are lent.
 * Threads: any.
 * Errors:  -EINVAL: no such thing; -ENOENT: not in the playlist; -ENOMEM.
 * Units:   a target is a path and its query, as sent.
 * Source:  RFC 3986 section 5.2 (within one host), RFC 8216 (a playlist's lines). */
#pragma once
#include "base/buf.h"

#define PREFETCH_TARGET_MAX 2048

/* Appends the target that reference means in a document at base. -EINVAL: another host, or not to
 * be sent. */
MUST_USE int prefetch_resolve(struct str base, struct str reference, struct buf *out);

/* The media playlist text at base: each(arg, target) for up to count segments behind target.
 * -ENOENT: it names no such segment; -EINVAL: it is none. */
MUST_USE int prefetch_from_playlist(struct str text, struct str base, struct str target,
                                    unsigned count, void (*each)(void *arg, struct str target),
                                    void *arg);

/* "/a/seg-0009.m4s?x" -> "/a/seg-0010.m4s?x": the last number of the file's name, one more. */
MUST_USE int prefetch_by_number(struct str target, struct buf *out);

/* Appends text without its percent coding; -EINVAL for a broken one. */
MUST_USE int prefetch_decode(struct str text, struct buf *out);

enum prefetch_kind { PREFETCH_NEITHER, PREFETCH_SEGMENT, PREFETCH_PLAYLIST };
enum prefetch_kind prefetch_kind_of(struct str target); /* by the ending of its name */
