/* SPDX-License-Identifier: Apache-2.0 */
/* http_intake: a request's body on its way to a handler that takes it piece by piece: http.h tells
 * what the handler sees.
 *
 * Life:    made by http_intake_h1.c or http_intake_h2.c when the head of such a request is here ->
 *          its request takes it (http__intake_join) -> http_req_receive -> data... -> end -> the
 *          request goes -> freed; over HTTP/2, where the client sends on, with the connection.
 *          A body that the library has read by itself (small ones, in unusual requests) gets one in
 *          the request's pool.
 * Owner:   the connection; the request's pool.
 * Threads: the worker's.
 * Errors:  as http_req_receive tells them.
 * Units:   bytes, milliseconds. */
#pragma once
#include "http/http_chunk.h"
#include "http/http_priv.h"

#define HTTP_INTAKE_KEPT   (256u << 10) /* a buffer that has grown beyond this is given back */
#define HTTP_INTAKE_WINDOW (1 << 20)    /* what may be on its way and not yet taken */
#define HTTP_INTAKE_LEAST  4096u        /* that has to come within idle_ms */
#define HTTP_INTAKE_GONE   16           /* streams of a connection whose rest is thrown away */
#define HTTP_LINGER_MS     2000         /* for what a client still sends behind an early answer */
#define HTTP_LINGER_MAX    (UINT64_C(32) << 20)
#define HTTP_LINGERS_MAX   64 /* of a worker */

enum http_intake_kind {
    HTTP_INTAKE_SIZED,   /* HTTP/1 with a Content-Length */
    HTTP_INTAKE_CHUNKED, /* HTTP/1 in chunks */
    HTTP_INTAKE_FRAMES,  /* HTTP/2 */
    HTTP_INTAKE_WHOLE,   /* all here already */
};

struct http_intake {
    uint32_t magic;
#define HTTP_INTAKE_MAGIC UINT32_C(0x1a7a4e5d)
    enum http_intake_kind kind;
    struct http_worker *worker;
    struct http_conn *conn; /* NULL: WHOLE */
    struct http_intake *next;
    struct http_req *req; /* NULL: not yet, or gone */
    const struct http_intake_ops *ops;
    void *arg;
    uint64_t size;     /* as announced; HTTP_SIZE_UNKNOWN */
    uint64_t size_max; /* of its route */
    uint64_t taken;    /* by the handler */
    uint64_t came;     /* SIZED, FRAMES: of the body, until now */
    struct http_chunk chunk;
    h2o_buffer_t *input; /* what is here and not yet taken. HTTP/1: the socket's, once it is read */
    h2o_buffer_t *head;  /* HTTP/1: into which the library's request points */
    size_t offset;       /* WHOLE: taken */
    int broken;          /* how it ended before its time; 0: not */
    bool is_continuing;  /* HTTP/1: a 100 (Continue) is being written */
    bool is_swapped;     /* HTTP/1: input is the socket's */
    bool is_reading;
    bool is_ended;  /* FRAMES: END_STREAM has come */
    bool is_wanted; /* the handler takes more */
    bool is_over;   /* it was told of the end */
    bool is_gone;   /* its request is */
    uint32_t stream_id;
    uint32_t window; /* FRAMES: what the client may still send */
    bool is_reset;   /* told to stop */
    uint64_t seen;   /* came, when the stall timer was set */
    struct loop_timer turn_timer, stall_timer;
};

/* http_intake.c */
struct http_intake *http__intake_new(struct http_conn *c, enum http_intake_kind kind, uint64_t size,
                                     uint64_t size_max); /* NULL: no memory */
void http__intake_free(struct http_intake *x); /* also takes it from its connection's list */
void http__intake_turn(struct http_intake *x); /* something has come */
void http__intake_break(struct http_intake *x, int res);
bool http__intake_is_whole(const struct http_intake *x);

/* http_intake_h1.c */
void http__intake_read(struct http_intake *x, bool on); /* the socket */

/* http_intake_h2.c */
void http__intake_credit(struct http_intake *x); /* the handler has taken some */
void http__intake_reset(struct http_intake *x);  /* the rest is not wanted; safe from anywhere */

/* http_linger.c */
void http__linger(struct http_worker *w, int fd); /* copies fd */
