/* SPDX-License-Identifier: Apache-2.0 */
/* fill: one blob on its way from the origin, read by all who wait for it while it arrives.
 *
 * Life:    fills_join gives a fill, started or joined -> fill_listen -> fill_read as bytes come ->
 *          fill_unlisten -> fill_unref. A fill leaves the table when its blob is in the store, or
 *          when it has failed; readers that hold it go on.
 * Owner:   reference holders. The worker that started it runs the fetch and is the only writer.
 * Threads: joined, read and listened to from any worker; a listener's callback runs on its own
 *          loop.
 * Errors:  fill_read: -EAGAIN no more yet, -ENODATA at the end, else why it failed: -ENOENT the
 *          origin has no such blob, -EBADMSG it sent other bytes than the digest names, -EIO and
 *          fetch.h's.
 * Units:   bytes.
 *
 * The last byte is held back until the digest of all is right, so bytes that are not the blob's are
 * never delivered as a whole one. */
#pragma once
#include "edge/edge.h"

struct fill;
struct fill_listener;

MUST_USE int fills_new(struct fills **ret);
struct fills *fills_free(struct fills *f); /* after the last worker has gone */

enum { FILL_KEEP = 1 /* to the disk tier even if it is never asked for again */ };

/* Joins the fill of d or starts it from w, which asks u. came: the fields of the request that it is
 * for, if that is another edge's. -EALREADY: it has just been stored, look there again. -EBUSY: a
 * sibling asks for what we may be asking a sibling for: let it go elsewhere. */
MUST_USE int fills_join(struct edge_worker *w, const struct upstream *u, const struct digest *d,
                        const struct fields *came, unsigned flags, struct fill **ret,
                        bool *ret_started);

/* Ends what w has started and waits until the store has answered: before w's store worker goes. */
void fills_abandon(struct edge_worker *w);
struct fill *fill_ref(struct fill *f);
struct fill *fill_unref(struct fill *f);

enum fill_state { FILL_WAITING, FILL_ARRIVING, FILL_DONE, FILL_FAILED };
enum fill_state fill_state(struct fill *f, uint32_t *ret_size, int *ret_error);
MUST_USE int fill_read(struct fill *f, uint64_t offset, uint32_t size_max, const uint8_t **ret_data,
                       uint32_t *ret_size);
struct rbuf *fill_blob(struct fill *f); /* a new reference once FILL_DONE, else NULL */

/* cb(arg) on loop whenever there is more to read, or the end; also once soon after listening. */
MUST_USE int fill_listen(struct fill *f, struct loop *loop, loop_cb *cb, void *arg,
                         struct fill_listener **ret);
struct fill_listener *fill_unlisten(struct fill_listener *l); /* no callback after; takes NULL */
