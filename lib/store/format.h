/* SPDX-License-Identifier: Apache-2.0 */
/* format: the bytes of volumes on disk, written and checked; nothing here does I/O.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  -EBADMSG: not what the bytes should be; -EPROTONOSUPPORT: a newer version.
 * Units:   bytes; all numbers on disk are little-endian.
 * Source:  docs/format.md, "Volumes". */
#pragma once
#include <assert.h>
#include "base/digest.h"
#include "store/store.h"

#define FORMAT_VERSION       1u
#define FORMAT_INDEX_VERSION 2u
#define FORMAT_ALIGN         UINT32_C(4096)
#define FORMAT_BLOCK         UINT32_C(65536)
#define FORMAT_BLOCKS_MAX    (STORE_BLOB_MAX / FORMAT_BLOCK)
#define FORMAT_ID_SIZE       16
#define FORMAT_RECORDS       FORMAT_ALIGN /* where a volume's first record is */
#define FORMAT_VOLUME_MIN    (UINT64_C(16) * FORMAT_ALIGN)
#define FORMAT_VOLUME_TEXT   "WEIRVOL" /* with its zero: 8 bytes */
#define FORMAT_DEVICE_TEXT   "WEIRDEV"
#define FORMAT_RECORD_TEXT   "WREC" /* without: 4 bytes */

/* The first 64 bytes of a volume; zeroes up to FORMAT_ALIGN. */
struct format_volume_disk {
    uint8_t magic[8];
    uint32_t version;
    uint32_t id;
    uint8_t store_id[FORMAT_ID_SIZE];
    uint64_t size;
    int64_t created_ms;
    uint8_t reserved[8]; /* zero */
    uint64_t checksum;   /* XXH3-64 of the 56 bytes before */
};
static_assert(offsetof(struct format_volume_disk, version) == 8, "docs/format.md");
static_assert(offsetof(struct format_volume_disk, id) == 12, "docs/format.md");
static_assert(offsetof(struct format_volume_disk, store_id) == 16, "docs/format.md");
static_assert(offsetof(struct format_volume_disk, size) == 32, "docs/format.md");
static_assert(offsetof(struct format_volume_disk, created_ms) == 40, "docs/format.md");
static_assert(offsetof(struct format_volume_disk, checksum) == 56, "docs/format.md");
static_assert(sizeof(struct format_volume_disk) == 64, "docs/format.md");

/* The first 64 bytes of a record; block checksums, payload and padding follow. */
struct format_record_disk {
    uint8_t magic[4];
    uint16_t version;
    uint16_t kind; /* enum format_kind */
    uint8_t digest[DIGEST_SIZE];
    uint32_t length; /* of the payload */
    uint32_t flags;  /* zero; a reader refuses what it does not know */
    uint32_t volume; /* where it was written: a record found elsewhere is not one */
    uint32_t epoch;
    uint64_t offset;
    uint32_t sequence; /* with epoch: rises from record to record, never used twice */
    uint32_t block_size;
    uint64_t checksum; /* XXH3-64 of the 56 bytes before and the block checksums */
};
static_assert(offsetof(struct format_record_disk, version) == 4, "docs/format.md");
static_assert(offsetof(struct format_record_disk, kind) == 6, "docs/format.md");
static_assert(offsetof(struct format_record_disk, digest) == 8, "docs/format.md");
static_assert(offsetof(struct format_record_disk, length) == 24, "docs/format.md");
static_assert(offsetof(struct format_record_disk, flags) == 28, "docs/format.md");
static_assert(offsetof(struct format_record_disk, volume) == 32, "docs/format.md");
static_assert(offsetof(struct format_record_disk, epoch) == 36, "docs/format.md");
static_assert(offsetof(struct format_record_disk, offset) == 40, "docs/format.md");
static_assert(offsetof(struct format_record_disk, sequence) == 48, "docs/format.md");
static_assert(offsetof(struct format_record_disk, block_size) == 52, "docs/format.md");
static_assert(offsetof(struct format_record_disk, checksum) == 56, "docs/format.md");
static_assert(sizeof(struct format_record_disk) == 64, "docs/format.md");

