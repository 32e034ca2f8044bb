/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt's settings, and what the library tells of it. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include "base/enc.h"
#include "fetch/engine_priv.h"
#include "fetch/fetch_priv.h"

/* A large body waits so long for the server's word that it is wanted: what a busy server refuses
 * with a status after the body has begun is a broken connection instead. */
#define ENGINE_EXPECT_MS 5000L

/* --- what comes in ---------------------------------------------------------------------------- */

void engine__call_look(struct engine_call *c)
{
    long status = 0;
    curl_off_t size = -1;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(c->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    c->status = (unsigned)status;
    c->size = size < 0 ? UINT64_MAX : (uint64_t)size;
}

/* The head has come: is this the blob, and is there room for it? */
static int engine_blob_begin(struct engine_call *c)
{
    if (c->size != UINT64_MAX && c->length != UINT64_MAX && c->size != c->length) {
        (void)snprintf(c->why, sizeof c->why, "the answer has %llu bytes, the blob %llu",
                       (unsigned long long)c->size, (unsigned long long)c->length);
        return -EBADMSG;
    }
    uint64_t size = c->size != UINT64_MAX ? c->size : c->length;
    if (size > ENGINE_BLOB_MAX) {
        (void)snprintf(c->why, sizeof c->why,
                       size == UINT64_MAX ? "the answer does not tell its length"
                                          : "the answer is larger than any blob");
        return -EBADMSG;
    }
    return rbuf_new(MAX((uint32_t)size, 1u), &c->blob);
}

static int engine_call_take(struct engine_call *c, const char *data, size_t n)
{
    engine__call_look(c);
    if (!c->wants_blob || c->status != 200) {
        if (n > c->text_max - MIN(c->text.size, c->text_max)) {
            (void)snprintf(c->why, sizeof c->why, "the answer is larger than %zu bytes",
                           c->text_max);
            return -EBADMSG;
        }
        buf_put(&c->text, data, n);
        return buf_error(&c->text);
    }
    int r = c->blob == NULL ? engine_blob_begin(c) : 0;
    if (r == 0)
        r = n > UINT32_MAX ? -ENOBUFS : rbuf_append(c->blob, data, (uint32_t)n);
    if (r != -ENOBUFS)
        return r;
    (void)snprintf(c->why, sizeof c->why, "more bytes came than the blob has");
    return -EBADMSG;
}

static size_t engine_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct engine_call *c = arg;
    size_t n = size * count;
    if (n == 0)
        return 0;
    int r = engine_call_take(c, data, n);
    if (r == 0)
        return n;
    c->broken = r;
    return CURL_WRITEFUNC_ERROR;
}

/* A whole answer: the blob must be there, and as long as was said. */
int engine__call_end_blob(struct engine_call *c)
{
    if (!c->wants_blob || c->status != 200)
        return 0;
    int r = c->blob == NULL ? engine_blob_begin(c) : 0; /* one of no bytes */
    if (r < 0)
        return r;
    uint64_t size = rbuf_size(c->blob);
    if (size == (c->size != UINT64_MAX ? c->size : c->length))
        return 0;
    (void)snprintf(c->why, sizeof c->why, "only %llu bytes came", (unsigned long long)size);
    return -EBADMSG;
}

void engine__call_look_etag(struct engine_call *c)
{
    struct curl_header *header;
    c->etag[0] = '\0';
    if (curl_easy_header(c->easy, "ETag", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
        str_copy(str_of(header->value), c->etag, sizeof c->etag) < 0)
        c->etag[0] = '\0'; /* too long for one: as if absent */
}

/* --- what goes out ---------------------------------------------------------------------------- */

static int engine_add_line(struct engine_call *c, const char *line)
{
    struct curl_slist *more = curl_slist_append(c->headers, line);
    if (more == NULL)
        return -ENOMEM;
    c->headers = more;
    return 0;
}

static int engine_add_header(struct engine_call *c, const char *name, const char *value)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_printf(&line, "%s: %s", name, value);
    int r = buf_error(&line);
    if (r < 0)
        return r;
    r = engine_add_line(c, line.data);
    explicit_bzero(line.data, line.size); /* it may be a credential */
    return r;
}

static int engine_sha256(const uint8_t *data, size_t size, char out[ENGINE_SHA256_SIZE])
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_size = 0;
    const void *from = data != NULL ? (const void *)data : "";
    if (EVP_Digest(from, size, hash, &hash_size, EVP_sha256(), NULL) != 1 ||
        hash_size * 2 + 1 != ENGINE_SHA256_SIZE)
        return -ENOMEM;
    enc_hex(hash, hash_size, out);
    return 0;
}

static int engine_call_headers(struct engine_call *c)
{
    const struct engine_options *o = &c->engine->options;
    int r = 0;
    if (o->bearer != NULL) {
        CLEAN_BUF struct buf value = BUF_EMPTY;
        buf_printf(&value, "Bearer %s", o->bearer);
        r = buf_error(&value);
        if (r == 0)
            r = engine_add_header(c, "Authorization", value.data);
        if (value.data != NULL)
            explicit_bzero(value.data, value.size);
    }
    if (r == 0 && c->header != NULL)
        r = engine_add_line(c, c->header);
    if (r == 0 && c->type != NULL)
        r = engine_add_header(c, "Content-Type", c->type);
    if (r == 0 && o->sigv4 != NULL && c->sha256[0] == '\0')
        r = engine_sha256(c->body, c->body_size, c->sha256);
    if (r == 0 && o->sigv4 != NULL) /* the library signs what stands here */
        r = engine_add_header(c, "x-amz-content-sha256", c->sha256);
    return r;
}

static bool engine_call_set_method(struct engine_call *c)
{
    CURL *e = c->easy;
    if (c->is_head)
        return curl_easy_setopt(e, CURLOPT_NOBODY, 1L) == CURLE_OK;
    const void *body = c->body != NULL ? (const void *)c->body : "";
    if (c->type != NULL && /* lent, not copied */
        (curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_size) != CURLE_OK ||
         curl_easy_setopt(e, CURLOPT_POSTFIELDS, body) != CURLE_OK))
        return false;
    return curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, c->method) == CURLE_OK;
}

static bool engine_call_set_options(struct engine_call *c)
{
    CURL *e = c->easy;
    const struct engine_options *o = &c->engine->options;
    return fetch__easy_base(e, c->url.data, o->ca_file, o->connect_ms) &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, c) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error_text) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, ENGINE_EXPECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, engine_on_data) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, c) == CURLE_OK &&
           (o->sigv4 == NULL || (curl_easy_setopt(e, CURLOPT_AWS_SIGV4, o->sigv4) == CURLE_OK &&
                                 curl_easy_setopt(e, CURLOPT_USERNAME, o->user) == CURLE_OK &&
                                 curl_easy_setopt(e, CURLOPT_PASSWORD, o->password) == CURLE_OK)) &&
           engine_call_set_method(c);
}

int engine__call_set(struct engine_call *c)
{
    int r = buf_error(&c->url);
    if (r == 0)
        r = engine_call_headers(c);
    return r == 0 && !engine_call_set_options(c) ? -EIO : r;
}
