/* SPDX-License-Identifier: Apache-2.0 */
/* web: the page's files, read once into memory, and answered from there.
 *
 * Life:    web_load -> web_reply* -> web_free.
 * Owner:   whoever loaded it; answers under way hold references to the bytes they send.
 * Threads: read-only once loaded; a reply on the request's loop.
 * Errors:  -ENOENT no index.html in the folder, -EFBIG more than it may hold, and a sentence.
 * Units:   bytes.
 * Source:  W3C Content Security Policy Level 3, RFC 8246 (immutable). */
#pragma once
#include "base/err.h"
#include "http/http.h"

#define WEB_FILE_SIZE_MAX ((size_t)16 << 20)
#define WEB_FILES_MAX     256

struct web;

/* folder: index.html and files beside it or one folder below. Those below assets/ bear a hash of
 * their content in their name, so they are cached for ever. edge_origin: scheme and authority.
 * https_only: tell browsers to come by https alone (HSTS, which holds for every port of a name, so
 * it is not for a name that others share). */
MUST_USE int web_load(const char *folder, const char *edge_origin, bool https_only, struct err *err,
                      struct web **ret);
struct web *web_free(struct web *w);

/* Answers GET of any path: the file, or 404. */
void web_reply(const struct web *w, struct http_req *req);

/* The security headers that every answer carries. */
void web_headers(const struct web *w, struct http_req *req);
bool web_https_only(const struct web *w);
