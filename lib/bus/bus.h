/* SPDX-License-Identifier: Apache-2.0 */
/* bus: what the processes of an installation tell each other: messages on channels, streams whose
 * messages wait until somebody has dealt with them, counters that expire, values that change only
 * from what was expected, and scripts that run as one step. Behind
 * it is Redis, or this process's own memory where one process is all there is.
 *
 * Life:    bus_open_local or bus_open_redis -> calls -> bus_close.
 *          A call: 0 -> its callback exactly once, on a later turn of the loop; bus_close calls the
 *          rest with -ECANCELED. An error -> no callback.
 *          Callbacks may make calls and unsubscribe, but not close the bus. Calls about one key are
 *          carried out in the order in which they were made, but where a Redis Cluster is moving
 *          the key, or Redis has been told to forget its scripts.
 * Owner:   the loop's thread. Texts of a call are copied; those of an answer are lent for the call.
 * Threads: the loop's. A hub is shared by the buses of any threads and outlives them.
 * Errors:  -EINVAL (a key or channel that is empty or larger than BUS_NAME_MAX, a value larger than
 *          BUS_VALUE_MAX), -ENOBUFS (BUS_CALLS_MAX wait), -ENOMEM, -EOPNOTSUPP (scripts in memory).
 *          Callbacks: -EHOSTDOWN (no connection, or a cluster without that part: not done),
 *          -ETIMEDOUT and -ECONNRESET (broke off: it may or may not have been done), -EBADMSG (not
 *          the protocol), -EPROTO (Redis refused it). Calls made while it closes: -ECANCELED.
 * Units:   milliseconds, bytes.
 * Source:  RESP 2, https://redis.io/docs/latest/develop/reference/protocol-spec/ */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "http/loop.h"

#define BUS_NAME_MAX  1024
#define BUS_VALUE_MAX (1 << 20)
#define BUS_CALLS_MAX 65536 /* that wait for their answers */
#define BUS_ARGS_MAX  32    /* keys and arguments of a script */

#define BUS_STREAM_KEEP_MAX 1000000 /* messages of a stream */
#define BUS_STREAM_READ_MAX 1000    /* in one answer */

struct bus;
struct bus_hub;
struct bus_sub;

/* What a call gave. A list has items; a text may hold any bytes. */
struct bus_answer {
    enum { BUS_NONE, BUS_NUMBER, BUS_TEXT, BUS_LIST } kind;
    int64_t number;
    struct str text;
    const struct bus_answer *items;
    unsigned count;
};
typedef void bus_done(void *arg, int res, const struct bus_answer *answer);

/* --- this process's memory -------------------------------------------------------------------- */

MUST_USE int bus_hub_new(struct bus_hub **ret);
struct bus_hub *bus_hub_free(struct bus_hub *h); /* after its buses */
MUST_USE int bus_open_local(struct bus_hub *hub, struct loop *loop, struct bus **ret);

/* --- Redis ------------------------------------------------------------------------------------ */

struct bus_redis_options {
    const char *url; /* redis://[user@]host[:port][,host[:port]...][/db], or rediss:// for TLS */
    const char *password_file; /* NULL: none */
    const char *ca_file;       /* NULL: the system's */
    const char *cert_file;     /* shown to the server; NULL: none */
    const char *key_file;
    uint32_t connect_ms; /* 0: 2 s */
    uint32_t answer_ms;  /* a call without an answer for that long breaks the connection; 0: 2 s */
};

/* Reads the URL and the files; connects later, and again after each break (backoff from 50 ms to
 * 1 s). Calls made before the first connection wait for it. Of several hosts any will do: one Redis
 * with replicas, or some of a Redis Cluster, whose other nodes are found. There each call goes to
 * the node of its key, or channel, and is sent on with its slot; it waits, answer_ms in all, while
 * the cluster says that it is down for a moment. */
MUST_USE int bus_open_redis(const struct bus_redis_options *options, struct loop *loop,
                            struct err *err, struct bus **ret);

/* Whether bus_open_redis would take these. */
MUST_USE int bus_check_redis(const struct bus_redis_options *options, struct err *err);

/* --- calls ------------------------------------------------------------------------------------ */

struct bus *bus_close(struct bus *b);
struct loop *bus_loop(const struct bus *b);

/* To all that are subscribed now; nobody is no error. answer: none. */
MUST_USE int bus_publish(struct bus *b, struct str channel, struct str text, bus_done *cb,
                         void *arg);

/* on_message for each message; on_gap whenever the subscription begins to hold: at first, and after
 * a break, in which messages may have been missed. Neither comes after bus_unsubscribe. */
MUST_USE int bus_subscribe(struct bus *b, struct str channel,
                           void (*on_message)(void *arg, struct str text),
                           void (*on_gap)(void *arg), void *arg, struct bus_sub **ret);
struct bus_sub *bus_unsubscribe(struct bus_sub *s); /* takes NULL, returns NULL */

/* Adds and answers the new number. The counter ends life_ms after its first step (0: never). A
 * value that is no number: -EPROTO. */
MUST_USE int bus_count(struct bus *b, struct str key, int64_t by, uint64_t life_ms, bus_done *cb,
                       void *arg);

/* A text, or -ENOENT. */
MUST_USE int bus_get(struct bus *b, struct str key, bus_done *cb, void *arg);

/* Sets key to fresh if it holds expected: 0, else -ESTALE with what it holds. STR_NONE stands for
 * no value, on either side. */
MUST_USE int bus_swap(struct bus *b, struct str key, struct str expected, struct str fresh,
                      uint64_t life_ms, bus_done *cb, void *arg);

/* --- streams ---------------------------------------------------------------------------------- */

/* Puts a message at the stream's end; of more than keep (1 to BUS_STREAM_KEEP_MAX) the oldest go,
 * dealt with or not. answer: its id, a text. Ids rise. */
MUST_USE int bus_stream_add(struct bus *b, struct str key, struct str text, uint64_t keep,
                            bus_done *cb, void *arg);

/* Takes up to count messages for a reader of a group. Each goes to one reader of each group, and
 * stays with it until it is acknowledged; one that was not for idle_ms is given to whoever reads
 * next, so a message may be seen twice, and by another, but none is lost with its reader. A group
 * begins with the oldest message that is there at its first reading. answer: a list of lists
 * {id, text}, oldest first; empty: there is none now. Nothing waits for one: who wants to be woken
 * has the writer publish on a channel. */
struct bus_stream_read {
    struct str key;
    struct str group;
    struct str reader;
    unsigned count; /* 1 to BUS_STREAM_READ_MAX */
    uint64_t idle_ms;
};
MUST_USE int bus_stream_read(struct bus *b, const struct bus_stream_read *read, bus_done *cb,
                             void *arg);

/* It is dealt with. answer: 1, or 0 where the group has no such message under way. */
MUST_USE int bus_stream_ack(struct bus *b, struct str key, struct str group, struct str id,
                            bus_done *cb, void *arg);

/* --- scripts ---------------------------------------------------------------------------------- */

/* A Lua script that Redis runs as one step. static_text outlives the bus: scripts are told apart by
 * its address. All keys must be of one hash slot ("{tag}"). */
struct bus_script_call {
    const char *static_text;
    const struct str *keys;
    unsigned keys_count;
    const struct str *args;
    unsigned args_count;
};
MUST_USE int bus_script(struct bus *b, const struct bus_script_call *call, bus_done *cb, void *arg);
