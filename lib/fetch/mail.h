/* SPDX-License-Identifier: Apache-2.0 */
/* mail: one plain text message to one address, handed to an SMTP server by libcurl.
 *
 * Life:    mail_check -> mail_send*.
 * Owner:   the caller's memory.
 * Threads: any; mail_send blocks on the network: for a pool's thread, never on a loop.
 * Errors:  mail_send: 0 the server has taken it over; -EINVAL an address or a subject that cannot
 *          stand in a header, -EPROTO refused for good (5xx), -EAGAIN refused for now (4xx),
 *          -EACCES the server does not take our log-in, -EBADMSG TLS refused or not offered,
 *          -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET; with a sentence that names no secret.
 * Units:   bytes.
 * Source:  RFC 5321 (SMTP), RFC 5322 and RFC 2045 to 2047 (messages), RFC 3207 (STARTTLS). */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define MAIL_SUBJECT_MAX 200
#define MAIL_TEXT_MAX    ((size_t)64 << 10)

struct mail_options {
    const char *url;      /* smtp://HOST[:PORT] or smtps://HOST[:PORT] */
    const char *from;     /* the sender's address: name@example.org */
    const char *user;     /* NULL: no log-in */
    const char *password; /* with user */
    const char *ca_file;  /* trusted roots; NULL: the system's */
    bool in_clear;        /* smtp:// without STARTTLS; else what does not offer it gets no mail */
};

/* Whether the URL and the sender are of their form. */
MUST_USE int mail_check(const struct mail_options *options, struct err *err);

/* subject and text are UTF-8; lines of text end with a line feed. */
MUST_USE int mail_send(const struct mail_options *options, const char *to, const char *subject,
                       struct str text, struct err *err);
