/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cmcd.h"
#include "base/enc.h"
#include "http/http_text.h"

#define HTTP_CMCD_KEY_MAX    64
#define HTTP_CMCD_CUSTOM_MAX 256

/* The reserved keys, CTA-5004 section 3.2: table 1. */
static const struct http_cmcd_key {
    const char *name;
    enum http_cmcd_type type;
    size_t size_max;     /* of a string */
    const char *letters; /* a token is one of these; NULL: two letters, see http_cmcd_object */
} http_cmcd_keys[] = {
    {"br", HTTP_CMCD_INTEGER, 0, NULL},  {"bl", HTTP_CMCD_INTEGER, 0, NULL},
    {"bs", HTTP_CMCD_TRUE, 0, NULL},     {"cid", HTTP_CMCD_STRING, 64, NULL},
    {"d", HTTP_CMCD_INTEGER, 0, NULL},   {"dl", HTTP_CMCD_INTEGER, 0, NULL},
    {"mtp", HTTP_CMCD_INTEGER, 0, NULL}, {"nor", HTTP_CMCD_STRING, 2048, NULL},
    {"nrr", HTTP_CMCD_STRING, 64, NULL}, {"ot", HTTP_CMCD_TOKEN, 0, NULL},
    {"pr", HTTP_CMCD_DECIMAL, 0, NULL},  {"rtp", HTTP_CMCD_INTEGER, 0, NULL},
    {"sf", HTTP_CMCD_TOKEN, 0, "dhso"},  {"sid", HTTP_CMCD_STRING, 64, NULL},
    {"st", HTTP_CMCD_TOKEN, 0, "vl"},    {"su", HTTP_CMCD_TRUE, 0, NULL},
    {"tb", HTTP_CMCD_INTEGER, 0, NULL},  {"v", HTTP_CMCD_INTEGER, 0, NULL},
};

static bool http_cmcd_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool http_cmcd_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits, with a point among them if decimal: as a JSON number can be written. */
static bool http_cmcd_number(struct str text, bool decimal)
{
    size_t point = SIZE_MAX;
    if (text.size == 0 || text.size > 15)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '.' && decimal && point == SIZE_MAX && i > 0)
            point = i;
        else if (!http_cmcd_is_digit(text.data[i]))
            return false;
    }
    return point != text.size - 1;
}

/* What is asked for: manifest, audio, video, both, init, captions, timed text, key, other. */
static bool http_cmcd_object(struct str text)
{
    return str_eq(text, STR("av")) || str_eq(text, STR("tt")) ||
           (text.size == 1 && strchr("mavicko", text.data[0]) != NULL && text.data[0] != '\0');
}

static bool http_cmcd_token(const struct http_cmcd_key *key, struct str text)
{
    if (key->letters == NULL)
        return http_cmcd_object(text);
    return text.size == 1 && text.data[0] != '\0' && strchr(key->letters, text.data[0]) != NULL;
}

/* has_value: there was a "="; quoted: text is the inside of quotes. */
static bool http_cmcd_fits(const struct http_cmcd_key *key, struct str text, bool has_value,
                           bool quoted)
{
    switch (key->type) {
    case HTTP_CMCD_TRUE: /* one that is false is left out; some write it out */
        return !quoted && (!has_value || str_eq(text, STR("?1")) || str_eq(text, STR("true")));
    case HTTP_CMCD_INTEGER:
    case HTTP_CMCD_DECIMAL:
        return has_value && !quoted && http_cmcd_number(text, key->type == HTTP_CMCD_DECIMAL);
    case HTTP_CMCD_TOKEN:
        return has_value && !quoted && http_cmcd_token(key, text);
    case HTTP_CMCD_STRING:
        return quoted && text.size <= key->size_max;
    case HTTP_CMCD_CUSTOM:
        break;
    }
    return false;
}

static bool http_cmcd_is_custom(struct str key)
{
    return key.size <= HTTP_CMCD_KEY_MAX && memchr(key.data, '-', key.size) != NULL &&
           http_cmcd_is_letter(key.data[0]);
}

static void http_cmcd_add(struct http_cmcd *c, struct str key, struct str text, bool has_value,
                          bool quoted)
{
    struct http_cmcd_item item = {key, HTTP_CMCD_CUSTOM, has_value ? text : STR("true")};
    const struct http_cmcd_key *known = NULL;
    for (size_t i = 0; i < ARRAY_LEN(http_cmcd_keys); i++)
        if (str_eq(key, str_of(http_cmcd_keys[i].name)))
            known = &http_cmcd_keys[i];
    if (known != NULL ? !http_cmcd_fits(known, text, has_value, quoted)
                      : !http_cmcd_is_custom(key) || text.size > HTTP_CMCD_CUSTOM_MAX)
        return;
    if (known != NULL)
        item.type = known->type;
    if (c->count < HTTP_CMCD_ITEMS_MAX && http_cmcd_find(c, key) == NULL)
        c->at[c->count++] = item;
}

