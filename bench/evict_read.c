/* SPDX-License-Identifier: Apache-2.0 */
#include "evict_read.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define EVICT_SLOTS_MIN 4096u
#define EVICT_PIECE     ((size_t)1 << 20)

struct evict_slot {
    uint64_t id;
    uint32_t object; /* + 1; 0: free */
};

struct evict_read {
    enum evict_format format;
    struct evict_trace *trace;
    struct evict_slot *slots; /* open addressing, at most half full */
    uint64_t slots_count;     /* a power of 2 */
    uint64_t number;          /* lines or records so far */
    size_t rest_size;         /* of a line or record whose end has not come */
    char rest[EVICT_LINE_MAX];
    char why[EVICT_WHY_SIZE];
};

int evict_read_new(enum evict_format format, struct evict_trace *t, struct evict_read **ret)
{
    struct evict_read *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -ENOMEM;
    r->format = format;
    r->trace = t;
    r->slots_count = EVICT_SLOTS_MIN;
    r->slots = calloc(r->slots_count, sizeof *r->slots);
    if (r->slots == NULL) {
        free(r);
        return -ENOMEM;
    }
    *ret = r;
    return 0;
}

struct evict_read *evict_read_free(struct evict_read *r)
{
    if (r == NULL)
        return NULL;
    free(r->slots);
    free(r);
    return NULL;
}

const char *evict_read_why(const struct evict_read *r)
{
    return r->why;
}

PRINTF_LIKE(2, 3) static int evict_read_bad(struct evict_read *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
    return -EBADMSG;
}

/* --- ids -------------------------------------------------------------------------------------- */

static struct evict_slot *evict_slot_of(struct evict_slot *slots, uint64_t count, uint64_t id)
{
    uint64_t at = (id ^ id >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    at ^= at >> 29;
    for (;; at++) {
        struct evict_slot *s = &slots[at & (count - 1)];
        if (s->object == 0 || s->id == id)
            return s;
    }
}

static int evict_slots_grow(struct evict_read *r)
{
    uint64_t count = r->slots_count * 2;
    struct evict_slot *more = calloc(count, sizeof *more);
    if (more == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < r->slots_count; i++) {
        if (r->slots[i].object != 0)
            *evict_slot_of(more, count, r->slots[i].id) = r->slots[i];
    }
    free(r->slots);
    r->slots = more;
    r->slots_count = count;
    return 0;
}

static int evict_read_request(struct evict_read *r, uint64_t id, uint32_t size)
{
    struct evict_slot *s = evict_slot_of(r->slots, r->slots_count, id);
    if (s->object == 0) {
        uint32_t object = 0;
        int res = evict_trace_object(r->trace, size, &object);
        if (res < 0)
            return res;
        *s = (struct evict_slot){id, object + 1};
        res = evict_trace_request(r->trace, object);
        if (res == 0 && r->trace->objects_count > r->slots_count / 2)
            res = evict_slots_grow(r);
        return res;
    }
    return evict_trace_request(r->trace, s->object - 1);
}

/* --- lines and records ------------------------------------------------------------------------ */

static int evict_read_line(struct evict_read *r, struct str line)
{
    struct str rest = {0}, size_text = {0};
    uint64_t size = 0;
    r->number++;
    line = str_trim(line);
    if (str_ends(line, STR("\r")))
        line.size--;
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    struct str time = str_trim(str_cut(line, ',', &rest));
    struct str id = str_trim(str_cut(rest, ',', &size_text));
    size_text = str_trim(size_text);
    if (r->number == 1 && str_eq_nocase(time, STR("time")))
        return 0; /* a heading */
    if (time.size == 0 || id.size == 0 || str_to_u64(size_text, &size) < 0)
        return evict_read_bad(r, "line %llu is not time,id,size", (unsigned long long)r->number);
    if (size > UINT32_MAX)
        return evict_read_bad(r, "line %llu has a size of more than 4 GiB",
                              (unsigned long long)r->number);
    /* Ids may be any text: their digests are the ids. */
    struct digest d = digest_of(id.data, id.size);
    uint64_t n;
    memcpy(&n, d.bytes, sizeof n);
    return evict_read_request(r, n, (uint32_t)size);
}

static uint64_t evict_read_le(const uint8_t *at, unsigned size)
{
    uint64_t n = 0;
    while (size-- > 0)
        n = n << 8 | at[size];
    return n;
}

static int evict_read_record(struct evict_read *r, const void *record)
{
    const uint8_t *at = record;
    uint64_t next = evict_read_le(at + 16, 8);
    /* Counted from 0 or from 1, it is behind this one; parts of longer traces have larger ones. */
    if (next <= r->number && next != UINT64_MAX)
        return evict_read_bad(r, "record %llu has its next request before itself",
                              (unsigned long long)r->number + 1);
    if (next > INT64_MAX && next != UINT64_MAX)
        return evict_read_bad(r, "record %llu has a negative next request",
                              (unsigned long long)r->number + 1);
    r->number++;
    return evict_read_request(r, evict_read_le(at + 4, 8), (uint32_t)evict_read_le(at + 12, 4));
}

/* What a piece ends with waits in rest until the next piece completes it. */
static int evict_read_some(struct evict_read *r, const char *data, size_t size, size_t *ret_used)
{
    const char *end = r->format == EVICT_CSV ? memchr(data, '\n', size) : NULL;
    size_t wanted = r->format == EVICT_CSV ? (end != NULL ? (size_t)(end - data) : size)
                                           : MIN(size, EVICT_RECORD_SIZE - r->rest_size);
    bool whole = r->format == EVICT_CSV ? end != NULL : r->rest_size + wanted == EVICT_RECORD_SIZE;
    const char *from = data;
    size_t from_size = wanted;
    if (r->rest_size > 0 || !whole) {
        if (wanted > sizeof r->rest - r->rest_size)
            return evict_read_bad(r, "line %llu is longer than %u bytes",
                                  (unsigned long long)r->number + 1, EVICT_LINE_MAX);
        memcpy(r->rest + r->rest_size, data, wanted);
        r->rest_size += wanted;
        from = r->rest;
        from_size = r->rest_size;
    }
    *ret_used = wanted + (end != NULL);
    if (!whole)
        return 0;
    r->rest_size = 0;
    return r->format == EVICT_CSV ? evict_read_line(r, (struct str){from, from_size})
                                  : evict_read_record(r, from);
}

int evict_read_feed(struct evict_read *r, const void *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t used = 0;
        int res = evict_read_some(r, (const char *)data + at, size - at, &used);
        if (res < 0)
            return res;
        at += used;
    }
    return 0;
}

