/* SPDX-License-Identifier: Apache-2.0 */
/* The API of docs/api.md, section Control. Handlers run on a loop: they check the form of what was
 * sent and hand a job over; the functions named api_work_* run on pool threads. */
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/enc.h"
#include "control/api.h"
#include "control/catalog/catalog.h"
#include "control/users.h"
#include "control/valid.h"

#define API_ASSETS "/api/v1/admin/assets/"

/* --- what several share ----------------------------------------------------------------------- */

/* The session's token: bearer, else cookie; NULL when there is none or no memory. */
char *api__session(struct http_req *req)
{
    struct str token = http_req_bearer(req);
    if (token.size == 0)
        token = valid_cookie(http_req_header(req, "cookie"), STR(SESSION_COOKIE));
    return token.size > 0 && token.size < 256 ? str_dup(token) : NULL;
}

static int api_not_logged_in(struct job *job)
{
    return fault_set(&job->fault, 401, "NOT_LOGGED_IN", "log in first");
}

/* The user who asks; caller decrefs. */
int api__user(struct job *job, json_t **ret)
{
    if (job->session == NULL)
        return api_not_logged_in(job);
    int r = session_user(job->control->db, str_of(job->session), clock_real_ms(), ret);
    return r == -ENOENT ? api_not_logged_in(job) : r;
}

/* A page of another origin can make a browser send our cookie, but neither with this type nor
 * without telling its origin (SameSite=Lax keeps the cookie back besides). */
int api__check_post(struct control *c, struct http_req *req, struct fault *fault)
{
    if (!valid_is_json_type(http_req_header(req, "content-type")))
        return fault_set(fault, 415, "TYPE_UNSUPPORTED",
                         "the content type must be application/json");
    return api__check_origin(c, req, fault);
}

int api__check_origin(struct control *c, struct http_req *req, struct fault *fault)
{
    struct str origin = http_req_header(req, "origin");
    if (origin.size == 0)
        return 0; /* not a browser */
    struct live *l = control_live(c);
    bool own = valid_is_origin(origin, http_req_scheme(req), http_req_authority(req),
                               str_of(l->public_url));
    live_unref(l);
    if (!own)
        return fault_set(fault, 403, "ORIGIN_REFUSED", "this page may not use the API");
    return 0;
}

void api__refuse(struct control *c, struct http_req *req, const struct fault *fault)
{
    struct live *l = control_live(c);
    web_headers(l->web, req);
    live_unref(l);
    job_refuse(req, fault);
}

/* POST with a JSON object of these members: a job, or NULL after the refusal. */
struct job *api__post(struct control *c, struct http_req *req, const char *const *members,
                      int (*work)(struct job *job))
{
    struct fault fault = {0};
    json_t *body = NULL;
    int r = api__check_post(c, req, &fault);
    if (r == 0)
        r = valid_json(http_req_body(req), &body, &fault);
    if (r == 0)
        r = valid_members(body, members, &fault);
    struct job *job = NULL;
    if (r < 0)
        api__refuse(c, req, &fault);
    else
        job = job_new(c, req, work);
    if (job == NULL) {
        json_decref(body);
        return NULL;
    }
    job->body = body;
    job->session = api__session(req);
    return job;
}

static int api_answer_user(struct job *job, const json_t *user)
{
    job->answer = json_pack("{s:o}", "user", users_public(user));
    return job->answer == NULL ? -ENOMEM : 0;
}

/* --- accounts --------------------------------------------------------------------------------- */

/* Opens a session for the user and answers with it. */
static int api_log_in_as(struct job *job, const json_t *user)
{
    const char *id = json_string_value(json_object_get(user, "id"));
    int r =
        id == NULL ? -EBADMSG : session_open(job->control->db, id, clock_real_ms(), job->cookie);
    if (r == 0)
        r = api_answer_user(job, user);
    job->sets_cookie = r == 0;
    return r;
}

static int api_work_sign_up(struct job *job)
{
    struct str email = STR_NONE;
    struct str password = STR_NONE;
    json_t *user = NULL;
    int r = valid_string(job->body, "email", &email, &job->fault);
    if (r == 0)
        r = valid_string(job->body, "password", &password, &job->fault);
    if (r == 0)
        r = users_sign_up(job->control->db, email, password, clock_real_ms(), &user, &job->fault);
    if (r < 0)
        return r;
    metric_add(job->control->sign_ups, 1);
    job->status = 201;
    r = api_log_in_as(job, user);
    json_decref(user);
    return r;
}

