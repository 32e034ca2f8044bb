/* SPDX-License-Identifier: Apache-2.0 */
#include "control/valid.h"
#include <errno.h>
#include "base/heading.h"

#define VALID_LOCAL_MAX      64
#define VALID_LABEL_MAX      63
#define VALID_LANGUAGE_MAX   64
#define VALID_HEIGHT_MAX     65535
#define VALID_DURATION_MAX   (INT64_C(1000) * 3600 * 24 * 366 * 10) /* ten years of film */
#define VALID_LABEL_SIZE_MAX 256
#define VALID_JSON_SIZE_MAX  ((size_t)64 << 10)

static bool valid_is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

size_t valid_length(struct str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++)
        n += ((unsigned char)text.data[i] & 0xc0) != 0x80; /* all but continuation bytes */
    return n;
}

/* --- e-mail addresses and passwords ----------------------------------------------------------- */

/* dot-atom: atoms of at least one character between single dots. */
static bool valid_is_local(struct str local)
{
    if (local.size == 0 || local.size > VALID_LOCAL_MAX)
        return false;
    bool after_dot = true;
    for (size_t i = 0; i < local.size; i++) {
        char c = local.data[i];
        if (c == '.' && after_dot)
            return false;
        if (c != '.' && !valid_is_alnum(c) && (c == 0 || strchr("!#$%&'*+-/=?^_`{|}~", c) == NULL))
            return false;
        after_dot = c == '.';
    }
    return !after_dot;
}

static bool valid_is_label(struct str label)
{
    if (label.size == 0 || label.size > VALID_LABEL_MAX)
        return false;
    for (size_t i = 0; i < label.size; i++)
        if (!valid_is_alnum(label.data[i]) && label.data[i] != '-')
            return false;
    return label.data[0] != '-' && label.data[label.size - 1] != '-';
}

/* Two labels or more: an address on this host's own name is nobody's. The last has a letter, so it
 * is no IPv4 address. */
static bool valid_is_domain(struct str domain)
{
    struct str rest = domain;
    unsigned labels = 0;
    bool letter = false;
    if (domain.size == 0 || domain.data[domain.size - 1] == '.')
        return false;
    while (rest.data != NULL) {
        struct str label = str_cut(rest, '.', &rest);
        if (!valid_is_label(label))
            return false;
        labels++;
        letter = false;
        for (size_t i = 0; i < label.size; i++)
            letter = letter || label.data[i] > '9';
    }
    return labels >= 2 && letter;
}

int valid_email(struct str text, char out[VALID_EMAIL_SIZE], struct fault *fault)
{
    struct str domain;
    struct str local = str_cut(text, '@', &domain);
    if (text.size >= VALID_EMAIL_SIZE || !valid_is_local(local) || !valid_is_domain(domain))
        return fault_set(fault, 422, "EMAIL_INVALID", "this is not an e-mail address");
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[text.size] = 0;
    return 0;
}

int valid_password(struct str text, struct fault *fault)
{
    if (valid_length(text) < VALID_PASSWORD_MIN)
        return fault_set(fault, 422, "PASSWORD_TOO_SHORT",
                         "the password needs at least %d characters", VALID_PASSWORD_MIN);
    if (text.size > VALID_PASSWORD_MAX)
        return fault_set(fault, 422, "PASSWORD_TOO_LONG", "the password has more than %d bytes",
                         VALID_PASSWORD_MAX);
    return 0;
}

/* --- bodies ----------------------------------------------------------------------------------- */

bool valid_is_asset(struct str text)
{
    if (text.size == 0 || text.size >= VALID_ASSET_SIZE || text.data[0] == '.')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!valid_is_alnum(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

int valid_json(struct str body, json_t **ret, struct fault *fault)
{
    json_error_t error;
    if (body.size > VALID_JSON_SIZE_MAX)
        return fault_set(fault, 413, "BODY_TOO_LARGE", "the body is larger than 64 KiB");
    json_t *value =
        body.size == 0 ? NULL : json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
    if (body.size == 0)
        return fault_set(fault, 400, "JSON_INVALID", "the body is empty, a JSON object is needed");
    if (value == NULL)
        return fault_set(fault, 400, "JSON_INVALID", "the body is not JSON: line %d, column %d",
                         error.line, error.column);
    if (!json_is_object(value)) {
        json_decref(value);
        return fault_set(fault, 400, "JSON_INVALID", "the body is not a JSON object");
    }
    *ret = value;
    return 0;
}

/* "name?" is optional. */
static bool valid_is_named(const char *listed, const char *name)
{
    size_t size = strcspn(listed, "?");
    return strncmp(listed, name, size) == 0 && name[size] == 0;
}

int valid_members(const json_t *object, const char *const *names, struct fault *fault)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        bool known = false;
        for (unsigned i = 0; names[i] != NULL; i++)
            known = known || valid_is_named(names[i], key);
        if (!known)
            return fault_set(fault, 422, "BODY_INVALID", "there is no member \"%.64s\"", key);
    }
    for (unsigned i = 0; names[i] != NULL; i++)
        if (strchr(names[i], '?') == NULL && json_object_get(object, names[i]) == NULL)
            return fault_set(fault, 422, "BODY_INVALID", "the member \"%s\" is missing", names[i]);
    return 0;
}

