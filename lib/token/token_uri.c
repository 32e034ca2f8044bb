/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <regex.h>
#include <stdlib.h>
#include "base/enc.h"
#include "token/token_priv.h"

#define TOKEN_URI_MAX       8192
#define TOKEN_CONTAINER_MAX 1024 /* a regular expression grows when compiled */

/* The asset stands between the two, each dot behind a backslash. */
#define TOKEN_ASSET_PREFIX "regex:[^:]+://[^/]+/(v/"
#define TOKEN_ASSET_SUFFIX "/[^?]*|b/[0-9a-f]{32}\\.[0-9a-z]+)(\\?.*)?"

static void token_put_plain(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (strchr(".[]{}()*+?^$|\\", text.data[i]) != NULL)
            buf_putc(out, '\\');
        buf_putc(out, text.data[i]);
    }
}

void token_asset_container(struct str asset, struct buf *out)
{
    ASSERT(out != NULL);
    buf_puts(out, TOKEN_ASSET_PREFIX);
    token_put_plain(asset, out);
    buf_puts(out, TOKEN_ASSET_SUFFIX);
}

void token_view_container(struct str asset, struct str view, struct buf *out)
{
    ASSERT(out != NULL);
    buf_puts(out, "regex:[^:]+://[^/]+/v/");
    token_put_plain(asset, out);
    buf_putc(out, '/');
    token_put_plain(view, out);
    buf_puts(out, "(\\?.*)?");
}

/* ---- covers ---- */

/* The asset of a container that token_asset_container made, still escaped; false for any other. */
static bool token_asset_of(struct str container, struct str *ret)
{
    struct str prefix = STR(TOKEN_ASSET_PREFIX);
    struct str suffix = STR(TOKEN_ASSET_SUFFIX);
    if (container.size < prefix.size + suffix.size || !str_starts(container, prefix) ||
        !str_ends(container, suffix))
        return false;
    struct str asset = {container.data + prefix.size, container.size - prefix.size - suffix.size};
    for (size_t i = 0; i < asset.size; i++) {
        char c = asset.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-';
        if (c == '\\' && i + 1 < asset.size && asset.data[i + 1] == '.')
            i++;
        else if (!plain)
            return false;
    }
    *ret = asset;
    return true;
}

/* Whether rest begins with the escaped asset; cuts it off. */
static bool token_skip_asset(struct str *rest, struct str asset)
{
    struct str at = *rest;
    for (size_t i = 0; i < asset.size; i++) {
        if (asset.data[i] == '\\')
            continue;
        if (at.size == 0 || at.data[0] != asset.data[i])
            return false;
        at = str_skip(at, 1);
    }
    *rest = at;
    return true;
}

/* What the asset container's expression says, by hand: every segment request asks this, and
 * compiling the expression costs more than all the rest. The tests hold the two against each other.
 */
static bool token_asset_covers(struct str asset, struct str uri)
{
    struct str rest;
    struct str scheme = str_cut(uri, ':', &rest);
    if (scheme.size == 0 || !str_starts(rest, STR("//")))
        return false;
    struct str authority = str_cut(str_skip(rest, 2), '/', &rest);
    if (authority.size == 0 || rest.data == NULL)
        return false;
    if (str_starts(rest, STR("v/"))) {
        rest = str_skip(rest, 2);
        return token_skip_asset(&rest, asset) && str_starts(rest, STR("/"));
    }
    if (!str_starts(rest, STR("b/")))
        return false;
    struct str query;
    struct str ext;
    struct str hex = str_cut(str_cut(str_skip(rest, 2), '?', &query), '.', &ext);
    bool ok = hex.size == 32 && ext.size > 0;
    for (size_t i = 0; i < hex.size && ok; i++)
        ok = (hex.data[i] >= '0' && hex.data[i] <= '9') ||
             (hex.data[i] >= 'a' && hex.data[i] <= 'f');
    for (size_t i = 0; i < ext.size && ok; i++)
        ok = (ext.data[i] >= '0' && ext.data[i] <= '9') ||
             (ext.data[i] >= 'a' && ext.data[i] <= 'z');
    return ok;
}

/* ---- containers ---- */

struct token_matcher {
    regex_t regex;
};

struct token_matcher *token__matcher_free(struct token_matcher *m)
{
    if (m == NULL)
        return NULL;
    regfree(&m->regex);
    free(m);
    return NULL;
}

static int token_compile(struct str expression, struct token_matcher **ret)
{
    char pattern[TOKEN_CONTAINER_MAX];
    if (memchr(expression.data, 0, expression.size) != NULL ||
        str_copy(expression, pattern, sizeof pattern) < 0)
        return -EACCES;
    struct token_matcher *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    int e = regcomp(&m->regex, pattern, REG_EXTENDED);
    if (e != 0) {
        free(m);
        return e == REG_ESPACE ? -ENOMEM : -EACCES;
    }
    *ret = m;
    return 0;
}

int token__matcher_new(const char *container, struct token_matcher **ret)
{
    struct str text = str_of(container);
    struct str asset;
    if (!str_starts(text, STR("regex:")) || token_asset_of(text, &asset))
        return 0;
    int r = token_compile(str_skip(text, 6), ret);
    return r == -EACCES ? 0
                        : r; /* one that is no expression covers nothing: token_covers says it */
}

