/* SPDX-License-Identifier: Apache-2.0 */
/* A blob's record in memory: around the blob's own bytes where its buffer has the room and nobody
 * else uses it, else a copy. */
#include <errno.h>
#include "store/store_priv.h"

int store_blob_new(uint32_t length, struct rbuf **ret, uint8_t **ret_bytes)
{
    struct rbuf *b = NULL;
    uint32_t cap_size;
    if (length > STORE_BLOB_MAX)
        return -EFBIG;
    int r = rbuf_new(format_record_size(length), &b);
    if (r < 0)
        return r;
    rbuf_window(b, format_payload_offset(length), length);
    *ret_bytes = rbuf_space(b, &cap_size) + format_payload_offset(length);
    *ret = b;
    return 0;
}

/* The memory that a record of the buffer's bytes could be made in, else NULL. */
static uint8_t *store_record_around(struct rbuf *blob, uint32_t length)
{
    uint32_t cap_size;
    if (rbuf_offset(blob) != format_payload_offset(length) || !rbuf_claim(blob))
        return NULL;
    uint8_t *bytes = rbuf_space(blob, &cap_size);
    if (cap_size >= format_record_size(length) && (uintptr_t)bytes % FORMAT_ALIGN == 0)
        return bytes;
    rbuf_unclaim(blob);
    return NULL;
}

int store_record_make(struct commit_op *op, struct rbuf *blob)
{
    uint32_t length, cap_size;
    const uint8_t *data = rbuf_data(blob, &length);
    ASSERT(op->record == NULL);
    uint8_t *around = store_record_around(blob, length);
    if (around != NULL) {
        format_record_frame(length, around);
        op->record = rbuf_ref(blob);
        op->claimed = true;
    } else {
        int r = rbuf_new(format_record_size(length), &op->record);
        if (r < 0)
            return r;
        format_record_fill(data, length, rbuf_space(op->record, &cap_size));
    }
    op->length = length;
    return 0;
}

void store_record_drop(struct commit_op *op)
{
    if (op->claimed)
        rbuf_unclaim(op->record);
    op->claimed = false;
    op->record = rbuf_unref(op->record);
}
