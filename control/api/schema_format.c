/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/schema_format.h"
#include "base/digest.h"
#include "control/valid.h"

static bool format_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool format_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool format_is_hex(char c)
{
    return format_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* size digits as a number; < 0: they are none. */
static int format_number(const char *at, unsigned size)
{
    int n = 0;
    for (unsigned i = 0; i < size; i++) {
        if (!format_is_digit(at[i]))
            return -1;
        n = 10 * n + (at[i] - '0');
    }
    return n;
}

static bool format_date(struct str s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (s.size != 10 || s.data[4] != '-' || s.data[7] != '-')
        return false;
    int year = format_number(s.data, 4);
    int month = format_number(s.data + 5, 2);
    int day = format_number(s.data + 8, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* "Z" or "+01:00"; no local time without a place. */
static bool format_offset(struct str s)
{
    if (s.size == 1)
        return s.data[0] == 'Z';
    if (s.size != 6 || (s.data[0] != '+' && s.data[0] != '-') || s.data[3] != ':')
        return false;
    int hours = format_number(s.data + 1, 2);
    int minutes = format_number(s.data + 4, 2);
    return hours >= 0 && hours <= 23 && minutes >= 0 && minutes <= 59;
}

static bool format_date_time(struct str s)
{
    if (s.size < 20 || s.size > 40 || s.data[10] != 'T' || s.data[13] != ':' || s.data[16] != ':')
        return false;
    if (!format_date((struct str){s.data, 10}))
        return false;
    int hours = format_number(s.data + 11, 2);
    int minutes = format_number(s.data + 14, 2);
    int seconds = format_number(s.data + 17, 2);
    struct str rest = str_skip(s, 19);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59)
        return false;
    if (rest.data[0] == '.') {
        size_t n = 1;
        while (n < rest.size && format_is_digit(rest.data[n]))
            n++;
        if (n == 1)
            return false;
        rest = str_skip(rest, n);
    }
    return format_offset(rest);
}

static bool format_email(struct str s)
{
    char out[VALID_EMAIL_SIZE];
    struct fault ignored = {0};
    return valid_email(s, out, &ignored) == 0;
}

static bool format_id(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!format_is_hex(s.data[i]))
            return false;
    return s.size == 32;
}

static bool format_uuid(struct str s)
{
    for (size_t i = 0; i < s.size; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.data[i] != '-' : !format_is_hex(s.data[i]))
            return false;
    }
    return s.size == 36;
}

static bool format_digest(struct str s)
{
    struct digest d;
    return digest_parse(s, &d) == 0;
}

/* An absolute URL of the web, as printable ASCII. */
static bool format_uri(struct str s)
{
    struct str rest = str_behind_http(s);
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] <= ' ' || rest.data[i] >= 0x7f || strchr("<>\"{}|\\^`", rest.data[i]))
            return false;
    return rest.size > 0 && s.size <= 2048 && strchr("/?#@:", rest.data[0]) == NULL;
}

/* Subtags of 1 to 8 letters and digits; the first is of 2 to 8 letters ("und" where unknown). */
static bool format_language(struct str s)
{
    struct str rest = s;
    bool first = true;
    if (s.size == 0 || s.size > 64)
        return false;
    while (rest.data != NULL) {
        struct str tag = str_cut(rest, '-', &rest);
        if (tag.size < (first ? 2 : 1) || tag.size > 8)
            return false;
        for (size_t i = 0; i < tag.size; i++)
            if (!format_is_letter(tag.data[i]) && (first || !format_is_digit(tag.data[i])))
                return false;
        first = false;
    }
    return true;
}

static bool format_country(struct str s)
{
    return s.size == 2 && s.data[0] >= 'A' && s.data[0] <= 'Z' && s.data[1] >= 'A' &&
           s.data[1] <= 'Z';
}

static bool format_asset(struct str s)
{
    return valid_is_asset(s);
}

/* Without control characters: of ASCII, and U+0080 to U+009F. */
static bool format_is_clean(struct str s, const char *allowed)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == 0x7f || (c < 0x20 && (c == 0 || strchr(allowed, c) == NULL)))
            return false;
        if (c == 0xc2 && i + 1 < s.size && (unsigned char)s.data[i + 1] < 0xa0)
            return false;
    }
    return true;
}

static bool format_line(struct str s)
{
    return format_is_clean(s, "");
}

static bool format_lines(struct str s)
{
    return format_is_clean(s, "\n\t");
}

static bool format_base64url(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (!format_is_letter(s.data[i]) && !format_is_digit(s.data[i]) && s.data[i] != '-' &&
            s.data[i] != '_')
            return false;
    return true;
}

static const struct schema_format schema_formats[] = {
    {"asset", format_asset,
     "an asset name: 1-128 characters of A-Z, a-z, 0-9, '.', '_' and '-', none of them first a "
     "'.'"},
    {"base64url", format_base64url, "base64url without padding"},
    {"binary", NULL, ""},
    {"country", format_country, "a country such as \"DE\""},
    {"date", format_date, "a date such as \"2025-01-31\""},
    {"date-time", format_date_time, "a time such as \"2025-01-31T08:30:00Z\""},
    {"digest", format_digest, "a digest: 32 digits of lower-case hex"},
    {"double", NULL, ""},
    {"email", format_email, "an e-mail address"},
    {"id", format_id, "an id: 32 digits of lower-case hex"},
    {"int32", NULL, ""},
    {"int64", NULL, ""},
    {"language", format_language, "a language tag such as \"en\""},
    {"line", format_line, "a text without control characters"},
    {"lines", format_lines, "a text without control characters but line feeds and tabs"},
    {"password", NULL, ""},
    {"uri", format_uri, "a URL that begins with http:// or https://"},
    {"uuid", format_uuid, "a UUID in lower case"},
};

const struct schema_format *schema_format_find(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(schema_formats); i++)
        if (strcmp(schema_formats[i].name, name) == 0)
            return &schema_formats[i];
    return NULL;
}
