/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_priv: what fetch.c (the loop's side) and fetch_op.c (one request) share. */
#pragma once
#include <curl/curl.h>
#include "fetch/fetch.h"
#include "fetch/fetch_breaker.h"

#define FETCH_CONNECT_MS_DEFAULT  2000
#define FETCH_STALL_MS_DEFAULT    10000
#define FETCH_BREAKER_DEFAULT     8
#define FETCH_BREAKER_MS_DEFAULT  1000
#define FETCH_CONNECTIONS_DEFAULT 64
#define FETCH_BACKOFF_MS          50 /* before the first retry; doubles */
#define FETCH_BACKOFF_MS_MAX      2000
#define FETCH_BUFFER_SIZE         (256 * 1024L)
#define FETCH_SPARE_MAX           32 /* idle easy handles kept */

struct fetch {
    uint32_t magic;
#define FETCH_MAGIC UINT32_C(0xfe7cfe7c)
    struct loop *loop;
    struct fetch_options options; /* defaults filled in; ca_file is our copy */
    char *ca_file;
    CURLM *multi;
    int epoll_fd; /* all of libcurl's sockets: one watch for the loop */
    struct loop_watch *watch;
    struct loop_timer timer; /* libcurl's */
    struct fetch_breaker *breaker;
    struct fetch_op *ops; /* all under way */
    unsigned depth;       /* > 0: inside libcurl; its handles may not be removed now */
    CURL *spare[FETCH_SPARE_MAX];
    unsigned spare_count;
};

struct fetch_op {
    uint32_t magic;
#define FETCH_OP_MAGIC UINT32_C(0xfe7c0b0b)
    struct fetch *fetch;
    struct fetch_op *next, **link; /* in fetch->ops */
    struct fetch_request request;  /* callbacks and arg; its texts are not used after the start */
    struct rbuf *body;
    struct str host; /* scheme://authority, the breaker's key; points into url */
    char *url;
    CURL *easy;
    struct curl_slist *headers;
    bool added;      /* the easy handle is with the multi handle */
    bool cancelled;  /* no callback any more; goes when libcurl lets go */
    bool head_given; /* on_head was called: no retry */
    bool idempotent;
    unsigned tries;
    int error;              /* why our own callback ended the transfer; 0: it did not */
    struct loop_timer wait; /* back-off, or the breaker's answer */
    struct loop_timer stall;
    uint64_t active_ms; /* when a byte last moved */
    curl_off_t sent;
    unsigned status;
    uint64_t size;
    char type[128];
};

/* fetch_op.c */
MUST_USE int fetch_op_new(struct fetch *f, const struct fetch_request *request,
                          struct fetch_op **ret);
void fetch_op_free(struct fetch_op *op); /* not with the multi handle any more */
int fetch_op_result(const struct fetch_op *op, CURLcode code);
void fetch_op_restart(struct fetch_op *op); /* forgets the head of the try before */
