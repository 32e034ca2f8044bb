/* SPDX-License-Identifier: Apache-2.0 */
/* letters: those that people get, on their way to the mail server: a thread of its own sends one
 * after the other. What a link holds is a secret, so letters wait in memory alone: one that is lost
 * with the process is asked for again by its person.
 *
 * Life:    letters_new -> letters_write* -> letters_stop (what waits is thrown away) -> _free.
 * Owner:   people.c.
 * Threads: letters_write: any; the rest: one.
 * Errors:  letters_write: -EAGAIN too many wait, -ENOMEM.
 * Units:   - */
#pragma once
#include "control/people/people.h"

struct letters;

MUST_USE int letters_new(struct letters **ret);
MUST_USE int letters_write(struct letters *q, struct live *l, enum letter letter,
                           const char *address, const char *ticket);
void letters_stop(struct letters *q);
struct letters *letters_free(struct letters *q);
