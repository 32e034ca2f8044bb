/* SPDX-License-Identifier: Apache-2.0 */
/* http_auth: a request that needs a credential, as bearer token.
 *
 * Life:    a call.
 * Owner:   the caller's secret.
 * Threads: the request's loop.
 * Errors:  false after answering 401 CREDENTIAL_MISSING or CREDENTIAL_WRONG itself.
 * Units:   none.
 * Source:  RFC 6750 section 2.1. */
#pragma once
#include "base/secret.h"
#include "http/http.h"

/* what: "publish", for the message. */
bool http_authorize(struct http_req *req, const struct secret *s, const char *what);
