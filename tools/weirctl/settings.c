/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"

#define SETTINGS_SIZE_MAX 65536

static int settings_text(json_t *root, const char *path, const char *key, bool needed, char **ret,
                         struct err *err)
{
    const json_t *value = json_object_get(root, key);
    const char *text = json_string_value(value);
    if (value != NULL && text == NULL)
        return err_set(err, -EINVAL, "%s: \"%s\" is not a text", path, key);
    if (text == NULL)
        return needed ? err_set(err, -EINVAL, "%s: \"%s\" is missing", path, key) : 0;
    *ret = str_dup(str_of(text));
    return *ret == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int settings_read(const char *path, unsigned needs, struct ctl_settings *s, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read(path, SETTINGS_SIZE_MAX, &text);
    if (r < 0)
        return err_errno(err, r, "reading %s", path);
    json_error_t where;
    json_t *root = json_loadb(text.data != NULL ? text.data : "", text.size, 0, &where);
    if (root == NULL)
        return err_set(err, -EINVAL, "%s: line %d: %s", path, where.line, where.text);
    const struct {
        const char *key;
        char **value;
        unsigned bit; /* of needs; 0: always optional */
    } rows[] = {
        {"ingest_url", &s->ingest_url, CTL_INGEST},
        {"origin_url", &s->origin_url, CTL_ORIGIN},
        {"edge_url", &s->edge_url, CTL_EDGE},
        {"control_url", &s->control_url, CTL_CONTROL},
        {"edge_admin_url", &s->edge_admin_url, CTL_EDGE_ADMIN},
        {"control_admin_url", &s->control_admin_url, CTL_CONTROL_ADMIN},
        {"publish_credential_file", &s->publish_credential_file, CTL_PUBLISH},
        {"admin_credential_file", &s->admin_credential_file, CTL_ADMIN},
        {"token_ring_file", &s->token_ring_file, CTL_RING},
        {"ca_file", &s->ca_file, 0},
    };
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(rows); i++)
        r = settings_text(root, path, rows[i].key, (needs & rows[i].bit) != 0, rows[i].value, err);
    json_decref(root);
    if (r == 0 && (needs & CTL_PUBLISH) != 0)
        r = secret_load(s->publish_credential_file, &s->publish, err);
    return r;
}

int ctl_settings_load(const char *state, unsigned needs, struct ctl_settings *ret, struct err *err)
{
    if (state == NULL)
        state = getenv("WEIR_STATE");
    const char *folders[] = {state != NULL ? state : "./state", "/etc/weir"};
    struct ctl_settings s = {0};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        CLEAN(base_free) char *path = file_join(folders[i], "weirctl.json");
        if (path == NULL)
            return err_set(err, -ENOMEM, "out of memory");
        if (state == NULL && access(path, F_OK) < 0)
            continue;
        int r = settings_read(path, needs, &s, err);
        if (r < 0)
            ctl_settings_clear(&s);
        else
            *ret = s;
        return r;
    }
    return err_set(
        err, -ENOENT,
        "neither ./state nor /etc/weir has a weirctl.json; say where with --state FOLDER");
}

void ctl_settings_clear(struct ctl_settings *s)
{
    char *texts[] = {
        s->edge_admin_url,  s->control_admin_url,    s->ingest_url, s->origin_url,
        s->edge_url,        s->control_url,          s->ca_file,    s->publish_credential_file,
        s->token_ring_file, s->admin_credential_file};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    secret_clear(&s->publish);
    *s = (struct ctl_settings){0};
}
