/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that talk to the origin (and the catalogue) alone: assets, remove, sign. */
#include "weirctl.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/enc.h"
#include "fetch/fetch.h"
#include "token/token.h"

#define ORIGIN_ANSWER_MAX ((size_t)64 << 20)

static const char assets_usage[] = "usage: weirctl assets [--json] [--state FOLDER]\n"
                                   "\n"
                                   "Lists the assets that the origin has.\n";
static const char remove_usage[] =
    "usage: weirctl remove ASSET [--state FOLDER]\n"
    "\n"
    "Takes the asset's ref off the origin and its entry out of the catalogue.\n";
static const char sign_usage[] =
    "usage: weirctl sign ASSET [--seconds N] [--height-max LINES] [--view VIEW] [--state FOLDER]\n"
    "\n"
    "Prints a signed URL on the edge; VIEW is master.m3u8 unless given, N is 3600.\n";

/* settings and a client; both are cleared by the caller, also after an error. */
static int origin_open(const char *state, unsigned needs, struct ctl_settings *s,
                       struct fetch_client **ret, struct err *err)
{
    int r = ctl_settings_load(state, needs, s, err);
    if (r < 0)
        return r;
    struct fetch_options options = {.ca_file = s->ca_file};
    r = fetch_client_new(&options, ret);
    return r < 0 ? err_errno(err, r, "starting") : 0;
}

static int origin_call(struct fetch_client *client, const char *method, const char *base,
                       const char *path, const char *bearer, unsigned *ret_status, json_t **ret,
                       struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    buf_printf(&url, "%s%s", base, path);
    if (buf_error(&url) < 0)
        return err_errno(err, buf_error(&url), "asking %s", base);
    struct fetch_request request = {.method = method, .url = url.data, .bearer = bearer};
    int r = fetch_client_run(client, &request, ORIGIN_ANSWER_MAX, ret_status, &answer, err);
    if (r < 0)
        return r;
    *ret = json_loadb(answer.data != NULL ? answer.data : "", answer.size, 0, NULL);
    return 0;
}

/* The message of an error answer, or a general one. */
static int origin_refused(json_t *root, const char *what, struct err *err)
{
    const char *message =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    return err_set(err, -EIO, "%s: %s", what, message != NULL ? message : "no proper answer");
}

static void assets_print(json_t *root, bool as_json)
{
    size_t i;
    json_t *ref;
    json_t *refs = json_object_get(root, "refs");
    if (!as_json)
        printf("%-40s %10s  %-24s  %s\n", "ASSET", "GENERATION", "CHANGED", "PRESENTATION");
    json_array_foreach(refs, i, ref)
    {
        if (as_json) {
            char *text = json_dumps(ref, JSON_COMPACT);
            printf("%s\n", text != NULL ? text : "{}");
            free(text);
        } else {
            printf("%-40s %10lld  %-24s  %s\n", json_string_value(json_object_get(ref, "asset")),
                   (long long)json_integer_value(json_object_get(ref, "generation")),
                   json_string_value(json_object_get(ref, "changed")),
                   json_string_value(json_object_get(ref, "presentation")));
        }
    }
}

