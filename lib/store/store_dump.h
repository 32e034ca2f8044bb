/* SPDX-License-Identifier: Apache-2.0 */
/* store_dump: what is in a volume's file, record by record, by the file alone.
 *
 * Life:    one call.
 * Owner:   rows are lent for the call of each.
 * Threads: any; each is called on the caller's.
 * Errors:  0 or -errno with a sentence in err; -EBADMSG: it is no volume. Damage is a row, not an
 *          error.
 * Units:   bytes.
 * Source:  docs/format.md, "Volumes". */
#pragma once
#include "store/store.h"

struct io_ops;

enum store_dump_state {
    STORE_DUMP_OK,
    STORE_DUMP_PAYLOAD, /* the header is in order, what it describes is not */
    STORE_DUMP_HEADER,  /* neither a record nor empty */
    STORE_DUMP_LEFT,    /* in order, but behind the volume's end: a run that died left it */
    STORE_DUMP_HOLE,    /* zeroes with something behind them */
    STORE_DUMP_FREE,    /* zeroes up to the end of the file */
};

enum store_dump_kind { STORE_DUMP_BLOB, STORE_DUMP_REF, STORE_DUMP_REF_GONE };

struct store_dump_row {
    enum store_dump_state state;
    uint64_t offset, size;
    /* OK, PAYLOAD and LEFT have the rest. */
    enum store_dump_kind kind;
    struct digest digest;
    uint32_t length, epoch, sequence;
    /* OK and LEFT of a ref. */
    char name[STORE_NAME_MAX + 1];
    struct store_ref ref;
};

struct store_dump {
    uint32_t volume;
    uint8_t store_id[16];
    int64_t created_ms;
    bool damaged_header; /* of the volume: what it says above is not known, records were read */
    uint64_t bytes, bytes_done;
    uint64_t records, damaged; /* in order, also those left behind; and not */
};

/* False ends the walk, with -EINTR. so_far says where it is. */
typedef bool store_dump_each(void *arg, const struct store_dump *so_far,
                             const struct store_dump_row *row);

/* io: NULL: as in store.h. ret: filled as far as it got, in every case. */
MUST_USE int store_dump(const char *path, const struct io_ops *io, store_dump_each *each, void *arg,
                        struct store_dump *ret, struct err *err);
