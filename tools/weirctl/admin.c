/* SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/enc.h"
#include "base/rbuf.h"

#define ADMIN_ANSWER_MAX ((size_t)64 << 20)
#define ADMIN_PAGE       500

int admin_open(const char *state, struct admin *a, struct err *err)
{
    int r = ctl_settings_load(state, CTL_CONTROL | CTL_ADMIN, &a->settings, err);
    if (r == 0)
        r = secret_load(a->settings.admin_credential_file, &a->credential, err);
    if (r < 0)
        return r;
    const struct fetch_options options = {.ca_file = a->settings.ca_file};
    r = fetch_client_new(&options, &a->client);
    return r < 0 ? err_errno(err, r, "starting") : 0;
}

void admin_close(struct admin *a)
{
    a->client = fetch_client_free(a->client);
    secret_clear(&a->credential);
    ctl_settings_clear(&a->settings);
}

static int admin_body(const json_t *body, struct rbuf **ret)
{
    char *text = json_dumps(body, JSON_COMPACT);
    if (text == NULL)
        return -ENOMEM;
    size_t size = strlen(text);
    int r = size > UINT32_MAX ? -EFBIG : rbuf_new((uint32_t)MAX(size, (size_t)1), ret);
    if (r == 0)
        r = rbuf_append(*ret, text, (uint32_t)size);
    free(text);
    return r;
}

/* What control says, or that it said nothing of use. */
static int admin_refused(const json_t *answer, unsigned status, struct err *err)
{
    const json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    if (message == NULL)
        return err_set(err, -EIO, "control answered with status %u", status);
    return err_set(err, -EIO, "%s", message);
}

int admin_call(struct admin *a, const char *method, const char *path, const json_t *body,
               json_t **ret, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *sent = NULL;
    unsigned status = 0;
    buf_printf(&url, "%s%s", a->settings.control_url, path);
    int r = buf_error(&url);
    if (r == 0 && body != NULL)
        r = admin_body(body, &sent);
    if (r < 0)
        return err_errno(err, r, "asking control");
    const struct fetch_request request = {
        .method = method,
        .url = url.data,
        .bearer = a->credential.text,
        .type = body != NULL ? "application/json" : NULL,
        .body = sent,
    };
    r = fetch_client_run(a->client, &request, ADMIN_ANSWER_MAX, &status, &text, err);
    if (r < 0)
        return r;
    json_t *answer = text.size == 0 ? NULL : json_loadb(text.data, text.size, 0, NULL);
    if (status / 100 != 2)
        r = admin_refused(answer, status, err);
    else if (ret != NULL && answer == NULL)
        r = err_set(err, -EBADMSG, "control's answer is not JSON");
    if (r == 0 && ret != NULL)
        *ret = json_incref(answer);
    json_decref(answer);
    return r;
}

int admin_user_path(const char *user, const char *behind, struct buf *out, struct err *err)
{
    buf_puts(out, "/api/v1/admin/users/");
    enc_percent(str_of(user), out);
    buf_puts(out, behind);
    return buf_error(out) < 0 ? err_errno(err, buf_error(out), "asking control") : 0;
}

int admin_pages(struct admin *a, const char *path, const char *name,
                int (*each)(void *arg, const json_t *item), void *arg, struct err *err)
{
    char sign = strchr(path, '?') == NULL ? '?' : '&';
    CLEAN_BUF struct buf url = BUF_EMPTY;
    bool more = true;
    int r = 0;
    buf_printf(&url, "%s%climit=%d", path, sign, ADMIN_PAGE);
    while (r == 0 && more) {
        json_t *page = NULL;
        json_t *item;
        size_t i;
        r = buf_error(&url) < 0 ? err_errno(err, buf_error(&url), "asking control")
                                : admin_call(a, "GET", url.data, NULL, &page, err);
        json_array_foreach(json_object_get(page, name), i, item)
        {
            if (r == 0 && (r = each(arg, item)) < 0)
                (void)err_errno(err, r, "writing what control answers");
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL;
        buf_clear(&url);
        buf_printf(&url, "%s%climit=%d&cursor=", path, sign, ADMIN_PAGE);
        enc_percent(str_of(more ? next : ""), &url);
        json_decref(page);
    }
    return r;
}

const char *admin_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

void admin_print_json(const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT);
    printf("%s\n", text != NULL ? text : "{}");
    free(text);
}