static int api_work_log_in(struct job *job)
{
    struct str email = STR_NONE;
    struct str password = STR_NONE;
    json_t *user = NULL;
    int r = valid_string(job->body, "email", &email, &job->fault);
    if (r == 0)
        r = valid_string(job->body, "password", &password, &job->fault);
    if (r < 0)
        return r;
    r = users_log_in(job->control->db, email, password, &user, &job->fault);
    metric_add(r == 0 ? job->control->log_ins : job->control->log_ins_failed, 1);
    if (r == 0)
        r = api_log_in_as(job, user);
    json_decref(user);
    return r;
}

static int api_work_log_out(struct job *job)
{
    json_t *user = NULL;
    int r = api__user(job, &user);
    json_decref(user);
    job->sets_cookie = true; /* an empty one: also where it was good for nothing */
    if (r < 0)
        return r;
    r = session_close(job->control->db, str_of(job->session));
    job->status = 204;
    return r == -ENOENT ? 0 : r; /* another request was quicker */
}

static int api_work_me(struct job *job)
{
    json_t *user = NULL;
    int r = api__user(job, &user);
    if (r == 0)
        r = api_answer_user(job, user);
    json_decref(user);
    return r;
}

static const char *const api_account_members[] = {"email", "password", NULL};

static void api_on_sign_up(struct http_req *req, void *arg)
{
    struct job *job = api__post(arg, req, api_account_members, api_work_sign_up);
    if (job == NULL)
        return;
    job->hashes = true;
    job_submit(job);
}

static void api_on_log_in(struct http_req *req, void *arg)
{
    struct job *job = api__post(arg, req, api_account_members, api_work_log_in);
    if (job == NULL)
        return;
    job->hashes = true;
    job_submit(job);
}

/* The body says nothing, so it may be empty. */
static void api_on_log_out(struct http_req *req, void *arg)
{
    struct fault fault = {0};
    if (api__check_post(arg, req, &fault) < 0) {
        api__refuse(arg, req, &fault);
        return;
    }
    struct job *job = job_new(arg, req, api_work_log_out);
    if (job == NULL)
        return;
    job->session = api__session(req);
    job_submit(job);
}

static void api_on_me(struct http_req *req, void *arg)
{
    struct job *job = job_new(arg, req, api_work_me);
    if (job == NULL)
        return;
    job->session = api__session(req);
    job_submit(job);
}

/* --- videos and playback ---------------------------------------------------------------------- */

static int api_add_poster(struct job *job, const char *user_id, json_t *video)
{
    const struct playback_signer *signer = &job->live->signer;
    CLEAN_BUF struct buf url = BUF_EMPTY;
    int r = playback_sign(signer, json_string_value(json_object_get(video, "asset")), user_id, NULL,
                          playback_expires_rounded(signer, clock_real_s()), &url);
    if (r < 0)
        return r;
    buf_puts(&url, "poster.jpg");
    if (buf_error(&url) < 0)
        return buf_error(&url);
    return json_object_set_new(video, "poster_url", json_string(url.data)) < 0 ? -ENOMEM : 0;
}

static int api_list_videos(struct job *job, const char *user_id)
{
    json_t *docs = NULL;
    char *next = NULL;
    size_t i;
    json_t *doc;
    const struct catalog_list list = {.limit = job->limit, .cursor = job->cursor};
    const struct viewer viewer = {.user = user_id, .age_max = VISIBLE_AGE_ALL, .country = ""};
    int r = catalog_list(job->control->db, &list, &docs, &next);
    if (r == -EINVAL)
        return fault_set(&job->fault, 422, "CURSOR_INVALID", "the cursor is none of this list");
    if (r < 0)
        return r;
    json_t *videos = json_array();
    json_array_foreach(docs, i, doc)
    {
        json_t *video = video_public(doc, &viewer);
        r = video == NULL ? -ENOMEM : api_add_poster(job, user_id, video);
        if (r == 0)
            r = json_array_append(videos, video) < 0 ? -ENOMEM : 0;
        json_decref(video);
        if (r < 0)
            break;
    }
    json_decref(docs);
    if (r == 0)
        job->answer = json_pack("{s:O, s:s?}", "videos", videos, "next", next);
    json_decref(videos);
    free(next);
    return r == 0 && job->answer == NULL ? -ENOMEM : r;
}

static int api_work_videos(struct job *job)
{
    json_t *user = NULL;
    int r = api__user(job, &user);
    if (r < 0)
        return r;
    r = api_list_videos(job, json_string_value(json_object_get(user, "id")));
    json_decref(user);
    return r;
}

/* limit=N and cursor=C of the query; both optional. */
static int api_read_page(struct str query, struct job *job)
{
    struct str text;
    uint64_t limit = CATALOG_PAGE_DEFAULT;
    if (enc_query_find(query, STR("limit"), &text) &&
        (str_to_u64(text, &limit) < 0 || limit == 0 || limit > CATALOG_PAGE_MAX))
        return fault_set(&job->fault, 422, "LIMIT_INVALID", "the limit is not from 1 to %d",
                         CATALOG_PAGE_MAX);
    job->limit = (unsigned)limit;
    if (enc_query_find(query, STR("cursor"), &text)) {
        job->cursor = str_dup(text); /* base64url: never percent-coded */
        return job->cursor == NULL ? -ENOMEM : 0;
    }
    return 0;
}