/* The first 64 bytes of a device's file `device`, which is FORMAT_ALIGN long; zeroes follow. */
struct format_device_disk {
    uint8_t magic[8];
    uint32_t version;
    uint32_t id;
    uint8_t store_id[FORMAT_ID_SIZE];
    uint32_t kind; /* enum format_device_kind */
    uint32_t reserved;
    int64_t created_ms;
    uint8_t reserved2[8];
    uint64_t checksum; /* XXH3-64 of the 56 bytes before */
};
static_assert(offsetof(struct format_device_disk, kind) == 32, "docs/format.md");
static_assert(offsetof(struct format_device_disk, created_ms) == 40, "docs/format.md");
static_assert(offsetof(struct format_device_disk, checksum) == 56, "docs/format.md");
static_assert(sizeof(struct format_device_disk) == 64, "docs/format.md");

enum format_kind { FORMAT_BLOB = 0, FORMAT_REF = 1, FORMAT_REF_GONE = 2 };
enum format_device_kind { FORMAT_WARM = 0, FORMAT_COLD = 1, FORMAT_DEVICE_KINDS };

/* The payload of the two kinds of refs; the name fills the rest. Its digest is the payload's. */
struct format_ref_disk {
    uint8_t presentation[DIGEST_SIZE]; /* FORMAT_REF_GONE: zeroes */
    uint64_t generation;
    int64_t changed_ms;
};
static_assert(offsetof(struct format_ref_disk, generation) == 16, "docs/format.md");
static_assert(offsetof(struct format_ref_disk, changed_ms) == 24, "docs/format.md");
static_assert(sizeof(struct format_ref_disk) == 32, "docs/format.md");
#define FORMAT_REF_MAX ((uint32_t)sizeof(struct format_ref_disk) + STORE_NAME_MAX)

struct format_volume {
    uint32_t id;
    uint8_t store_id[FORMAT_ID_SIZE];
    uint64_t size;
    int64_t created_ms;
};

struct format_device {
    uint32_t id;
    uint8_t store_id[FORMAT_ID_SIZE];
    enum format_device_kind kind;
    int64_t created_ms;
};

struct format_record {
    enum format_kind kind;
    struct digest digest;
    uint32_t length;
    uint32_t volume;
    uint32_t epoch;
    uint32_t sequence;
    uint64_t offset;
};

/* out: FORMAT_ALIGN bytes, all written. */
void format_volume_write(const struct format_volume *v, uint8_t *out);
MUST_USE int format_volume_read(const uint8_t *bytes, struct format_volume *ret, struct err *err);

/* The same for a device's file. */
void format_device_write(const struct format_device *d, uint8_t *out);
MUST_USE int format_device_read(const uint8_t *bytes, struct format_device *ret, struct err *err);

uint32_t format_payload_offset(uint32_t length); /* length <= STORE_BLOB_MAX */
uint32_t format_record_size(uint32_t length);    /* with padding: a multiple of FORMAT_ALIGN */

/* Block checksums, payload and padding into out (format_record_size bytes); the header comes later,
 * once the record has its place: */
void format_record_fill(const void *payload, uint32_t length, uint8_t *out);
/* The same where the payload lies in its place already. */
void format_record_frame(uint32_t length, uint8_t *out);
void format_record_place(const struct format_record *r, uint8_t *out);

/* The header alone. size: bytes there are; -ENODATA when they are too few to tell. */
MUST_USE int format_record_read(const uint8_t *bytes, uint64_t size, struct format_record *ret);

/* The whole record with its payload. want: what the index says; epoch and sequence may differ. */
MUST_USE int format_record_check(const uint8_t *bytes, uint64_t size,
                                 const struct format_record *want);
MUST_USE int format_payload_check(const uint8_t *bytes, uint32_t length);
/* One block of the payload, lying anywhere. head: of the record, with the block checksums. */
uint32_t format_blocks(uint32_t length);
MUST_USE int format_block_check(const uint8_t *head, uint32_t block, const uint8_t *bytes,
                                uint32_t size);

/* out: FORMAT_REF_MAX bytes; returns how many were written. */
uint32_t format_ref_write(struct str name, const struct store_ref *ref, uint8_t *out);
/* *ret_name borrows from payload. */
MUST_USE int format_ref_read(const uint8_t *payload, uint32_t length, struct str *ret_name,
                             struct store_ref *ret);
