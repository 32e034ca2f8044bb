/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/s3.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/enc.h"
#include "base/file.h"
#include "fetch/s3_xml.h"

#define S3_CREDENTIAL_MAX 256
#define S3_PREFIX_MAX     256

/* --- options ---------------------------------------------------------------------------------- */

static bool s3_has_only(struct str s, const char *others)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return true;
}

static bool s3_bucket_is_good(struct str b, bool in_host)
{
    return b.size >= 3 && b.size <= 63 && s3_has_only(b, in_host ? "-." : "-._") &&
           b.data[0] != '.' && b.data[0] != '-' && memmem(b.data, b.size, "..", 2) == NULL;
}

/* Only what needs no coding in a path, and nothing that an HTTP library takes for a step up. */
static bool s3_prefix_is_good(struct str p)
{
    if (p.size == 0)
        return true;
    return p.size <= S3_PREFIX_MAX && s3_has_only(p, "-._~/") && !str_starts(p, STR("/")) &&
           !str_starts(p, STR(".")) && memmem(p.data, p.size, "//", 2) == NULL &&
           memmem(p.data, p.size, "/.", 2) == NULL;
}

static char *s3_url_part(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    return curl_url_get(u, part, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool s3_url_has(CURLU *u, CURLUPart part)
{
    char *text = s3_url_part(u, part);
    bool has = text != NULL && !str_eq(str_of(text), STR("/"));
    curl_free(text);
    return has;
}

static int s3_base(const struct s3_options *o, CURLU *u, struct buf *out)
{
    if (curl_url_set(u, CURLUPART_URL, o->endpoint, 0) != CURLUE_OK ||
        s3_url_has(u, CURLUPART_USER) || s3_url_has(u, CURLUPART_PASSWORD) ||
        s3_url_has(u, CURLUPART_QUERY) || s3_url_has(u, CURLUPART_FRAGMENT) ||
        s3_url_has(u, CURLUPART_PATH))
        return -EINVAL;
    char *scheme = s3_url_part(u, CURLUPART_SCHEME);
    char *host = s3_url_part(u, CURLUPART_HOST);
    char *port = s3_url_part(u, CURLUPART_PORT);
    struct str kind = str_of(scheme);
    int r = host != NULL && (str_eq(kind, STR("http")) || str_eq(kind, STR("https"))) ? 0 : -EINVAL;
    if (r == 0) {
        buf_printf(out, "%s://", scheme);
        if (o->virtual_host)
            buf_printf(out, "%s.", o->bucket);
        buf_puts(out, host);
        if (port != NULL)
            buf_printf(out, ":%s", port);
        buf_putc(out, '/');
        if (!o->virtual_host)
            buf_printf(out, "%s/", o->bucket);
        r = buf_error(out);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return r;
}

static int s3_read_credential(const char *what, const char *path, const char *refused, char **ret,
                              struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    if (path == NULL)
        return err_set(err, -EINVAL, "S3 needs a file with the %s", what);
    int r = file_read_secret(path, &text);
    if (r < 0)
        return err_errno(err, r, "reading the %s in %s", what, path);
    bool is_good = text.size <= S3_CREDENTIAL_MAX;
    for (size_t i = 0; i < text.size; i++)
        is_good = is_good && text.data[i] > 0x20 && text.data[i] < 0x7f &&
                  strchr(refused, text.data[i]) == NULL;
    if (is_good)
        *ret = str_dup(buf_str(&text));
    explicit_bzero(text.data, text.size);
    if (!is_good)
        return err_set(err, -EINVAL, "%s does not hold an S3 %s", path, what);
    return *ret == NULL ? err_errno(err, -ENOMEM, "reading %s", path) : 0;
}

static int s3_copy(const char *from, char **to, struct err *err)
{
    *to = str_dup(str_of(from != NULL ? from : ""));
    return *to == NULL ? err_errno(err, -ENOMEM, "opening the S3 tier") : 0;
}

static int s3_check_options(const struct s3_options *o, struct err *err)
{
    struct str region = str_of(o->region);
    if (o->endpoint == NULL || o->bucket == NULL)
        return err_set(err, -EINVAL, "S3 needs an endpoint and a bucket");
    if (!s3_bucket_is_good(str_of(o->bucket), o->virtual_host))
        return err_set(err, -EINVAL, "%s is not a bucket's name", o->bucket);
    if (region.size > 63 || !s3_has_only(region, "-_"))
        return err_set(err, -EINVAL, "%s is not a region's name", o->region);
    if (!s3_prefix_is_good(str_of(o->prefix)))
        return err_set(err, -EINVAL, "%s: a prefix has letters, digits, and - . _ ~ / between them",
                       o->prefix);
    if (o->multipart_size != 0 &&
        (o->multipart_size < S3_MULTIPART_MIN || o->multipart_size > ENGINE_BLOB_MAX))
        return err_set(err, -EINVAL, "parts of an upload have 5 MiB to 64 MiB");
    if (o->transfers_max > 256)
        return err_set(err, -EINVAL, "at most 256 transfers at a time");
    return 0;
}

static int s3_init(struct s3 *s, const struct s3_options *o, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CURLU *u = curl_url();
    int r = u != NULL ? s3_base(o, u, &text) : -ENOMEM;
    curl_url_cleanup(u);
    if (r == -EINVAL)
        return err_set(err, r, "%s: an S3 endpoint is http(s)://HOST[:PORT]", o->endpoint);
    if (r < 0 || (s->base = buf_take(&text)) == NULL)
        return err_errno(err, -ENOMEM, "opening the S3 tier");
    const char *region = o->region != NULL && o->region[0] != '\0' ? o->region : "us-east-1";
    buf_printf(&text, "aws:amz:%s:s3", region);
    if ((s->sigv4 = buf_take(&text)) == NULL)
        return err_errno(err, -ENOMEM, "opening the S3 tier");
    r = s3_copy(o->bucket, &s->bucket, err);
    if (r == 0)
        r = s3_copy(o->prefix, &s->prefix, err);
    if (r == 0 && o->ca_file != NULL)
        r = s3_copy(o->ca_file, &s->ca_file, err);
    if (r == 0) /* a slash or a comma would break the signature's header */
        r = s3_read_credential("access key", o->access_key_file, "/,", &s->user, err);
    if (r == 0)
        r = s3_read_credential("secret key", o->secret_key_file, "", &s->password, err);
    return r;
}

int s3_new(const struct s3_options *o, struct err *err, struct s3 **ret)
{
    int r = s3_check_options(o, err);
    if (r < 0)
        return r;
    struct s3 *s = calloc(1, sizeof *s);
    if (s == NULL)
        return err_errno(err, -ENOMEM, "opening the S3 tier");
    s->magic = S3_MAGIC;
    s->multipart_size = o->multipart_size != 0 ? o->multipart_size : UINT32_C(16) << 20;
    s->retries = o->retries > 0 ? (unsigned)o->retries : o->retries == 0 ? 4u : 0u;
    r = s3_init(s, o, err);
    if (r < 0) {
        (void)s3_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct s3 *s3_free(struct s3 *s)
{
    if (s == NULL)
        return NULL;
    ASSERT(s->magic == S3_MAGIC);
    if (s->password != NULL)
        explicit_bzero(s->password, strlen(s->password));
    free(s->base);
    free(s->bucket);
    free(s->prefix);
    free(s->sigv4);
    free(s->ca_file);
    free(s->user);
    free(s->password);
    MAGIC_CLEAR(s);
    free(s);
    return NULL;
}

/* --- addresses -------------------------------------------------------------------------------- */

void s3_put_object(const struct s3 *s, const struct digest *d, struct buf *url)
{
    char name[DIGEST_TEXT_SIZE];
    digest_format(d, name);
    buf_printf(url, "%s%s%s", s->base, s->prefix, name);
}

void s3_put_list(const struct s3 *s, const char *token, unsigned keys_max, struct buf *url)
{
    buf_puts(url, s->base);
    buf_putc(url, '?');
    if (token[0] != '\0') {
        buf_puts(url, "continuation-token=");
        enc_percent(str_of(token), url);
        buf_putc(url, '&');
    }
    /* With a delimiter the service leaves out what others keep in folders below ours. */
    buf_printf(url, "delimiter=%%2F&list-type=2&max-keys=%u&prefix=", keys_max);
    enc_percent(str_of(s->prefix), url);
}

int s3_key_parse(const struct s3 *s, struct str key, struct digest *ret)
{
    struct str prefix = str_of(s->prefix);
    if (!str_starts(key, prefix))
        return -EINVAL;
    return digest_parse(str_skip(key, prefix.size), ret);
}

/* --- answers ---------------------------------------------------------------------------------- */

#define S3_LATER                                                                                   \
    {                                                                                              \
        .res = -EHOSTDOWN, .may_retry = true, .is_silent = true                                    \
    }

static const struct s3_meaning {
    const char *code;
    struct engine_verdict verdict;
    const char *hint; /* NULL: the service's own words say enough */
} s3_meanings[] = {
    {"NoSuchKey", {.res = -ENOENT}, NULL},
    /* Not -ENOENT: the blob may well exist, in the bucket that was meant. */
    {"NoSuchBucket", {.res = -EACCES}, "the bucket must be made first"},
    {"NoSuchUpload", {.res = -EBADMSG}, NULL},
    {"RequestTimeTooSkewed",
     {.res = -EACCES},
     "the clocks of this host and of the service differ too much: set this host's clock"},
    {"AuthorizationHeaderMalformed", {.res = -EACCES}, "is it the bucket's region?"},
    {"ExpiredToken", {.res = -EACCES}, NULL},
    {"InvalidToken", {.res = -EACCES}, NULL},
    {"QuotaExceeded", {.res = -ENOSPC}, NULL},
    {"XMinioStorageFull", {.res = -ENOSPC}, NULL},
    {"SlowDown", S3_LATER, NULL},
    {"SlowDownRead", S3_LATER, NULL},
    {"SlowDownWrite", S3_LATER, NULL},
    {"Throttling", S3_LATER, NULL},
    {"TooManyRequests", S3_LATER, NULL},
    {"RequestLimitExceeded", S3_LATER, NULL},
    {"OperationAborted", S3_LATER, NULL},
    {"RequestTimeout", {.res = -ETIMEDOUT, .may_retry = true, .is_silent = true}, NULL},
    /* What we sent was changed on its way. */
    {"BadDigest", {.res = -EBADMSG, .may_retry = true}, NULL},
    {"IncompleteBody", {.res = -EBADMSG, .may_retry = true}, NULL},
    {"XAmzContentSHA256Mismatch", {.res = -EBADMSG, .may_retry = true}, NULL},
    {"InternalError", {.res = -EHOSTDOWN, .may_retry = true, .is_outage = true}, NULL},
    {"ServiceUnavailable", {.res = -EHOSTDOWN, .may_retry = true, .is_outage = true}, NULL},
};

static struct engine_verdict s3_verdict_of(struct engine_call *c, const struct s3_xml_error *e)
{
    struct engine_verdict v = engine_judge_status(c);
    const char *hint = NULL;
    if (v.res == 0)
        v.res = -EBADMSG; /* an error with a status that is none, and a code that we do not know */
    for (size_t i = 0; i < ARRAY_LEN(s3_meanings); i++) {
        if (strcmp(s3_meanings[i].code, e->code) == 0) {
            v = s3_meanings[i].verdict;
            hint = s3_meanings[i].hint;
        }
    }
    char region[sizeof e->region + 32] = "";
    if (e->region[0] != '\0')
        (void)snprintf(region, sizeof region, "; the bucket's region is %s", e->region);
    /* One that does not fit is cut. */
    if (hint != NULL)
        (void)snprintf(c->why, sizeof c->why, "%u %s: %.180s (%s%s)", c->status, e->code,
                       e->message, hint, region);
    else
        (void)snprintf(c->why, sizeof c->why, "%u %s: %s%s", c->status, e->code, e->message,
                       region);
    return v;
}

struct engine_verdict s3_judge(struct engine_call *c)
{
    struct s3_xml_error e;
    if (c->status >= 200 && c->status < 300)
        return engine_judge_status(c);
    if (c->is_head || s3_xml_error(buf_str(&c->text), &e) < 0)
        return engine_judge_status(c);
    return s3_verdict_of(c, &e);
}

struct engine_verdict s3_judge_present(struct engine_call *c)
{
    struct engine_verdict v = s3_judge(c);
    if (v.res == -ENOENT)
        v.res = -EBADMSG; /* there is no such service here */
    return v;
}

struct engine_verdict s3_judge_stored(struct engine_call *c)
{
    struct engine_verdict v = s3_judge_present(c);
    if (v.res < 0 || c->etag[0] != '\0')
        return v;
    (void)snprintf(c->why, sizeof c->why, "the answer has no ETag: it is no S3 service");
    return (struct engine_verdict){.res = -EBADMSG};
}

struct engine_verdict s3_judge_complete(struct engine_call *c)
{
    struct s3_xml_error e;
    if (c->status < 200 || c->status >= 300)
        return s3_judge_present(c);
    int r = s3_xml_complete(buf_str(&c->text), &e);
    if (r == 0)
        return (struct engine_verdict){.res = 0};
    if (r > 0)
        return s3_verdict_of(c, &e);
    (void)snprintf(c->why, sizeof c->why, "the answer to the end of an upload is none");
    return (struct engine_verdict){.res = -EBADMSG};
}

bool s3_error_is(const struct engine_call *c, const char *code)
{
    struct s3_xml_error e;
    return s3_xml_error(buf_str(&c->text), &e) == 0 && strcmp(e.code, code) == 0;
}
