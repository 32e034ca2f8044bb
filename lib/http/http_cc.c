/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cache.h"
#include "http/http_cache_priv.h"
#include "http/http_sf.h"

/* RFC 9111 section 1.2.2: what is larger than we can hold counts as this. */
#define HTTP_DELTA_MAX (INT64_C(1) << 31)

bool http__is_token(char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr(others, c) != NULL);
}

int64_t http__delta(struct str text)
{
    int64_t value = 0;
    if (text.size == 0)
        return HTTP_CACHE_NONE;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return HTTP_CACHE_NONE;
        value = MIN(value * 10 + (text.data[i] - '0'), HTTP_DELTA_MAX);
    }
    return value;
}

/* --- what directives mean --------------------------------------------------------------------- */

/* One directive as it was read. bad: it is not of the form, what is known of it is its name. */
struct http_directive {
    struct str name;
    struct str argument;
    bool has_argument, bad;
};

/* A directive that restricts counts however odd its argument is: no-cache="field" and
 * private="field" as if they had none. One that permits counts only if it is well formed. */
static bool http_cc_flag(struct http_cc *cc, const struct http_directive *d)
{
    const struct {
        const char *name;
        bool *flag;
        bool permits;
    } flags[] = {
        {"no-store", &cc->no_store, false},
        {"no-cache", &cc->no_cache, false},
        {"no-transform", &cc->no_transform, false},
        {"only-if-cached", &cc->only_if_cached, false},
        {"public", &cc->is_public, true},
        {"private", &cc->is_private, false},
        {"must-revalidate", &cc->must_revalidate, false},
        {"proxy-revalidate", &cc->proxy_revalidate, false},
        {"must-understand", &cc->must_understand, true},
        {"immutable", &cc->immutable, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (!str_eq_nocase(d->name, str_of(flags[i].name)))
            continue;
        if (!flags[i].permits || (!d->bad && !d->has_argument))
            *flags[i].flag = true;
        return true;
    }
    return false;
}

/* RFC 9111 section 4.2.1: of several values the first counts, and freshness that is not a number
 * means stale: 0. What would only extend or loosen freshness is not there when it is malformed. */
static void http_cc_time(struct http_cc *cc, const struct http_directive *d)
{
    const struct {
        const char *name;
        int64_t *value;
        int64_t malformed;
    } times[] = {
        {"max-age", &cc->max_age_s, 0},
        {"s-maxage", &cc->s_maxage_s, 0},
        {"min-fresh", &cc->min_fresh_s, HTTP_CACHE_NONE},
        {"max-stale", &cc->max_stale_s, HTTP_CACHE_NONE},
        {"stale-while-revalidate", &cc->stale_while_revalidate_s, HTTP_CACHE_NONE},
        {"stale-if-error", &cc->stale_if_error_s, HTTP_CACHE_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        if (!str_eq_nocase(d->name, str_of(times[i].name)) || *times[i].value != HTTP_CACHE_NONE)
            continue;
        int64_t value = d->bad ? HTTP_CACHE_NONE : http__delta(d->argument);
        if (times[i].value == &cc->max_stale_s && !d->has_argument && !d->bad)
            value = INT64_MAX; /* section 5.2.1.2: of any age */
        *times[i].value = value == HTTP_CACHE_NONE ? times[i].malformed : value;
    }
}

static void http_cc_take(struct http_cc *cc, const struct http_directive *d)
{
    cc->any = true;
    if (!http_cc_flag(cc, d))
        http_cc_time(cc, d);
}

/* --- Cache-Control: RFC 9111 section 5.2 ------------------------------------------------------ */

/* A quoted string at the front of s: its inside, with backslashes as they are (no directive of ours
 * needs one). False: it is not closed. */
static bool http_cc_quoted(struct str s, struct str *ret_inside, struct str *ret_rest)
{
    for (size_t i = 1; i < s.size; i++) {
        if (s.data[i] == '\\') {
            i++;
        } else if (s.data[i] == '"') {
            *ret_inside = (struct str){s.data + 1, i - 1};
            *ret_rest = str_skip(s, i + 1);
            return true;
        }
    }
    return false;
}

static struct str http_cc_word(struct str *s)
{
    size_t n = 0;
    while (n < s->size && http__is_token(s->data[n]))
        n++;
    struct str word = {s->data, n};
    *s = str_skip(*s, n);
    return word;
}

/* To behind the next comma that is not quoted; whether there was more than white space. False in
 * *ret_closed: a quote is not closed. */
static bool http_cc_skip(struct str *s, bool *ret_closed)
{
    bool junk = false;
    while (s->size > 0 && s->data[0] != ',') {
        struct str inside;
        char c = s->data[0];
        if (c == '"') {
            if (!http_cc_quoted(*s, &inside, s)) {
                *ret_closed = false;
                *s = STR_NONE;
                return true;
            }
            junk = true;
            continue;
        }
        junk = junk || (c != ' ' && c != '\t');
        *s = str_skip(*s, 1);
    }
    if (s->size > 0)
        *s = str_skip(*s, 1);
    return junk;
}

/* One field line. A quote that is not closed hides what stands behind it, so such a line counts as
 * no-store: nobody can tell what it wanted to say. */
static void http_cc_line(struct str s, struct http_cc *cc)
{
    bool closed = true;
    while ((s = str_trim(s)).size > 0) {
        struct http_directive d = {.name = http_cc_word(&s)};
        if (s.size > 0 && s.data[0] == '=') {
            d.has_argument = true;
            s = str_skip(s, 1);
            if (s.size > 0 && s.data[0] == '"') {
                if (!http_cc_quoted(s, &d.argument, &s)) {
                    closed = false;
                    s = STR_NONE;
                }
            } else {
                d.argument = http_cc_word(&s);
            }
        }
        d.bad = http_cc_skip(&s, &closed) || !closed;
        if (d.name.size > 0)
            http_cc_take(cc, &d);
    }
    if (!closed)
        cc->no_store = cc->any = true;
}

/* --- CDN-Cache-Control: RFC 9213 section 2.1, a dictionary ------------------------------------ */

/* Members of the wrong type are not coerced: a lifetime that is no integer means stale. */
static void http_cc_member(void *arg, const struct http_sf_member *m)
{
    if (m->type == HTTP_SF_FALSE)
        return;
    struct http_directive d = {.name = m->key};
    if (m->type == HTTP_SF_INTEGER) {
        d.has_argument = true;
        d.argument = m->text;
    } else if (m->type != HTTP_SF_TRUE) {
        d.has_argument = d.bad = true;
    }
    http_cc_take(arg, &d);
}

static void http_cc_init(struct http_cc *cc)
{
    *cc = (struct http_cc){
        .max_age_s = HTTP_CACHE_NONE,
        .s_maxage_s = HTTP_CACHE_NONE,
        .min_fresh_s = HTTP_CACHE_NONE,
        .max_stale_s = HTTP_CACHE_NONE,
        .stale_while_revalidate_s = HTTP_CACHE_NONE,
        .stale_if_error_s = HTTP_CACHE_NONE,
    };
}

void http_cc_read(const struct fields *f, struct str name, struct http_cc *ret)
{
    http_cc_init(ret);
    if (!str_eq(name, STR("cache-control")) && !str_eq(name, STR("pragma"))) {
        if (!http_sf_dictionary(f, name, http_cc_member, ret))
            http_cc_init(ret); /* RFC 9213 section 2.2: an invalid one is ignored */
        return;
    }
    for (unsigned i = 0; i < f->count; i++)
        if (str_eq(f->at[i].name, name))
            http_cc_line(f->at[i].value, ret);
}
