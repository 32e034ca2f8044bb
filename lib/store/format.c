/* SPDX-License-Identifier: Apache-2.0 */
#include "store/format.h"
#include <endian.h>
#include <errno.h>
#include <xxhash.h>
#ifdef WEIR_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* AVX2 or AVX-512 where the processor has them */
#endif

#define FORMAT_HEAD   ((uint32_t)sizeof(struct format_record_disk))
#define FORMAT_SUMMED offsetof(struct format_record_disk, checksum)

static_assert(FORMAT_SUMMED == 56, "docs/format.md");
static_assert(STORE_BLOB_MAX % FORMAT_BLOCK == 0, "blocks tile the largest blob");
static_assert((uint64_t)FORMAT_HEAD + 8 * FORMAT_BLOCKS_MAX + STORE_BLOB_MAX + FORMAT_ALIGN <=
                  RBUF_CAP_MAX,
              "the largest record fits a buffer");

void format_volume_write(const struct format_volume *v, uint8_t *out)
{
    struct format_volume_disk d = {
        .magic = FORMAT_VOLUME_TEXT,
        .version = htole32(FORMAT_VERSION),
        .id = htole32(v->id),
        .size = htole64(v->size),
        .created_ms = (int64_t)htole64((uint64_t)v->created_ms),
    };
    memcpy(d.store_id, v->store_id, FORMAT_ID_SIZE);
    d.checksum = htole64(XXH3_64bits(&d, offsetof(struct format_volume_disk, checksum)));
    memset(out, 0, FORMAT_ALIGN);
    memcpy(out, &d, sizeof d);
}

int format_volume_read(const uint8_t *bytes, struct format_volume *ret, struct err *err)
{
    struct format_volume_disk d;
    memcpy(&d, bytes, sizeof d);
    if (memcmp(d.magic, FORMAT_VOLUME_TEXT, sizeof d.magic) != 0)
        return err_set(err, -EBADMSG, "it is not a Weir volume");
    /* The version first: a newer format may well sum other bytes. */
    if (le32toh(d.version) != FORMAT_VERSION)
        return err_set(err, -EPROTONOSUPPORT,
                       "it has volume format %u and this program knows only %u", le32toh(d.version),
                       FORMAT_VERSION);
    uint64_t sum = XXH3_64bits(&d, offsetof(struct format_volume_disk, checksum));
    if (le64toh(d.checksum) != sum)
        return err_set(err, -EBADMSG, "its header is damaged");
    ret->id = le32toh(d.id);
    ret->size = le64toh(d.size);
    ret->created_ms = (int64_t)le64toh((uint64_t)d.created_ms);
    memcpy(ret->store_id, d.store_id, FORMAT_ID_SIZE);
    return 0;
}

void format_device_write(const struct format_device *v, uint8_t *out)
{
    struct format_device_disk d = {
        .magic = FORMAT_DEVICE_TEXT,
        .version = htole32(FORMAT_VERSION),
        .id = htole32(v->id),
        .kind = htole32((uint32_t)v->kind),
        .created_ms = (int64_t)htole64((uint64_t)v->created_ms),
    };
    memcpy(d.store_id, v->store_id, FORMAT_ID_SIZE);
    d.checksum = htole64(XXH3_64bits(&d, offsetof(struct format_device_disk, checksum)));
    memset(out, 0, FORMAT_ALIGN);
    memcpy(out, &d, sizeof d);
}

int format_device_read(const uint8_t *bytes, struct format_device *ret, struct err *err)
{
    struct format_device_disk d;
    memcpy(&d, bytes, sizeof d);
    if (memcmp(d.magic, FORMAT_DEVICE_TEXT, sizeof d.magic) != 0)
        return err_set(err, -EBADMSG, "it does not describe a device of a Weir store");
    if (le32toh(d.version) != FORMAT_VERSION)
        return err_set(err, -EPROTONOSUPPORT,
                       "it has device format %u and this program knows only %u", le32toh(d.version),
                       FORMAT_VERSION);
    uint64_t sum = XXH3_64bits(&d, offsetof(struct format_device_disk, checksum));
    if (le64toh(d.checksum) != sum || le32toh(d.kind) >= FORMAT_DEVICE_KINDS || le32toh(d.id) == 0)
        return err_set(err, -EBADMSG, "it is damaged");
    ret->id = le32toh(d.id);
    ret->kind = le32toh(d.kind) == FORMAT_COLD ? FORMAT_COLD : FORMAT_WARM;
    ret->created_ms = (int64_t)le64toh((uint64_t)d.created_ms);
    memcpy(ret->store_id, d.store_id, FORMAT_ID_SIZE);
    return 0;
}

uint32_t format_blocks(uint32_t length)
{
    ASSERT(length <= STORE_BLOB_MAX);
    return (length + FORMAT_BLOCK - 1) / FORMAT_BLOCK;
}

uint32_t format_payload_offset(uint32_t length)
{
    return FORMAT_HEAD + 8 * format_blocks(length);
}

uint32_t format_record_size(uint32_t length)
{
    uint32_t whole = format_payload_offset(length) + length;
    return (whole + FORMAT_ALIGN - 1) / FORMAT_ALIGN * FORMAT_ALIGN;
}

static uint64_t format_block_sum(const uint8_t *payload, uint32_t length, uint32_t block)
{
    uint32_t from = block * FORMAT_BLOCK;
    return XXH3_64bits(payload + from, MIN(FORMAT_BLOCK, length - from));
}

int format_block_check(const uint8_t *head, uint32_t block, const uint8_t *bytes, uint32_t size)
{
    uint64_t sum;
    memcpy(&sum, head + FORMAT_HEAD + 8 * (size_t)block, sizeof sum);
    return le64toh(sum) == XXH3_64bits(bytes, size) ? 0 : -EBADMSG;
}

