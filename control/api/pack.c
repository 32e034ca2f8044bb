/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/pack.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define PACK_GZIP_LEVEL  4
#define PACK_ZSTD_LEVEL  3
#define PACK_GZIP_WINDOW (15 + 16) /* of 32 KiB, with gzip's header */

/* What a thread packs with: making it anew costs more than packing a small answer. */
struct pack_tools {
    z_stream gzip;
    bool has_gzip;
    ZSTD_CCtx *zstd;
};

static pthread_once_t pack_once = PTHREAD_ONCE_INIT;
static pthread_key_t pack_key;
static int pack_key_error;

static void pack_tools_free(void *arg)
{
    struct pack_tools *t = arg;
    if (t->has_gzip)
        (void)deflateEnd(&t->gzip);
    (void)ZSTD_freeCCtx(t->zstd);
    free(t);
}

static void pack_make_key(void)
{
    pack_key_error = pthread_key_create(&pack_key, pack_tools_free);
}

static struct pack_tools *pack_tools(void)
{
    (void)pthread_once(&pack_once, pack_make_key); /* fails for a bad argument only */
    if (pack_key_error != 0)
        return NULL;
    struct pack_tools *t = pthread_getspecific(pack_key);
    if (t != NULL)
        return t;
    t = calloc(1, sizeof *t);
    if (t != NULL && pthread_setspecific(pack_key, t) != 0) {
        free(t);
        t = NULL;
    }
    return t;
}

static int pack_gzip(struct pack_tools *t, struct str in, struct buf *out)
{
    if (!t->has_gzip) {
        if (deflateInit2(&t->gzip, PACK_GZIP_LEVEL, Z_DEFLATED, PACK_GZIP_WINDOW, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK)
            return -ENOMEM;
        t->has_gzip = true;
    }
    (void)deflateReset(&t->gzip); /* cannot fail; deflateBound is too small before it */
    uLong room = deflateBound(&t->gzip, in.size);
    char *packed = malloc(room);
    if (packed == NULL)
        return -ENOMEM;
    t->gzip.next_in = (Bytef *)(uintptr_t)in.data;
    t->gzip.avail_in = (uInt)in.size;
    t->gzip.next_out = (Bytef *)packed;
    t->gzip.avail_out = (uInt)room;
    int done = deflate(&t->gzip, Z_FINISH);
    if (done == Z_STREAM_END)
        buf_put(out, packed, room - t->gzip.avail_out);
    free(packed);
    return done == Z_STREAM_END ? buf_error(out) : -ENOMEM;
}

static int pack_zstd(struct pack_tools *t, struct str in, struct buf *out)
{
    if (t->zstd == NULL)
        t->zstd = ZSTD_createCCtx();
    size_t room = ZSTD_compressBound(in.size);
    char *packed = t->zstd == NULL ? NULL : malloc(room);
    if (packed == NULL)
        return -ENOMEM;
    size_t size = ZSTD_compressCCtx(t->zstd, packed, room, in.data, in.size, PACK_ZSTD_LEVEL);
    bool good = ZSTD_isError(size) == 0;
    if (good)
        buf_put(out, packed, size);
    free(packed);
    return good ? buf_error(out) : -ENOMEM;
}

int pack_bytes(enum pack kind, struct str in, struct buf *out)
{
    struct pack_tools *t = pack_tools();
    ASSERT(kind != PACK_NONE);
    ASSERT(in.size <= BUF_SIZE_MAX);
    if (t == NULL)
        return -ENOMEM;
    return kind == PACK_GZIP ? pack_gzip(t, in, out) : pack_zstd(t, in, out);
}

const char *pack_name(enum pack kind)
{
    return kind == PACK_GZIP ? "gzip" : kind == PACK_ZSTD ? "zstd" : NULL;
}

/* Of "q=0.5" the thousandths; without one 1000. */
static unsigned pack_quality(struct str parameters)
{
    struct str q = str_trim(parameters);
    if (q.size < 3 || (q.data[0] != 'q' && q.data[0] != 'Q') || q.data[1] != '=')
        return 1000;
    unsigned n = q.data[2] == '1' ? 1000 : 0;
    unsigned worth = 100;
    for (size_t i = 4; n == 0 && i < q.size && i < 7; i++, worth /= 10)
        if (q.data[i] >= '0' && q.data[i] <= '9')
            n += worth * (unsigned)(q.data[i] - '0');
    return n;
}

enum pack pack_choose(struct str accept_encoding)
{
    unsigned gzip = 0, zstd = 0, any = 0;
    bool said_gzip = false;
    struct str rest = accept_encoding;
    while (rest.data != NULL) {
        struct str parameters;
        struct str name = str_trim(str_cut(str_cut(rest, ',', &rest), ';', &parameters));
        unsigned q = pack_quality(parameters);
        if (str_eq_nocase(name, STR("gzip"))) {
            gzip = q;
            said_gzip = true;
        } else if (str_eq_nocase(name, STR("zstd"))) {
            zstd = q;
        } else if (str_eq(name, STR("*"))) {
            any = q;
        }
    }
    if (!said_gzip)
        gzip = any;
    if (zstd > 0 && zstd >= gzip)
        return PACK_ZSTD;
    return gzip > 0 ? PACK_GZIP : PACK_NONE;
}
