/* SPDX-License-Identifier: Apache-2.0 */
/* s3: one bucket of an S3 service: where its objects are, how its answers are meant.
 *
 * Life:    s3_new, which reads the credentials -> used by the tier -> s3_free.
 * Owner:   the S3 tier.
 * Threads: not changed once made: any.
 * Errors:  -EINVAL and a sentence for options that cannot be right; those of reading files.
 * Units:   milliseconds, bytes.
 * Source:  Amazon S3 API reference 2006-03-01; libcurl signs (CURLOPT_AWS_SIGV4). */
#pragma once
#include "base/digest.h"
#include "base/err.h"
#include "fetch/engine.h"

#define S3_TEXT_MAX      ((size_t)64 << 10)  /* of an answer that is no list */
#define S3_LIST_TEXT_MAX ((size_t)8 << 20)   /* 1000 keys of 1 KiB, escaped */
#define S3_MULTIPART_MIN (UINT32_C(5) << 20) /* smaller parts are refused by the service */

struct s3_options {
    const char *endpoint;        /* "https://s3.eu-central-1.amazonaws.com": no path */
    const char *bucket;          /* it must exist */
    const char *region;          /* NULL: "us-east-1" */
    bool virtual_host;           /* the bucket is in the host's name, not in the path */
    const char *prefix;          /* of every key, as "weir/"; NULL: none */
    const char *access_key_file; /* first line of each */
    const char *secret_key_file;
    const char *ca_file;       /* trusted roots; NULL: the system's */
    uint32_t connect_ms;       /* 0: 2 s */
    uint32_t stall_ms;         /* no byte for that long; 0: 10 s */
    int retries;               /* of what may pass; 0: 4; < 0: none */
    uint32_t backoff_ms;       /* before the first of them, then doubled; 0: 100 ms */
    uint32_t retry_after_ms;   /* the longest wait that a server may ask for; 0: 20 s */
    uint32_t multipart_size;   /* blobs larger than that go up in parts of it; 0: 16 MiB */
    unsigned breaker_failures; /* so many in a row, and no more tries; 0: 8 */
    uint32_t breaker_ms;       /* for so long; 0: 1 s */
    unsigned transfers_max;    /* at a time; 0: 16; at most 256 */
    unsigned waiting_max;      /* requests beyond those, then -EAGAIN; 0: 256 */
};

struct s3 {
    uint32_t magic;
#define S3_MAGIC UINT32_C(0x53b0c4e7)
    char *base; /* "https://host:port/bucket/" or "https://bucket.host:port/" */
    char *bucket, *prefix, *sigv4, *ca_file;
    char *user, *password;
    uint32_t multipart_size;
    unsigned retries;
};

MUST_USE int s3_new(const struct s3_options *options, struct err *err, struct s3 **ret);
struct s3 *s3_free(struct s3 *s);

/* A URL's query must stand as it is signed: keys in order, values percent-coded. */
void s3_put_object(const struct s3 *s, const struct digest *d, struct buf *url);
void s3_put_list(const struct s3 *s, const char *token, unsigned keys_max, struct buf *url);

/* Is the key a blob's, below our prefix? */
MUST_USE int s3_key_parse(const struct s3 *s, struct str key, struct digest *ret); /* -EINVAL */

/* Judges of an answer, by its status and the error code in its body. */
struct engine_verdict s3_judge(struct engine_call *c);
struct engine_verdict s3_judge_present(struct engine_call *c);  /* nothing may be absent here */
struct engine_verdict s3_judge_stored(struct engine_call *c);   /* and there is an ETag */
struct engine_verdict s3_judge_complete(struct engine_call *c); /* and a 200 may be an error */
bool s3_error_is(const struct engine_call *c, const char *code);
