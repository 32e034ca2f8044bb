/* SPDX-License-Identifier: Apache-2.0 */
#include "control/valid.h"
#include <errno.h>

#define VALID_LOCAL_MAX      64
#define VALID_LABEL_MAX      63
#define VALID_LABEL_SIZE_MAX 256

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
