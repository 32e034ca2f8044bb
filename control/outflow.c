/* SPDX-License-Identifier: Apache-2.0 */
#include "control/outflow.h"
#include <errno.h>

int outflow_read(struct outflow *o, uint64_t offset, uint32_t size_max, bool is_end,
                 const uint8_t **ret_data, uint32_t *ret_size)
{
    ASSERT(offset >= o->lent_at);
    if (offset == o->lent_at + o->lent.size) {
        struct buf read = o->lent;
        o->lent_at = offset;
        o->lent = o->more;
        buf_clear(&read);
        o->more = read;
    }
    uint64_t used = offset - o->lent_at;
    if (used >= o->lent.size)
        return is_end ? -ENODATA : -EAGAIN;
    *ret_data = (const uint8_t *)o->lent.data + used;
    *ret_size = (uint32_t)MIN(o->lent.size - used, (uint64_t)size_max);
    return 0;
}

void outflow_free(struct outflow *o)
{
    buf_free(&o->lent);
    buf_free(&o->more);
}
