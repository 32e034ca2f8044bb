/* SPDX-License-Identifier: Apache-2.0 */
/* engine: requests with retries on a thread of its own; what the tiers are made of.
 *
 *   job:  engine_submit -> start(), on the thread -> calls -> engine_job_ended
 *   call: engine_call -> READY -> RUNNING -> done
 *                          ^--- LATER <--|  a failure that may pass; jittered backoff
 *
 * Life:    engine_new -> engine_submit* -> engine_free, which ends all calls with -ECANCELED; those
 *          that say so (at_end) within ENGINE_GRACE_MS.
 * Owner:   a tier. Jobs and calls live in structs of their submitter's: a job from engine_submit to
 *          engine_job_ended, a call from engine_call to its done.
 * Threads: engine_submit and engine_free from any (free not from the engine's own); the rest, and
 *          every callback, on the engine's thread.
 * Errors:  a call's res: 0, or what store/tier.h says.
 * Units:   milliseconds, bytes. */
#pragma once
#include <curl/curl.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/rbuf.h"
#include "fetch/fetch_circuit.h"

#define ENGINE_BLOB_MAX    (UINT32_C(64) << 20) /* the largest blob there is */
#define ENGINE_GRACE_MS    5000
#define ENGINE_RETRIES_MAX 10
#define ENGINE_WHY_SIZE    512
#define ENGINE_ETAG_SIZE   160
#define ENGINE_SHA256_SIZE 65 /* in hex */

struct engine;
struct engine_call;

struct engine_options { /* strings are borrowed for as long as the engine lives */
    const char *name;   /* in log lines */
    const char *ca_file;
    uint32_t connect_ms;     /* 0: 2 s */
    uint32_t stall_ms;       /* no byte for that long; 0: 10 s */
    uint32_t backoff_ms;     /* the first; doubled for each; 0: 100 ms */
    uint32_t retry_after_ms; /* a longer wait than this is not granted to a server; 0: 20 s */
    unsigned transfers_max;  /* 0: 16. A quarter of them is kept for reads. */
    unsigned waiting_max;    /* jobs beyond those; 0: 256 */
    /* Credentials, by header or by signature; NULL: none. */
    const char *bearer;
    const char *sigv4; /* "aws:amz:REGION:s3": signed with the SHA-256 of the body */
    const char *user;
    const char *password;
};

struct engine_job {
    struct engine_job *next;
    /* admission: 0; or -EAGAIN, -ECANCELED: then there is nothing to do but to answer. */
    void (*start)(struct engine_job *j, int admission);
    int admission;
};

/* What the answer means, after a whole one came. */
struct engine_verdict {
    int res;
    bool may_retry;
    bool is_outage; /* counts against the upstream's circuit */
    bool is_silent; /* for the circuit: neither for nor against */
};

/* What becomes of a call when the engine is freed. */
enum engine_end {
    ENGINE_END_CUT,
    ENGINE_END_FINISH, /* cut, unless it is running: its answer says what to tidy up */
    ENGINE_END_RUN,    /* is what tidies up */
};

enum engine_call_state {
    ENGINE_CALL_IDLE, /* not under way */
    ENGINE_CALL_READY,
    ENGINE_CALL_LATER,
    ENGINE_CALL_RUNNING,
};

struct engine_call {
    /* Set before engine_call; the rest zeroed. The body is lent until done. */
    const char *method;
    struct buf url;      /* kept over the retries; freed by engine_call_clear */
    const char *type;    /* of the body; NULL: none is sent */
    const char *header;  /* a line more; NULL: none */
    const uint8_t *body; /* with type */
    size_t body_size;
    bool is_write; /* for the share of transfers */
    bool is_head;
    bool wants_blob; /* a 200's body into `blob`, else into `text` */
    enum engine_end at_end;
    bool is_quiet;   /* a failure is not logged: its owner does */
    bool is_forced;  /* whatever the circuit says: a probe by hand */
    uint64_t length; /* what the blob must have; UINT64_MAX: not known */
    size_t text_max; /* of an answer that is not a blob */
    unsigned retries;
    struct fetch_circuit *circuit;
    struct engine_verdict (*judge)(struct engine_call *c);
    void (*done)(struct engine_call *c, int res);

    /* The answer; whole when judge is called. */
    unsigned status; /* 0: none came */
    uint64_t size;   /* Content-Length, or UINT64_MAX */
    struct buf text;
    struct rbuf *blob; /* a reference of the call's */
    char etag[ENGINE_ETAG_SIZE];
    char why[ENGINE_WHY_SIZE]; /* of the last failure, for people */
    unsigned tries;

    /* The engine's. */
    struct engine *engine;
    char sha256[ENGINE_SHA256_SIZE]; /* of the body, for the signature; "" before the first try */
    struct engine_call *next, *prev;
    enum engine_call_state state;
    CURL *easy;
    struct curl_slist *headers;
    uint64_t due_ms;
    uint64_t moved, moved_ms;
    int broken;      /* what our side ended the attempt with */
    int last_result; /* of the attempt before */
    char error_text[CURL_ERROR_SIZE];
};

MUST_USE int engine_new(const struct engine_options *options, struct engine **ret);
struct engine *engine_free(struct engine *e); /* takes NULL, returns NULL */
bool engine_is_own_thread(const struct engine *e);

void engine_submit(struct engine *e, struct engine_job *j);
void engine_job_ended(struct engine *e); /* one that was admitted: its place is free */

void engine_call(struct engine *e, struct engine_call *c);
void engine_call_cancel(struct engine_call *c); /* one under way: done(-ECANCELED), at once */
void engine_call_clear(struct engine_call *c);  /* its memory; all zero afterwards */

/* By status alone: what every HTTP server may answer. */
struct engine_verdict engine_judge_status(struct engine_call *c);

/* A line for the operator, at most one in a second; the others are counted. */
void engine_complain(struct engine *e, const char *format, ...) PRINTF_LIKE(2, 3);