static void api_on_videos(struct http_req *req, void *arg)
{
    struct job *job = job_new(arg, req, api_work_videos);
    if (job == NULL)
        return;
    int r = api_read_page(http_req_query(req), job);
    if (r < 0) {
        fault_of_errno(&job->fault, r, "reading a request");
        api__refuse(arg, req, &job->fault);
        job_free(job);
        return;
    }
    job->session = api__session(req);
    job_submit(job);
}

/* --- the catalogue's keeper ------------------------------------------------------------------- */

static int api_check_admin(struct control *c, struct http_req *req, struct fault *fault)
{
    char guess[SESSION_DIGEST_SIZE];
    struct str bearer = http_req_bearer(req);
    if (bearer.size == 0)
        return fault_set(fault, 401, "CREDENTIAL_MISSING", "this needs the admin credential");
    session_digest(bearer, guess);
    struct live *l = control_live(c);
    bool good = session_digest_eq(guess, l->admin_digest);
    live_unref(l);
    return good ? 0 : fault_set(fault, 401, "CREDENTIAL_WRONG", "this is not the admin credential");
}

static int api_work_put_asset(struct job *job)
{
    json_t *doc = NULL;
    int r = catalog_put(job->control->db, job->asset, job->body, clock_real_ms(), &doc);
    if (r < 0)
        return r;
    const struct viewer keeper = {.is_admin = true, .country = ""};
    job->answer = video_public(doc, &keeper);
    json_decref(doc);
    return job->answer == NULL ? -ENOMEM : 0;
}

static int api_work_delete_asset(struct job *job)
{
    int r = catalog_delete(job->control->db, job->asset, clock_real_ms());
    job->status = 204;
    return r == -ENOENT ? 0 : r; /* gone is what was asked for */
}

static void api_on_asset(struct http_req *req, void *arg)
{
    struct control *c = arg;
    struct fault fault = {0};
    bool put = http_req_method(req) == HTTP_PUT;
    struct str asset = str_skip(http_req_path(req), strlen(API_ASSETS));
    json_t *body = NULL;
    int r = api_check_admin(c, req, &fault);
    if (r == 0 && !valid_is_asset(asset))
        r = fault_set(&fault, 422, "ASSET_INVALID",
                      "an asset name is 1-128 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
    if (r == 0 && put)
        r = valid_json(http_req_body(req), &body, &fault);
    if (r == 0 && put)
        r = valid_video(body, &fault);
    struct job *job = NULL;
    if (r < 0)
        api__refuse(c, req, &fault);
    else
        job = job_new(c, req, put ? api_work_put_asset : api_work_delete_asset);
    if (job == NULL) {
        json_decref(body);
        return;
    }
    job->body = body;
    job->asset = str_dup(asset);
    if (job->asset == NULL) {
        fault_of_errno(&job->fault, -ENOMEM, "reading a request");
        api__refuse(c, req, &job->fault);
        job_free(job);
        return;
    }
    job_submit(job);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void api_on_unknown(struct http_req *req, void *arg)
{
    struct fault fault = {0};
    (void)fault_set(&fault, 404, "NOT_FOUND", "there is no such call");
    api__refuse(arg, req, &fault);
}

static void api_on_page(struct http_req *req, void *arg)
{
    struct live *l = control_live(arg);
    web_reply(l->web, req);
    live_unref(l);
}

int api_routes(struct control *c)
{
    const unsigned all = HTTP_GET | HTTP_POST | HTTP_PUT | HTTP_DELETE | HTTP_PATCH | HTTP_OPTIONS;
    const struct {
        unsigned methods;
        const char *pattern;
        http_handler *handler;
    } routes[] = {
        {HTTP_POST, "/api/v1/auth/signup", api_on_sign_up},
        {HTTP_POST, "/api/v1/auth/login", api_on_log_in},
        {HTTP_POST, "/api/v1/auth/logout", api_on_log_out},
        {HTTP_GET, "/api/v1/users/me", api_on_me},
        {HTTP_GET, "/api/v1/videos", api_on_videos},
        {HTTP_PUT | HTTP_DELETE, API_ASSETS, api_on_asset},
        {all, "/api/", api_on_unknown},
        {HTTP_GET, "/", api_on_page},
    };
    for (unsigned i = 0; i < ARRAY_LEN(routes); i++) {
        int r = http_route(c->server, routes[i].methods, routes[i].pattern, routes[i].handler, c);
        if (r < 0)
            return r;
    }
    return 0;
}
