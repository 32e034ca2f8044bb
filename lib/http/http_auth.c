/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_auth.h"

bool http_authorize(struct http_req *req, const struct secret *s, const char *what)
{
    struct str guess = http_req_bearer(req);
    if (secret_matches(s, guess))
        return true;
    http_res_header(req, "www-authenticate", "Bearer");
    if (guess.size == 0)
        http_reply_error(req, 401, "CREDENTIAL_MISSING", "this needs the %s credential", what);
    else
        http_reply_error(req, 401, "CREDENTIAL_WRONG", "this is not the %s credential", what);
    return false;
}
