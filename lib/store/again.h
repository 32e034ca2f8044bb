/* SPDX-License-Identifier: Apache-2.0 */
/* again: of the blobs that come to a cache anew, how many are asked for once more while it might
 * still have them? Learnt from a sample of them, by size: it tells whether newcomers are mostly
 * one-hit wonders, which are not worth a write.
 *
 * Life:    again_new -> again_import of what was saved, before anybody asks -> again_came,
 *          again_used, again_pays -> again_export -> again_free once nobody asks.
 * Owner:   whoever made it.
 * Threads: again_came: any, under a lock for those in the sample; the rest: any, without.
 * Errors:  -EINVAL, -ENOMEM.
 * Units:   bytes.
 *
 * A newcomer of the sample is watched while `window` bytes of newcomers come after it; then it
 * counts for its size, as one that was asked for again or one that was not. One whose place another
 * takes before counts as neither. The sample gets smaller until few lose their places. */
#pragma once
#include "base/digest.h"

#define AGAIN_SIZES 6u /* up to 4, 16, 64, 256 KiB, 1 MiB, and larger */

struct again;

MUST_USE int again_new(uint64_t window, struct again **ret); /* window > 0 */
struct again *again_free(struct again *a);                   /* takes NULL, returns NULL */

/* It was not asked for before, or too long ago. */
void again_came(struct again *a, const struct digest *d, uint32_t size);
/* It is asked for, and is here or was. Unknown ones are fine. */
void again_used(struct again *a, const struct digest *d);

/* Whether enough newcomers of that size are asked for again that writing each of them pays: three
 * in ten bytes written save one from being fetched. A request saved counts as AGAIN_REQUEST bytes,
 * so of small ones fewer will do. False until enough is known. */
#define AGAIN_REQUEST (UINT32_C(64) << 10)
bool again_pays(const struct again *a, uint32_t size);

/* The share of each size that was asked for again, in 255ths. */
void again_export(const struct again *a, uint8_t shares[AGAIN_SIZES]);
void again_import(struct again *a, const uint8_t shares[AGAIN_SIZES]);
