/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include <errno.h>
#include <openssl/evp.h>
#include <regex.h>
#include "base/enc.h"

#define TOKEN_URI_MAX       8192
#define TOKEN_CONTAINER_MAX 1024 /* a regular expression grows when compiled */

/* The asset stands between the two, each dot behind a backslash. */
#define TOKEN_ASSET_PREFIX "regex:[^:]+://[^/]+/(v/"
#define TOKEN_ASSET_SUFFIX "/[^?]*|b/[0-9a-f]{32}\\.[0-9a-z]+)(\\?.*)?"

void token_asset_container(struct str asset, struct buf *out)
{
    ASSERT(out != NULL);
    buf_puts(out, TOKEN_ASSET_PREFIX);
    for (size_t i = 0; i < asset.size; i++) {
        if (strchr(".[]{}()*+?^$|\\", asset.data[i]) != NULL)
            buf_putc(out, '\\');
        buf_putc(out, asset.data[i]);
    }
    buf_puts(out, TOKEN_ASSET_SUFFIX);
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

/* RFC 9246: a POSIX extended regular expression that matches the whole URI. Matches are leftmost
 * and longest, so if any match is the whole, the first is. */
static int token_regex_covers(struct str expression, struct str uri)
{
    char pattern[TOKEN_CONTAINER_MAX];
    char text[TOKEN_URI_MAX];
    if (memchr(expression.data, 0, expression.size) != NULL ||
        str_copy(expression, pattern, sizeof pattern) < 0 || str_copy(uri, text, sizeof text) < 0)
        return -EACCES;
    regex_t re;
    int e = regcomp(&re, pattern, REG_EXTENDED);
    if (e != 0)
        return e == REG_ESPACE ? -ENOMEM : -EACCES;
    regmatch_t match;
    e = regexec(&re, text, 1, &match, 0);
    regfree(&re);
    if (e == REG_ESPACE)
        return -ENOMEM;
    return e == 0 && match.rm_so == 0 && (size_t)match.rm_eo == uri.size ? 0 : -EACCES;
}

/* RFC 9246: a hash of the URI in the form of RFC 6920 section 5, "sha-256;BASE64URL". */
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

static bool token_is_dot(struct str s, size_t at, size_t *ret_size)
{
    struct str rest = str_skip(s, at);
    *ret_size = str_starts(rest, STR(".")) ? 1 : 3;
    return str_starts(rest, STR(".")) ||
           (rest.size >= 3 && str_eq_nocase((struct str){rest.data, 3}, STR("%2e")));
}

/* "." and ".." as path segments, in any spelling: a server behind us may resolve them, and then the
 * URI is not the one that the container was asked about. */
static bool token_has_dots(struct str uri)
{
    struct str query;
    struct str path = str_cut(uri, '?', &query);
    while (path.data != NULL) {
        struct str segment = str_cut(path, '/', &path);
        size_t at = 0;
        size_t size = 0;
        unsigned dots = 0;
        while (at < segment.size && dots < 3 && token_is_dot(segment, at, &size)) {
            at += size;
            dots++;
        }
        if (at == segment.size && (dots == 1 || dots == 2))
            return true;
    }
    return false;
}

int token_covers(const struct token_claims *claims, struct str uri)
{
    ASSERT(claims != NULL);
    struct str container = str_of(claims->container);
    if (uri.size == 0 || uri.size >= TOKEN_URI_MAX || memchr(uri.data, 0, uri.size) != NULL ||
        token_has_dots(uri))
        return -EACCES;
    struct str asset;
    if (token_asset_of(container, &asset))
        return token_asset_covers(asset, uri) ? 0 : -EACCES;
    if (str_starts(container, STR("regex:")))
        return token_regex_covers(str_skip(container, 6), uri);
    if (str_starts(container, STR("hash:")))
        return token_hash_covers(str_skip(container, 5), uri);
    return -EACCES;
}

/* ---- extract ---- */

#define TOKEN_PACKAGE "URISigningPackage="

/* Keeps the first package and counts all. */
static void token_found(struct str value, struct str *first, unsigned *count)
{
    if ((*count)++ == 0)
        *first = value;
}

/* One path segment without its package parameters: "v;x=1;URISigningPackage=T" -> "v;x=1". */
static void token_strip_segment(struct str segment, struct str *first, unsigned *count,
                                struct buf *out)
{
    struct str rest;
    buf_put_str(out, str_cut(segment, ';', &rest));
    while (rest.data != NULL) {
        struct str parameter = str_cut(rest, ';', &rest);
        if (str_starts(parameter, STR(TOKEN_PACKAGE))) {
            token_found(str_skip(parameter, sizeof TOKEN_PACKAGE - 1), first, count);
        } else {
            buf_putc(out, ';');
            buf_put_str(out, parameter);
        }
    }
}

static void token_strip_path(struct str path, struct str *first, unsigned *count, struct buf *out)
{
    bool is_first = true;
    bool has_slash = false; /* a slash stands before this segment in path */
    while (is_first || path.data != NULL) {
        size_t before = out->size;
        unsigned found = *count;
        struct str segment = str_cut(path, '/', &path);
        if (has_slash)
            buf_putc(out, '/');
        size_t begin = out->size;
        token_strip_segment(segment, first, count, out);
        /* Nothing but the package: the segment goes, and the slash before it. */
        if (*count > found && out->size == begin && buf_error(out) == 0) {
            out->size = before;
            if (out->data != NULL)
                out->data[before] = 0;
        }
        has_slash = true;
        is_first = false;
    }
}

static void token_find_query(struct str query, struct str *first, unsigned *count)
{
    while (query.data != NULL) {
        struct str parameter = str_cut(query, '&', &query);
        if (str_starts(parameter, STR(TOKEN_PACKAGE)))
            token_found(str_skip(parameter, sizeof TOKEN_PACKAGE - 1), first, count);
    }
}

void token_strip_query(struct str query, struct buf *out)
{
    bool any = false;
    while (query.data != NULL) {
        struct str parameter = str_cut(query, '&', &query);
        if (str_starts(parameter, STR(TOKEN_PACKAGE)))
            continue;
        if (any)
            buf_putc(out, '&');
        buf_put_str(out, parameter);
        any = true;
    }
}

static void token_find_cookie(struct str cookie, struct str *first, unsigned *count)
{
    while (cookie.data != NULL) {
        struct str pair = str_trim(str_cut(cookie, ';', &cookie));
        if (!str_starts(pair, STR(TOKEN_PACKAGE)))
            continue;
        struct str value = str_skip(pair, sizeof TOKEN_PACKAGE - 1);
        if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
            value = (struct str){value.data + 1, value.size - 2}; /* RFC 6265 section 4.1.1 */
        token_found(value, first, count);
    }
}

int token_extract(struct str path, struct str query, struct str cookie, struct str *ret_token,
                  struct buf *ret_path)
{
    ASSERT(ret_token != NULL);
    ASSERT(ret_path != NULL);
    struct str token = STR_NONE;
    unsigned count = 0;
    CLEAN_BUF struct buf stripped = BUF_EMPTY;
    token_strip_path(path, &token, &count, &stripped);
    if (count > 0 && stripped.size == 0)
        buf_putc(&stripped, '/');
    if (count == 0)
        token_find_query(query, &token, &count);
    if (count == 0)
        token_find_cookie(cookie, &token, &count);
    if (buf_error(&stripped) != 0)
        return buf_error(&stripped);
    if (count > 1 || (count == 1 && (token.size == 0 || token.size > TOKEN_SIZE_MAX)))
        return -EBADMSG;
    buf_put_str(ret_path, buf_str(&stripped));
    if (buf_error(ret_path) != 0)
        return buf_error(ret_path);
    if (count == 0)
        return -ENOENT;
    *ret_token = token;
    return 0;
}
