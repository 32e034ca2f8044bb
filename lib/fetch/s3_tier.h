/* SPDX-License-Identifier: Apache-2.0 */
/* s3_tier: a bucket as a tier of the store: one object a blob, its key the prefix and the digest's
 * 32 hex digits, so that several origins may share it.
 *
 * Life:    s3_tier_new, which reads the credentials -> ops of store/tier.h -> ops->free. Uploads in
 *          parts that free interrupts are aborted within ENGINE_GRACE_MS.
 * Owner:   the daemon.
 * Threads: as store/tier.h says; requests are made by a thread of the tier's own.
 * Errors:  as store/tier.h; what the service said is logged, at most a line in a second. A bucket
 *          that does not exist is -EACCES.
 * Units:   milliseconds, bytes.
 * Source:  docs/decisions/0105-s3-tier.md. */
#pragma once
#include "fetch/s3.h"
#include "store/tier.h"

MUST_USE int s3_tier_new(const struct s3_options *options, struct err *err,
                         struct store_tier **ret);