/* RFC 9246 section 2.1.15.2: a POSIX extended regular expression that matches the whole URI.
 * Matches are leftmost and longest, so if any match is the whole, the first is. */
static int token_regex_covers(const struct token_claims *claims, struct str uri)
{
    struct token_matcher *own = NULL;
    if (claims->matcher == NULL) {
        int r = token_compile(str_skip(str_of(claims->container), 6), &own);
        if (r < 0)
            return r;
    }
    const struct token_matcher *m = own != NULL ? own : claims->matcher;
    regmatch_t match;
    int e = regexec(&m->regex, uri.data, 1, &match, 0);
    token__matcher_free(own);
    if (e == REG_ESPACE)
        return -ENOMEM;
    return e == 0 && match.rm_so == 0 && (size_t)match.rm_eo == uri.size ? 0 : -EACCES;
}

/* RFC 9246 section 2.1.15.1: a hash of the URI in the form of RFC 6920 section 5,
 * "sha-256;BASE64URL". */
static int token_hash_covers(struct str hash, struct str uri)
{
    struct str value;
    struct str alg = str_cut(hash, ';', &value);
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!str_eq(alg, STR("sha-256")))
        return -EACCES;
    if (EVP_Digest(uri.data, uri.size, digest, &size, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    enc_base64url(digest, size, &text);
    if (buf_error(&text) != 0)
        return -ENOMEM;
    return str_eq(buf_str(&text), value) ? 0 : -EACCES;
}

/* ---- the normal form of a URI ---- */

static bool token_is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int token_hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Percent codes of unreserved characters become these, others have upper-case digits. out is no
 * shorter than in; gives what was written. */
static size_t token_normal_codes(struct str in, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = 0;
    for (size_t i = 0; i < in.size; i++) {
        int high = in.data[i] == '%' && i + 2 < in.size ? token_hex_value(in.data[i + 1]) : -1;
        int low = high >= 0 ? token_hex_value(in.data[i + 2]) : -1;
        if (low < 0) {
            out[size++] = in.data[i];
            continue;
        }
        unsigned char c = (unsigned char)(high << 4 | low);
        i += 2;
        if (token_is_unreserved(c)) {
            out[size++] = (char)c;
        } else {
            out[size++] = '%';
            out[size++] = digits[high];
            out[size++] = digits[low];
        }
    }
    return size;
}

/* Scheme and host in lower case, no default port, no empty path. */
static size_t token_normal_start(struct str scheme, struct str authority, char *out)
{
    bool is_https = str_eq_nocase(scheme, STR("https"));
    struct str port = is_https ? STR(":443") : STR(":80");
    if (str_ends(authority, STR(":")))
        authority.size--;
    else if ((is_https || str_eq_nocase(scheme, STR("http"))) && str_ends(authority, port))
        authority.size -= port.size;
    size_t size = 0;
    for (size_t i = 0; i < scheme.size; i++)
        out[size++] = (char)tolower((unsigned char)scheme.data[i]);
    for (const char *c = "://"; *c != 0; c++)
        out[size++] = *c;
    for (size_t i = 0; i < authority.size; i++)
        out[size++] = (char)tolower((unsigned char)authority.data[i]);
    return size;
}

/* RFC 3986 sections 6.2.2 and 6.2.3; out has two bytes more than uri. What has no authority is left
 * as it is but for its codes. */
static struct str token_normal(struct str uri, char *out)
{
    size_t size = 0;
    struct str rest;
    struct str scheme = str_cut(uri, ':', &rest);
    if (scheme.size > 0 && str_starts(rest, STR("//"))) {
        rest = str_skip(rest, 2);
        size_t end = 0;
        while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?')
            end++;
        size = token_normal_start(scheme, (struct str){rest.data, end}, out);
        rest = str_skip(rest, end);
        if (!str_starts(rest, STR("/")))
            out[size++] = '/';
    } else {
        rest = uri;
    }
    size += token_normal_codes(rest, out + size);
    out[size] = 0;
    return (struct str){out, size};
}

/* "." and ".." as path segments of a URI in its normal form. */
static bool token_has_dots(struct str uri)
{
    struct str query;
    struct str path = str_cut(uri, '?', &query);
    while (path.data != NULL) {
        struct str segment = str_cut(path, '/', &path);
        if (str_eq(segment, STR(".")) || str_eq(segment, STR("..")))
            return true;
    }
    return false;
}

int token_covers(const struct token_claims *claims, struct str uri)
{
    ASSERT(claims != NULL);
    struct str container = str_of(claims->container);
    char space[TOKEN_URI_MAX + 2];
    if (uri.size == 0 || uri.size >= TOKEN_URI_MAX || memchr(uri.data, 0, uri.size) != NULL)
        return -EACCES;
    struct str normal = token_normal(uri, space);
    if (token_has_dots(normal))
        return -EACCES;
    struct str asset;
    if (token_asset_of(container, &asset))
        return token_asset_covers(asset, normal) ? 0 : -EACCES;
    if (str_starts(container, STR("regex:")))
        return token_regex_covers(claims, normal);
    if (!str_starts(container, STR("hash:")))
        return -EACCES;
    /* An issuer may have hashed another spelling: then the client must use just that one. */
    int r = token_hash_covers(str_skip(container, 5), normal);
    return r == -EACCES ? token_hash_covers(str_skip(container, 5), uri) : r;
}
