/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/prefetch_next.h"
#include <errno.h>

static bool next_is_sendable(struct str s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f || s.data[i] == '#')
            return false;
    return s.size > 0 && s.size <= PREFETCH_TARGET_MAX && s.data[0] == '/';
}

static struct str next_path(struct str target)
{
    struct str rest;
    return str_cut(target, '?', &rest);
}

/* With its last '/'. */
static struct str next_folder(struct str path)
{
    while (path.size > 0 && path.data[path.size - 1] != '/')
        path.size--;
    return path;
}

/* RFC 3986 section 5.2.4, from the byte `from` of out on. -EINVAL: above the root. */
static int next_remove_dots(struct str path, struct buf *out, size_t from)
{
    while (path.size > 0) {
        struct str rest;
        struct str part = str_cut(str_skip(path, 1), '/', &rest);
        bool last = part.size + 1 == path.size;
        if (str_eq(part, STR(".."))) {
            if (out->size == from)
                return -EINVAL;
            while (out->size > from && out->data[--out->size] != '/')
                ;
            if (last)
                buf_putc(out, '/');
        } else if (str_eq(part, STR("."))) {
            if (last)
                buf_putc(out, '/');
        } else {
            buf_putc(out, '/');
            buf_put_str(out, part);
        }
        path = str_skip(path, part.size + 1);
    }
    return 0;
}

/* Behind "scheme:", if it has one. */
static bool next_has_scheme(struct str s)
{
    for (size_t i = 0; i < s.size && s.data[i] != '/' && s.data[i] != '?'; i++)
        if (s.data[i] == ':')
            return true;
    return false;
}

int prefetch_resolve(struct str base, struct str reference, struct buf *out)
{
    struct str rest;
    reference = str_cut(reference, '#', &rest);
    if (reference.size == 0 || next_has_scheme(reference) || str_starts(reference, STR("//")))
        return -EINVAL;
    size_t from = out->size;
    struct str path = next_path(reference);
    CLEAN_BUF struct buf whole = BUF_EMPTY;
    if (path.size == 0)
        buf_put_str(&whole, next_path(base));
    else if (path.data[0] != '/')
        buf_put_str(&whole, next_folder(next_path(base)));
    buf_put_str(&whole, path);
    int r = buf_error(&whole);
    if (r < 0)
        return r;
    if (!next_is_sendable(buf_str(&whole)))
        return -EINVAL;
    r = next_remove_dots(buf_str(&whole), out, from);
    if (r == 0) {
        buf_put_str(out, str_skip(reference, path.size));
        r = buf_error(out);
    }
    if (r == 0 && !next_is_sendable(str_skip(buf_str(out), from)))
        r = -EINVAL;
    if (r < 0 && buf_error(out) == 0)
        out->size = from;
    return r;
}

static struct str next_line(struct str *text)
{
    struct str line = str_cut(*text, '\n', text);
    while (line.size > 0 && (line.data[line.size - 1] == '\r' || line.data[line.size - 1] == ' '))
        line.size--;
    return line;
}

/* The name behind the last '/', with its query. */
static struct str next_name(struct str target)
{
    return str_skip(target, next_folder(next_path(target)).size);
}

int prefetch_from_playlist(struct str text, struct str base, struct str target, unsigned count,
                           void (*each)(void *arg, struct str target), void *arg)
{
    if (!str_starts(text, STR("#EXTM3U")))
        return -EINVAL;
    struct str name = next_name(target);
    bool found = false;
    CLEAN_BUF struct buf one = BUF_EMPTY;
    while (text.size > 0 && count > 0) {
        struct str line = next_line(&text);
        if (line.size == 0 || line.data[0] == '#')
            continue;
        if (!found && !str_ends(line, name))
            continue; /* most lines: without resolving them */
        buf_clear(&one);
        int r = prefetch_resolve(base, line, &one);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            continue;
        bool same = str_eq(buf_str(&one), target); /* byte ranges of one file are, too */
        if (found && !same) {
            each(arg, buf_str(&one));
            count--;
        }
        found = found || same;
    }
    return found ? 0 : -ENOENT;
}

int prefetch_by_number(struct str target, struct buf *out)
{
    struct str path = next_path(target);
    size_t folder = next_folder(path).size;
    size_t end = path.size;
    while (end > folder && path.data[end - 1] != '.')
        end--;
    if (end <= folder + 1)
        return -EINVAL; /* without an ending */
    end--;
    while (end > folder && (path.data[end - 1] < '0' || path.data[end - 1] > '9'))
        end--;
    size_t from = end;
    while (from > folder && path.data[from - 1] >= '0' && path.data[from - 1] <= '9')
        from--;
    uint64_t number;
    if (end == from || end - from > 18 ||
        str_to_u64((struct str){path.data + from, end - from}, &number) < 0)
        return -EINVAL;
    buf_put(out, target.data, from);
    buf_printf(out, "%0*llu", (int)(end - from), (unsigned long long)number + 1);
    buf_put_str(out, str_skip(target, end));
    return buf_error(out);
}

static int next_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int prefetch_decode(struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '%') {
            buf_putc(out, text.data[i]);
            continue;
        }
        int high = text.size - i > 2 ? next_hex(text.data[i + 1]) : -1;
        int low = text.size - i > 2 ? next_hex(text.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return -EINVAL;
        buf_putc(out, (char)(high << 4 | low));
        i += 2;
    }
    return buf_error(out);
}

enum prefetch_kind prefetch_kind_of(struct str target)
{
    static const char *const segments[] = {".m4s",  ".mp4",  ".m4v", ".m4a",  ".cmfv",
                                           ".cmfa", ".cmft", ".ts",  ".aac",  ".mp3",
                                           ".ac3",  ".ec3",  ".vtt", ".webm", ".m4f"};
    struct str path = next_path(target);
    if (str_ends(path, STR(".m3u8")))
        return PREFETCH_PLAYLIST;
    for (size_t i = 0; i < ARRAY_LEN(segments); i++)
        if (str_ends(path, str_of(segments[i])))
            return PREFETCH_SEGMENT;
    return PREFETCH_NEITHER;
}
