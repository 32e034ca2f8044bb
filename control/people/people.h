/* SPDX-License-Identifier: Apache-2.0 */
/* people: what the running service has for accounts: the ring of keys, who is known, the threads
 * that wait for those outside, and the bus on which the end of a log-in is told.
 *
 * Life:    people_new -> people_attach (the first worker) -> requests -> people_stop (no thread
 *          waits any more) -> people_detach -> people_free.
 * Owner:   the control service.
 * Threads: attach and detach: their worker's; the rest: any.
 * Errors:  0 or -errno and a sentence.
 * Units:   milliseconds since 1970. */
#pragma once
#include "bus/bus.h"
#include "control/people/keyring.h"
#include "control/people/known.h"

struct live;
struct people;

MUST_USE int people_new(struct db *db, const char *key_file, struct err *err, struct people **ret);
struct people *people_free(struct people *p);

MUST_USE int people_attach(struct people *p, struct loop *loop, struct bus *bus);
void people_detach(struct people *p, const struct loop *loop);

struct keyring *people_keys(struct people *p);
struct known *people_known(struct people *p);

/* A log-in, a key or a user whose rights have changed: forgotten here at once, and elsewhere as
 * soon as the bus has told it. */
void people_forget(struct people *p, const char *id);

/* Keys that another control has published: at most once a second, whoever asks. */
MUST_USE int people_reload_keys(struct people *p, int64_t now_ms);

/* What has to be done now and then: keys, and what is over. */
void people_sweep(struct people *p, int64_t now_ms);

/* Runs work(arg) on a thread that may wait for those outside; -EAGAIN: too many wait, or the
 * service stops. */
MUST_USE int people_run(struct people *p, void (*work)(void *arg), void *arg);
void people_stop(struct people *p);

/* LETTER_NONE: to nobody. All is done but sending it, so that neither the time nor a full queue
 * tells who has an account. */
enum letter { LETTER_NONE, LETTER_CONFIRM, LETTER_TAKEN, LETTER_RESET };

/* Sends a letter some time soon, and tries again where the server cannot now; l: whose mail server
 * it is (a reference is taken). ticket: what the link has; NULL: there is none. */
MUST_USE int people_write(struct people *p, struct live *l, enum letter letter, const char *address,
                          const char *ticket);