int valid_string(const json_t *object, const char *name, struct str *ret, struct fault *fault)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        return fault_set(fault, 422, "BODY_INVALID", "\"%s\" is not a string", name);
    *ret = (struct str){json_string_value(value), json_string_length(value)};
    return 0;
}

int valid_label(const json_t *object, const char *name, struct str *ret, struct fault *fault)
{
    struct str text = STR_NONE;
    int r = json_object_get(object, name) == NULL ? 0 : valid_string(object, name, &text, fault);
    if (r < 0)
        return r;
    bool good = text.size <= VALID_LABEL_SIZE_MAX;
    for (size_t i = 0; i < text.size; i++)
        good = good && (unsigned char)text.data[i] >= 0x20 && text.data[i] != 0x7f;
    if (!good)
        return fault_set(fault, 422, "BODY_INVALID",
                         "\"%s\" is longer than %d bytes, or has control characters", name,
                         VALID_LABEL_SIZE_MAX);
    *ret = text;
    return 0;
}

static int valid_integer(const json_t *object, const char *name, json_int_t max,
                         struct fault *fault)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_integer(value) && json_integer_value(value) >= 0 &&
        json_integer_value(value) <= max)
        return 0;
    return fault_set(fault, 422, "BODY_INVALID", "\"%s\" is not an integer from 0 to %lld", name,
                     (long long)max);
}

static bool valid_is_language(const json_t *value)
{
    struct str text = {json_string_value(value), json_string_length(value)};
    if (text.size == 0 || text.size > VALID_LANGUAGE_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!valid_is_alnum(text.data[i]) && text.data[i] != '-')
            return false;
    return true;
}

static int valid_languages(const json_t *object, const char *name, struct fault *fault)
{
    const json_t *list = json_object_get(object, name);
    size_t i;
    json_t *value;
    if (!json_is_array(list) || json_array_size(list) > VALID_LANGUAGES_MAX)
        return fault_set(fault, 422, "BODY_INVALID", "\"%s\" is not a list of at most %d languages",
                         name, VALID_LANGUAGES_MAX);
    json_array_foreach(list, i, value)
    {
        if (!valid_is_language(value))
            return fault_set(fault, 422, "BODY_INVALID",
                             "\"%s\" holds something that is not a language tag such as \"en\"",
                             name);
    }
    return 0;
}

int valid_video(const json_t *object, struct fault *fault)
{
    static const char *const names[] = {"title", "duration_ms", "height",
                                        "audio", "subtitles",   NULL};
    struct str title = STR_NONE;
    int r = valid_members(object, names, fault);
    if (r == 0)
        r = valid_string(object, "title", &title, fault);
    if (r < 0)
        return r;
    struct err err = {0};
    if (heading_check(title, &err) < 0)
        return fault_set(fault, 422, "BODY_INVALID", "%s", err.text);
    r = valid_integer(object, "duration_ms", VALID_DURATION_MAX, fault);
    if (r == 0)
        r = valid_integer(object, "height", VALID_HEIGHT_MAX, fault);
    if (r == 0)
        r = valid_languages(object, "audio", fault);
    return r == 0 ? valid_languages(object, "subtitles", fault) : r;
}

/* --- headers ---------------------------------------------------------------------------------- */

bool valid_is_origin(struct str origin, struct str scheme, struct str authority,
                     struct str public_url)
{
    if (str_ends(public_url, STR("/")))
        public_url.size--;
    if (public_url.size > 0 && str_eq_nocase(origin, public_url))
        return true;
    if (scheme.size == 0 || authority.size == 0 || origin.size <= scheme.size + 3)
        return false;
    struct str said_scheme = {origin.data, scheme.size};
    struct str between = {origin.data + scheme.size, 3};
    return str_eq_nocase(said_scheme, scheme) && str_eq(between, STR("://")) &&
           str_eq_nocase(str_skip(origin, scheme.size + 3), authority);
}

bool valid_is_json_type(struct str content_type)
{
    struct str parameters;
    struct str type = str_trim(str_cut(content_type, ';', &parameters));
    return str_eq_nocase(type, STR("application/json"));
}

struct str valid_cookie(struct str header, struct str name)
{
    struct str rest = header;
    while (rest.data != NULL) {
        struct str value;
        struct str pair = str_trim(str_cut(rest, ';', &rest));
        struct str key = str_cut(pair, '=', &value);
        if (str_eq(key, name))
            return value;
    }
    return STR_NONE;
}