int ctl_assets(int argc, char **argv)
{
    const char *state = NULL;
    bool as_json = false;
    const struct ctl_option options[] = {{"--state", &state, NULL}, {"--json", NULL, &as_json}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, assets_usage, options, ARRAY_LEN(options), NULL, 0, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    struct err err = {0};
    struct ctl_settings s = {0};
    struct fetch_client *client = NULL;
    json_t *root = NULL;
    unsigned status = 0;
    r = origin_open(state, CTL_ORIGIN | CTL_PUBLISH, &s, &client, &err);
    if (r == 0)
        r = origin_call(client, "GET", s.origin_url, "/refs", s.publish.text, &status, &root, &err);
    if (r == 0 && status != 200)
        r = origin_refused(root, "the origin refused", &err);
    if (r == 0)
        assets_print(root, as_json);
    json_decref(root);
    fetch_client_free(client);
    ctl_settings_clear(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}

static int remove_run(struct fetch_client *client, const struct ctl_settings *s, const char *asset,
                      struct err *err)
{
    struct secret admin = {0};
    int r = secret_load(s->admin_credential_file, &admin, err);
    CLEAN_BUF struct buf name = BUF_EMPTY;
    CLEAN_BUF struct buf ref = BUF_EMPTY;
    CLEAN_BUF struct buf entry = BUF_EMPTY;
    enc_percent(str_of(asset), &name);
    buf_printf(&ref, "/ref/%s", name.data != NULL ? name.data : "");
    buf_printf(&entry, "/api/v1/admin/assets/%s", name.data != NULL ? name.data : "");
    if (r == 0 && (buf_error(&ref) < 0 || buf_error(&entry) < 0))
        r = err_set(err, -ENOMEM, "out of memory");
    json_t *root = NULL;
    unsigned at_control = 0;
    unsigned at_origin = 0;
    /* The catalogue first: nobody is offered what no longer plays. */
    if (r == 0)
        r = origin_call(client, "DELETE", s->control_url, entry.data, admin.text, &at_control,
                        &root, err);
    if (r == 0 && at_control != 204 && at_control != 404)
        r = origin_refused(root, "control refused", err);
    json_decref(root);
    root = NULL;
    if (r == 0)
        r = origin_call(client, "DELETE", s->origin_url, ref.data, s->publish.text, &at_origin,
                        &root, err);
    if (r == 0 && at_origin == 404)
        r = err_set(err, -ENOENT, "there is no asset '%s' on the origin", asset);
    else if (r == 0 && at_origin != 204)
        r = origin_refused(root, "the origin refused", err);
    json_decref(root);
    secret_clear(&admin);
    return r;
}

int ctl_remove(int argc, char **argv)
{
    const char *state = NULL;
    const char *asset = NULL;
    const struct ctl_option options[] = {{"--state", &state, NULL}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, remove_usage, options, ARRAY_LEN(options), &asset, 1, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (words != 1) {
        (void)fprintf(stderr, "weirctl: remove needs an asset\n%s", remove_usage);
        return 2;
    }
    struct err err = {0};
    struct ctl_settings s = {0};
    struct fetch_client *client = NULL;
    r = ctl_asset_check(asset, &err);
    if (r == 0)
        r = origin_open(state, CTL_ORIGIN | CTL_PUBLISH | CTL_CONTROL | CTL_ADMIN, &s, &client,
                        &err);
    if (r == 0)
        r = remove_run(client, &s, asset, &err);
    fetch_client_free(client);
    ctl_settings_clear(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}

static int sign_run(const struct ctl_settings *s, const char *asset, const char *view,
                    uint64_t seconds, uint64_t height_max, struct err *err)
{
    CLEAN(token_ring_free) struct token_ring *ring = NULL;
    int r = token_ring_load(s->token_ring_file, &ring, err);
    if (r < 0)
        return r;
    CLEAN_BUF struct buf container = BUF_EMPTY;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    CLEAN(base_free) char *name = str_dup(str_of(asset));
    char issuer[] = "weirctl";
    char subject[] = "operator";
    token_asset_container(str_of(asset), &container);
    struct token_claims claims = {
        .issuer = issuer,
        .subject = subject,
        .container = container.data,
        .asset = name,
        .height_max = (uint32_t)height_max,
        .expires_s = clock_real_s() + (int64_t)seconds,
    };
    r = name == NULL || buf_error(&container) < 0 ? -ENOMEM : token_sign(ring, &claims, &token);
    if (r < 0)
        return err_errno(err, r, "signing");
    printf("%s/;URISigningPackage=" STR_FMT "/v/%s/%s\n", s->edge_url, STR_ARG(buf_str(&token)),
           asset, view);
    return 0;
}

int ctl_sign(int argc, char **argv)
{
    const char *state = NULL, *asset = NULL, *view = "master.m3u8";
    const char *seconds_text = "3600", *height_text = "0";
    const struct ctl_option options[] = {{"--state", &state, NULL},
                                         {"--seconds", &seconds_text, NULL},
                                         {"--height-max", &height_text, NULL},
                                         {"--view", &view, NULL}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, sign_usage, options, ARRAY_LEN(options), &asset, 1, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    uint64_t seconds = 0;
    uint64_t height_max = 0;
    if (words != 1 || str_to_u64(str_of(seconds_text), &seconds) < 0 || seconds > UINT32_MAX ||
        str_to_u64(str_of(height_text), &height_max) < 0 || height_max > UINT32_MAX) {
        (void)fprintf(stderr, "weirctl: sign needs an asset, and numbers behind its options\n%s",
                      sign_usage);
        return 2;
    }
    struct err err = {0};
    struct ctl_settings s = {0};
    r = ctl_asset_check(asset, &err);
    if (r == 0)
        r = ctl_settings_load(state, CTL_RING | CTL_EDGE, &s, &err);
    if (r == 0)
        r = sign_run(&s, asset, view, seconds, height_max, &err);
    ctl_settings_clear(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}
