/* SPDX-License-Identifier: Apache-2.0 */
/* outflow: text that goes out by a streamed response (http_reply_entity) while more of it is
 * written. What the response reads has to stay as it is until the next read; so there are two
 * buffers, and they change places when the one that is read is used up.
 *
 * Life:    = {0} -> buf_put* into more, outflow_read -> outflow_free.
 * Owner:   the stream's struct.
 * Threads: the loop's.
 * Errors:  -EAGAIN nothing yet; -ENODATA nothing any more.
 * Units:   bytes. */
#pragma once
#include "base/buf.h"

struct outflow {
    struct buf more;  /* what has come since */
    struct buf lent;  /* what the response is reading */
    uint64_t lent_at; /* of its first byte in the whole */
};

/* is_end: nothing comes behind what is here. */
MUST_USE int outflow_read(struct outflow *o, uint64_t offset, uint32_t size_max, bool is_end,
                          const uint8_t **ret_data, uint32_t *ret_size);
void outflow_free(struct outflow *o);
