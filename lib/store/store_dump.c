/* SPDX-License-Identifier: Apache-2.0 */
/* Pages are looked at one after the other: where a record's header is in order the record is taken
 * whole, else the page joins the row of pages like it. */
#include "store/store_dump.h"
#include <errno.h>
#include <stdlib.h>
#include "io/io.h"
#include "store/format.h"

#define DUMP_CHUNK (UINT32_C(1) << 20)
#define DUMP_HEAD  (UINT32_C(12) << 10) /* holds the header and block checksums of any record */

struct dump {
    struct io_queue *queue;
    int fd;
    uint64_t end; /* of whole pages */
    uint8_t *bytes;
    uint32_t cap_size;
    uint64_t at; /* bytes holds size bytes from here on */
    uint32_t size;
    uint64_t order;            /* epoch << 32 | sequence of the last record */
    bool is_over;              /* behind the volume's end */
    struct store_dump_row row; /* of pages that are no record; size 0: none */
    store_dump_each *each;
    void *arg;
    struct store_dump *report;
};

/* size bytes from offset on, which are in the file. -EIO: the disk does not give them. */
static int dump_view(struct dump *d, uint64_t offset, uint32_t size, const uint8_t **ret)
{
    if (offset < d->at || offset + size > d->at + d->size) {
        uint32_t wanted = (uint32_t)MAX((uint64_t)size, MIN((uint64_t)DUMP_CHUNK, d->end - offset));
        if (wanted > d->cap_size) {
            uint8_t *more = aligned_alloc(FORMAT_ALIGN, wanted);
            if (more == NULL)
                return -ENOMEM;
            free(d->bytes);
            d->bytes = more;
            d->cap_size = wanted;
        }
        d->size = 0;
        int r = io_run(d->queue, IO_READ, d->fd, d->bytes, wanted, offset);
        if (r == -EIO && wanted > size) {
            wanted = size; /* what is behind may be what cannot be read */
            r = io_run(d->queue, IO_READ, d->fd, d->bytes, wanted, offset);
        }
        if (r < 0)
            return r;
        d->at = offset;
        d->size = wanted;
    }
    *ret = d->bytes + (offset - d->at);
    return 0;
}

static bool dump_say(struct dump *d, const struct store_dump_row *row)
{
    d->report->bytes_done = row->offset + row->size;
    d->report->records += row->state == STORE_DUMP_OK || row->state == STORE_DUMP_LEFT;
    d->report->damaged += row->state == STORE_DUMP_PAYLOAD || row->state == STORE_DUMP_HEADER;
    return d->each(d->arg, d->report, row);
}

static bool dump_end_row(struct dump *d)
{
    if (d->row.size == 0)
        return true;
    struct store_dump_row row = d->row;
    d->row.size = 0;
    return dump_say(d, &row);
}

static bool dump_is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, FORMAT_ALIGN - 1) == 0;
}

/* A page that is no record's. Damaged ones that begin like a record begin a row of their own. */
static bool dump_page(struct dump *d, uint64_t offset, const uint8_t *page)
{
    bool zero = page != NULL && dump_is_zero(page);
    bool begins = page != NULL && memcmp(page, FORMAT_RECORD_TEXT, 4) == 0;
    enum store_dump_state state = zero ? STORE_DUMP_HOLE : STORE_DUMP_HEADER;
    if (d->row.size > 0 && (d->row.state != state || begins) && !dump_end_row(d))
        return false;
    if (d->row.size == 0)
        d->row = (struct store_dump_row){.state = state, .offset = offset};
    d->row.size += FORMAT_ALIGN;
    return true;
}

/* The record whose header is x: what else is to be said of it. */
static int dump_record(struct dump *d, const struct format_record *x, struct store_dump_row *row)
{
    const uint8_t *bytes = NULL;
    uint32_t size = format_record_size(x->length);
    uint64_t order = (uint64_t)x->epoch << 32 | x->sequence;
    struct str name;
    *row = (struct store_dump_row){.offset = x->offset,
                                   .size = size,
                                   .digest = x->digest,
                                   .length = x->length,
                                   .epoch = x->epoch,
                                   .sequence = x->sequence,
                                   .kind = x->kind == FORMAT_BLOB  ? STORE_DUMP_BLOB
                                           : x->kind == FORMAT_REF ? STORE_DUMP_REF
                                                                   : STORE_DUMP_REF_GONE};
    int r = dump_view(d, x->offset, size, &bytes);
    if (r < 0 && r != -EIO)
        return r;
    const uint8_t *payload = r == 0 ? bytes + format_payload_offset(x->length) : NULL;
    struct digest is = digest_of(payload, payload != NULL ? x->length : 0);
    bool good = r == 0 && format_record_check(bytes, size, x) == 0 && digest_eq(&is, &x->digest);
    if (good && x->kind != FORMAT_BLOB) {
        good = format_ref_read(payload, x->length, &name, &row->ref) == 0;
        if (good && str_copy(name, row->name, sizeof row->name) < 0)
            good = false;
    }
    if (order <= d->order)
        d->is_over = true;
    d->order = MAX(d->order, order);
    row->state = d->is_over ? STORE_DUMP_LEFT : STORE_DUMP_OK;
    if (!good)
        row->state = STORE_DUMP_PAYLOAD;
    return 0;
}