int evict_read_end(struct evict_read *r)
{
    int res = 0;
    if (r->rest_size > 0 && r->format == EVICT_ORACLE)
        return evict_read_bad(r, "it ends %zu bytes into record %llu", r->rest_size,
                              (unsigned long long)r->number + 1);
    if (r->rest_size > 0)
        res = evict_read_line(r, (struct str){r->rest, r->rest_size});
    r->rest_size = 0;
    if (res == 0 && r->trace->requests_count == 0)
        return evict_read_bad(r, "it has no requests");
    return res;
}

/* --- files ------------------------------------------------------------------------------------ */

static int evict_read_plain(struct evict_read *r, int fd, char *piece)
{
    for (;;) {
        ssize_t n = read(fd, piece, EVICT_PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : evict_read_end(r);
        int res = evict_read_feed(r, piece, (size_t)n);
        if (res < 0)
            return res;
    }
}

static int evict_read_zstd(struct evict_read *r, int fd, char *piece, char *plain, ZSTD_DStream *z)
{
    size_t left = 0; /* of a frame; 0: between two */
    for (;;) {
        ssize_t n = read(fd, piece, EVICT_PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return left == 0 ? evict_read_end(r)
                             : evict_read_bad(r, "its zstd data ends in the middle of a frame");
        ZSTD_inBuffer in = {piece, (size_t)n, 0};
        bool full = true;
        while (in.pos < in.size || full) {
            ZSTD_outBuffer out = {plain, EVICT_PIECE, 0};
            size_t before = in.pos;
            left = ZSTD_decompressStream(z, &out, &in);
            if (ZSTD_isError(left))
                return evict_read_bad(r, "its zstd data is damaged: %s", ZSTD_getErrorName(left));
            int res = evict_read_feed(r, plain, out.pos);
            if (res < 0)
                return res;
            full = out.pos == out.size;
            if (in.pos == before && out.pos == 0)
                break;
        }
    }
}

static int evict_read_fd(struct evict_read *r, int fd, bool zstd)
{
    char *piece = malloc(EVICT_PIECE * 2);
    ZSTD_DStream *z = zstd ? ZSTD_createDStream() : NULL;
    int res = -ENOMEM;
    if (piece != NULL && (!zstd || z != NULL))
        res = zstd ? evict_read_zstd(r, fd, piece, piece + EVICT_PIECE, z)
                   : evict_read_plain(r, fd, piece);
    (void)ZSTD_freeDStream(z);
    free(piece);
    return res;
}

int evict_read_file(const char *path, struct evict_trace *t, char why[EVICT_WHY_SIZE])
{
    CLEAN(evict_read_free) struct evict_read *r = NULL;
    struct str name = str_of(path);
    bool zstd = str_ends(name, STR(".zst"));
    name.size -= zstd ? 4 : 0;
    bool oracle = str_ends(name, STR(".oracleGeneral"));
    if (!oracle && !str_ends(name, STR(".csv"))) {
        (void)snprintf(why, EVICT_WHY_SIZE, "its name ends in neither .csv nor .oracleGeneral");
        return -EINVAL;
    }
    CLEAN(base_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int res = fd < 0 ? -errno : evict_read_new(oracle ? EVICT_ORACLE : EVICT_CSV, t, &r);
    if (res == 0)
        res = evict_read_fd(r, fd, zstd);
    if (res == -EBADMSG)
        (void)snprintf(why, EVICT_WHY_SIZE, "%s", r->why);
    else if (res < 0)
        (void)snprintf(why, EVICT_WHY_SIZE, "%s", strerror(-res));
    return res;
}
