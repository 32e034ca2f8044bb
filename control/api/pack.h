/* SPDX-License-Identifier: Apache-2.0 */
/* pack: answers made smaller, by gzip or zstd, as the client takes them.
 *
 * Life:    pack_choose and pack_bytes per answer; each thread keeps its compressors.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -ENOMEM; out is to be thrown away then.
 * Units:   bytes.
 * Source:  RFC 9110 section 12.5.3 (Accept-Encoding), RFC 1952 (gzip), RFC 8878 (zstd). */
#pragma once
#include "base/buf.h"

#define PACK_SIZE_MIN ((size_t)1024) /* smaller answers are sent as they are */

enum pack { PACK_NONE, PACK_GZIP, PACK_ZSTD };

enum pack pack_choose(struct str accept_encoding);
const char *pack_name(enum pack kind); /* "gzip"; NULL of PACK_NONE */
MUST_USE int pack_bytes(enum pack kind, struct str in, struct buf *out);