static int dump_step(struct dump *d, uint64_t *offset)
{
    const uint8_t *bytes = NULL;
    struct format_record x;
    struct store_dump_row row;
    uint32_t head_size = (uint32_t)MIN((uint64_t)DUMP_HEAD, d->end - *offset);
    int r = dump_view(d, *offset, head_size, &bytes);
    if (r < 0 && r != -EIO)
        return r;
    if (r == 0 && format_record_read(bytes, head_size, &x) == 0 && x.offset == *offset &&
        format_record_size(x.length) <= d->end - *offset &&
        (x.volume == d->report->volume || d->report->damaged_header)) {
        if (!dump_end_row(d))
            return -EINTR;
        r = dump_record(d, &x, &row);
        *offset += row.size;
        return r < 0 ? r : dump_say(d, &row) ? 0 : -EINTR;
    }
    bool goes_on = dump_page(d, *offset, r == 0 ? bytes : NULL);
    *offset += FORMAT_ALIGN;
    d->report->bytes_done = *offset;
    return goes_on ? 0 : -EINTR;
}

static int dump_volume(struct dump *d, struct err *err)
{
    const uint8_t *page = NULL;
    struct format_volume head = {0};
    struct err why = {{0}};
    uint64_t offset = FORMAT_RECORDS;
    int r = d->end < FORMAT_RECORDS ? err_set(&why, -EBADMSG, "it is not a Weir volume")
                                    : dump_view(d, 0, FORMAT_ALIGN, &page);
    if (r == -EIO || (page != NULL && memcmp(page, FORMAT_VOLUME_TEXT, 8) == 0)) {
        r = page != NULL ? format_volume_read(page, &head, &why) : -EBADMSG;
        d->report->damaged_header = r == -EBADMSG;
        r = d->report->damaged_header ? 0 : r;
    } else if (r == 0) {
        r = err_set(&why, -EBADMSG, "it is not a Weir volume");
    }
    if (r < 0)
        return err_set(err, r, "%s", why.text[0] != 0 ? why.text : strerror(-r));
    d->report->volume = head.id;
    d->report->created_ms = head.created_ms;
    memcpy(d->report->store_id, head.store_id, sizeof d->report->store_id);
    while (r == 0 && offset < d->end)
        r = dump_step(d, &offset);
    if (r == 0 && d->row.state == STORE_DUMP_HOLE)
        d->row.state = STORE_DUMP_FREE;
    if (r == 0 && !dump_end_row(d))
        r = -EINTR;
    return r < 0 ? err_errno(err, r, "reading it") : 0;
}

int store_dump(const char *path, const struct io_ops *io, store_dump_each *each, void *arg,
               struct store_dump *ret, struct err *err)
{
    struct dump d = {.fd = -1, .each = each, .arg = arg, .report = ret};
    struct err why = {{0}};
    io = io != NULL ? io : io_default();
    *ret = (struct store_dump){0};
    int r = io_queue_new(io, 4, -1, &d.queue);
    if (r == 0)
        r = d.fd = io->open(io, path, IO_DIRECT);
    if (r >= 0)
        r = io->file_size(io, d.fd, &ret->bytes);
    if (r < 0) {
        err_errno(err, r, "opening %s", path);
    } else {
        d.end = ret->bytes / FORMAT_ALIGN * FORMAT_ALIGN;
        r = dump_volume(&d, &why);
        if (r < 0)
            err_set(err, r, "%s: %s", path, why.text);
    }
    if (d.fd >= 0)
        (void)io->close(io, d.fd); /* it was only read */
    io_queue_free(d.queue);
    free(d.bytes);
    return r;
}