/* The string whose opening quote is text[at], unescaped in place. False: it does not end. */
static bool http_cmcd_string(char *text, size_t size, size_t *at, struct str *ret)
{
    size_t from = *at + 1;
    size_t to = from;
    *ret = (struct str){text + from, 0};
    for (; from < size && text[from] != '"'; from++) {
        if (text[from] == '\\' && from + 1 < size)
            from++;
        text[to++] = text[from];
    }
    if (from >= size)
        return false;
    ret->size = to - (*at + 1);
    *at = from + 1;
    return true;
}

static bool http_cmcd_is_key(char c)
{
    return http_cmcd_is_letter(c) || http_cmcd_is_digit(c) || c == '-' || c == '_' || c == '.' ||
           c == '*';
}

static bool http_cmcd_ends_word(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '"';
}

/* key[=value], ... in text, which is ours. */
static void http_cmcd_pairs(struct http_cmcd *c, char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == ','))
            at++;
        struct str key = {text + at, 0};
        while (at < size && http_cmcd_is_key(text[at]))
            at++;
        key.size = (size_t)(text + at - key.data);
        struct str value = STR_NONE;
        bool has_value = at < size && text[at] == '=';
        bool quoted = has_value && at + 1 < size && text[at + 1] == '"';
        if (quoted) {
            at++;
            if (!http_cmcd_string(text, size, &at, &value))
                return;
        } else if (has_value) {
            value.data = text + ++at;
            while (at < size && !http_cmcd_ends_word(text[at]))
                at++;
            value.size = (size_t)(text + at - value.data);
        }
        size_t end = at;
        while (at < size && text[at] != ',')
            at++;
        /* Nothing but white space may stand behind it. */
        bool clean = str_trim((struct str){text + end, at - end}).size == 0;
        if (clean && key.size > 0)
            http_cmcd_add(c, key, value, has_value, quoted);
    }
}

static void http_cmcd_source(struct http_cmcd *c, struct str source)
{
    if (source.size == 0 || source.size > sizeof c->text - c->used)
        return;
    char *copy = c->text + c->used;
    memcpy(copy, source.data, source.size);
    c->used += source.size;
    http_cmcd_pairs(c, copy, source.size);
}

bool http_cmcd_read(const struct fields *request, struct str query, struct http_cmcd *ret)
{
    static const char *const names[] = {"cmcd-object", "cmcd-request", "cmcd-session",
                                        "cmcd-status"};
    ret->count = 0;
    ret->used = 0;
    for (unsigned i = 0; i < request->count; i++)
        for (size_t n = 0; n < ARRAY_LEN(names); n++)
            if (str_eq(request->at[i].name, str_of(names[n])))
                http_cmcd_source(ret, request->at[i].value);
    struct str coded;
    if (enc_query_find(query, STR("CMCD"), &coded)) {
        CLEAN_BUF struct buf plain = BUF_EMPTY;
        if (enc_unpercent(coded, &plain) == 0 && buf_error(&plain) == 0)
            http_cmcd_source(ret, buf_str(&plain));
    }
    return ret->count > 0;
}

const struct http_cmcd_item *http_cmcd_find(const struct http_cmcd *c, struct str key)
{
    for (unsigned i = 0; i < c->count; i++)
        if (str_eq(c->at[i].key, key))
            return &c->at[i];
    return NULL;
}

/* JSON has no leading zeros. */
static struct str http_cmcd_plain(struct str digits)
{
    while (digits.size > 1 && digits.data[0] == '0' && digits.data[1] != '.')
        digits = str_skip(digits, 1);
    return digits;
}

void http_cmcd_json(const struct http_cmcd *c, struct buf *out)
{
    buf_putc(out, '{');
    for (unsigned i = 0; i < c->count; i++) {
        const struct http_cmcd_item *item = &c->at[i];
        if (i > 0)
            buf_putc(out, ',');
        buf_put_json_string(out, item->key);
        buf_putc(out, ':');
        if (item->type == HTTP_CMCD_TRUE) {
            buf_puts(out, "true");
        } else if (item->type == HTTP_CMCD_INTEGER || item->type == HTTP_CMCD_DECIMAL) {
            buf_put_str(out, http_cmcd_plain(item->text));
        } else {
            CLEAN_BUF struct buf text = BUF_EMPTY;
            http_target_redact(item->text, &text);
            buf_put_json_string(out, buf_str(&text));
            if (buf_error(&text) < 0 && out->error == 0)
                out->error = buf_error(&text);
        }
    }
    buf_putc(out, '}');
}