void format_record_fill(const void *payload, uint32_t length, uint8_t *out)
{
    if (length > 0)
        memcpy(out + format_payload_offset(length), payload, length);
    /* Summed after the copy: bytes that change under us would be found out at the first read. */
    format_record_frame(length, out);
}

void format_record_frame(uint32_t length, uint8_t *out)
{
    uint32_t at = format_payload_offset(length);
    for (uint32_t i = 0; i < format_blocks(length); i++) {
        uint64_t sum = htole64(format_block_sum(out + at, length, i));
        memcpy(out + FORMAT_HEAD + 8 * (size_t)i, &sum, sizeof sum);
    }
    memset(out + at + length, 0, format_record_size(length) - at - length);
}

/* Of the first 56 bytes and the block checksums, leaving out the checksum between them. */
static uint64_t format_record_sum(const uint8_t *bytes, uint32_t blocks_count)
{
    XXH64_hash_t head = XXH3_64bits(bytes, FORMAT_SUMMED);
    if (blocks_count == 0)
        return head;
    return XXH3_64bits_withSeed(bytes + FORMAT_HEAD, 8 * (size_t)blocks_count, head);
}

void format_record_place(const struct format_record *r, uint8_t *out)
{
    ASSERT(r->offset % FORMAT_ALIGN == 0);
    uint32_t blocks_count = format_blocks(r->length);
    struct format_record_disk d = {
        .version = htole16(FORMAT_VERSION),
        .kind = htole16((uint16_t)r->kind),
        .length = htole32(r->length),
        .volume = htole32(r->volume),
        .epoch = htole32(r->epoch),
        .offset = htole64(r->offset),
        .sequence = htole32(r->sequence),
        .block_size = htole32(FORMAT_BLOCK),
    };
    memcpy(d.magic, FORMAT_RECORD_TEXT, sizeof d.magic);
    memcpy(d.digest, r->digest.bytes, DIGEST_SIZE);
    memcpy(out, &d, sizeof d);
    uint64_t sum = htole64(format_record_sum(out, blocks_count));
    memcpy(out + FORMAT_SUMMED, &sum, sizeof sum);
}

int format_record_read(const uint8_t *bytes, uint64_t size, struct format_record *ret)
{
    struct format_record_disk d;
    if (size < sizeof d)
        return -ENODATA;
    memcpy(&d, bytes, sizeof d);
    if (memcmp(d.magic, FORMAT_RECORD_TEXT, sizeof d.magic) != 0)
        return -EBADMSG;
    if (le16toh(d.version) != FORMAT_VERSION)
        return -EPROTONOSUPPORT;
    struct format_record r = {
        .kind = (enum format_kind)le16toh(d.kind),
        .length = le32toh(d.length),
        .volume = le32toh(d.volume),
        .epoch = le32toh(d.epoch),
        .sequence = le32toh(d.sequence),
        .offset = le64toh(d.offset),
    };
    memcpy(r.digest.bytes, d.digest, DIGEST_SIZE);
    if (r.length > STORE_BLOB_MAX || le16toh(d.kind) > FORMAT_REF_GONE || d.flags != 0)
        return -EBADMSG;
    if (le32toh(d.block_size) != FORMAT_BLOCK)
        return -EBADMSG;
    if (size < format_payload_offset(r.length))
        return -ENODATA;
    if (le64toh(d.checksum) != format_record_sum(bytes, format_blocks(r.length)))
        return -EBADMSG;
    *ret = r;
    return 0;
}

int format_payload_check(const uint8_t *bytes, uint32_t length)
{
    const uint8_t *payload = bytes + format_payload_offset(length);
    for (uint32_t i = 0; i < format_blocks(length); i++) {
        uint32_t from = i * FORMAT_BLOCK;
        if (format_block_check(bytes, i, payload + from, MIN(FORMAT_BLOCK, length - from)) < 0)
            return -EBADMSG;
    }
    return 0;
}

int format_record_check(const uint8_t *bytes, uint64_t size, const struct format_record *want)
{
    struct format_record r;
    if (size < format_record_size(want->length))
        return -EBADMSG;
    int e = format_record_read(bytes, size, &r);
    if (e < 0)
        return -EBADMSG;
    if (r.kind != want->kind || r.length != want->length || r.volume != want->volume ||
        r.offset != want->offset || !digest_eq(&r.digest, &want->digest))
        return -EBADMSG;
    return format_payload_check(bytes, r.length);
}

uint32_t format_ref_write(struct str name, const struct store_ref *ref, uint8_t *out)
{
    ASSERT(store_name_ok(name));
    struct format_ref_disk d = {.generation = htole64(ref->generation),
                                .changed_ms = (int64_t)htole64((uint64_t)ref->changed_ms)};
    memcpy(d.presentation, ref->presentation.bytes, DIGEST_SIZE);
    memcpy(out, &d, sizeof d);
    memcpy(out + sizeof d, name.data, name.size);
    return (uint32_t)(sizeof d + name.size);
}

int format_ref_read(const uint8_t *payload, uint32_t length, struct str *ret_name,
                    struct store_ref *ret)
{
    struct format_ref_disk d;
    if (length <= sizeof d || length > FORMAT_REF_MAX)
        return -EBADMSG;
    memcpy(&d, payload, sizeof d);
    struct str name = {(const char *)payload + sizeof d, length - sizeof d};
    if (!store_name_ok(name))
        return -EBADMSG;
    *ret_name = name;
    memcpy(ret->presentation.bytes, d.presentation, DIGEST_SIZE);
    ret->generation = le64toh(d.generation);
    ret->changed_ms = (int64_t)le64toh((uint64_t)d.changed_ms);
    return 0;
}
