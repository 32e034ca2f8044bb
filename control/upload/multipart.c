/* SPDX-License-Identifier: Apache-2.0 */
#include "control/upload/multipart.h"
#include <errno.h>
#include <string.h>

enum {
    MP_BEGIN, /* the first boundary: it must be the first thing */
    MP_AFTER, /* behind a boundary: CR LF, or -- */
    MP_AFTER_CR,
    MP_AFTER_DASH,
    MP_HEAD,
    MP_DATA,
    MP_END, /* at most one CR LF follows */
    MP_END_CR,
    MP_OVER,
};

/* --- parameters: ;name=token;name="text" ------------------------------------------------------ */

static bool multipart_is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* A quoted text from behind its first quote; \" is a quote. *rest is behind the last one. */
static int multipart_unquote(struct str *rest, char *out, size_t size)
{
    size_t used = 0;
    size_t i = 0;
    for (; i < rest->size && rest->data[i] != '"'; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->size &&
            (rest->data[i + 1] == '"' || rest->data[i + 1] == '\\'))
            i++;
        if (used + 1 >= size)
            return -EBADMSG;
        out[used++] = rest->data[i];
    }
    if (i == rest->size)
        return -EBADMSG;
    out[used] = '\0';
    *rest = str_skip(*rest, i + 1);
    return 0;
}

/* The next parameter; -ENODATA: there is none. */
static int multipart_param(struct str *rest, struct str *ret_name, char *out, size_t size)
{
    struct str at = str_trim(*rest);
    size_t n = 0;
    if (at.size == 0)
        return -ENODATA;
    if (at.data[0] != ';')
        return -EBADMSG;
    at = str_trim(str_skip(at, 1));
    while (n < at.size && multipart_is_token(at.data[n]))
        n++;
    *ret_name = (struct str){at.data, n};
    at = str_skip(at, n);
    if (n == 0 || at.size < 2 || at.data[0] != '=')
        return -EBADMSG;
    at = str_skip(at, 1);
    if (at.data[0] == '"') {
        at = str_skip(at, 1);
        int r = multipart_unquote(&at, out, size);
        *rest = at;
        return r;
    }
    for (n = 0; n < at.size && multipart_is_token(at.data[n]); n++)
        continue;
    if (n == 0)
        return -EBADMSG;
    *rest = str_skip(at, n);
    return str_copy((struct str){at.data, n}, out, size) < 0 ? -EBADMSG : 0;
}

static bool multipart_is_boundary(struct str b)
{
    for (size_t i = 0; i < b.size; i++)
        if (!(multipart_is_token(b.data[i]) || strchr("():,/=? ", b.data[i]) != NULL) ||
            b.data[i] == '\0')
            return false;
    return b.size > 0 && b.size <= MULTIPART_BOUNDARY_MAX && b.data[b.size - 1] != ' ';
}

int multipart_init(struct multipart *m, struct str type)
{
    char value[MULTIPART_FILE_MAX];
    char boundary[MULTIPART_FILE_MAX] = "";
    struct str name;
    size_t n = 0;
    while (n < type.size && type.data[n] != ';')
        n++;
    struct str rest = str_skip(type, n);
    if (!str_eq_nocase(str_trim((struct str){type.data, n}), STR("multipart/form-data")))
        return -EINVAL;
    int r;
    while ((r = multipart_param(&rest, &name, value, sizeof value)) == 0) {
        if (!str_eq_nocase(name, STR("boundary")))
            continue;
        if (boundary[0] != '\0')
            return -EINVAL;
        memcpy(boundary, value, sizeof value);
    }
    struct str b = str_of(boundary);
    if (r != -ENODATA || !multipart_is_boundary(b))
        return -EINVAL;
    memset(m, 0, sizeof *m);
    m->magic = MULTIPART_MAGIC;
    m->state = MP_BEGIN;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, b.data, b.size);
    m->delimiter_size = 4 + b.size;
    m->matched = 2; /* as if a line had just ended */
    return 0;
}

/* --- a part's head ---------------------------------------------------------------------------- */

static int multipart_bad(struct multipart *m, const char *why)
{
    m->why = why;
    return -EBADMSG;
}

static int multipart_disposition(struct multipart *m, struct str value)
{
    struct str name;
    char text[MULTIPART_FILE_MAX];
    size_t n = 0;
    while (n < value.size && multipart_is_token(value.data[n]))
        n++;
    if (!str_eq_nocase((struct str){value.data, n}, STR("form-data")))
        return multipart_bad(m, "a part is not form-data");
    struct str rest = str_skip(value, n);
    int r;
    while ((r = multipart_param(&rest, &name, text, sizeof text)) == 0) {
        if (str_eq_nocase(name, STR("name"))) {
            if (m->name[0] != '\0' || str_copy(str_of(text), m->name, sizeof m->name) < 0)
                return multipart_bad(m, "a part's name is too long, or there twice");
        } else if (str_eq_nocase(name, STR("filename"))) {
            if (m->is_file)
                return multipart_bad(m, "a part has two names of a file");
            m->is_file = true;
            memcpy(m->filename, text, sizeof text);
        }
    }
    return r == -ENODATA ? 0 : multipart_bad(m, "a part's Content-Disposition cannot be read");
}

static int multipart_line(struct multipart *m, struct str line, bool *seen)
{
    struct str value;
    struct str key = str_cut(line, ':', &value);
    for (size_t i = 0; i < line.size; i++)
        if (((unsigned char)line.data[i] < ' ' && line.data[i] != '\t') || line.data[i] == 0x7f)
            return multipart_bad(m, "a part's head has control characters");
    if (value.data == NULL || key.size == 0 || line.data[0] == ' ' || line.data[0] == '\t')
        return multipart_bad(m, "a line of a part's head has no name");
    value = str_trim(value);
    if (str_eq_nocase(key, STR("content-transfer-encoding")) &&
        !str_eq_nocase(value, STR("binary")) && !str_eq_nocase(value, STR("8bit")) &&
        !str_eq_nocase(value, STR("7bit")))
        return multipart_bad(m, "a part is coded, which no form does");
    if (!str_eq_nocase(key, STR("content-disposition")))
        return 0;
    if (*seen)
        return multipart_bad(m, "a part has two Content-Dispositions");
    *seen = true;
    return multipart_disposition(m, value);
}

/* m->head has the lines, each with its CR LF. */
static int multipart_head(struct multipart *m)
{
    struct str rest = {m->head, m->head_size};
    bool seen = false;
    int r = 0;
    m->name[0] = m->filename[0] = '\0';
    m->is_file = false;
    while (r == 0 && rest.size > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        ASSERT(line.size > 0);
        line.size--; /* its CR, which was looked at as it came */
        r = multipart_line(m, line, &seen);
    }
    if (r == 0 && m->name[0] == '\0')
        r = multipart_bad(m, "a part has no name");
    return r;
}

/* Bytes of a head; 1: it is whole. */
static int multipart_take_head(struct multipart *m, const uint8_t *data, size_t size, size_t *used)
{
    while (*used < size) {
        char c = (char)data[(*used)++];
        bool after_cr = m->head_size > 0 && m->head[m->head_size - 1] == '\r';
        if ((c == '\n') != after_cr)
            return multipart_bad(m, "a line of a part's head does not end with CR LF");
        if (m->head_size == sizeof m->head)
            return multipart_bad(m, "a part's head is too long");
        m->head[m->head_size++] = c;
        bool is_line = c == '\n' && (m->head_size == 2 || m->head[m->head_size - 3] == '\n');
        if (is_line) { /* an empty one */
            m->head_size -= 2;
            return 1;
        }
    }
    return 0;
}

/* --- the body --------------------------------------------------------------------------------- */

static int multipart_after(struct multipart *m, char c)
{
    switch (m->state) {
    case MP_AFTER:
        m->state = c == '\r' ? MP_AFTER_CR : MP_AFTER_DASH;
        return c == '\r' || c == '-' ? 0 : multipart_bad(m, "something stands behind a boundary");
    case MP_AFTER_CR:
        m->state = MP_HEAD;
        m->head_size = 0;
        return c == '\n' ? 0 : multipart_bad(m, "a boundary's line does not end with CR LF");
    case MP_AFTER_DASH:
        m->state = MP_END;
        return c == '-' ? 0 : multipart_bad(m, "something stands behind a boundary");
    case MP_END:
        m->state = MP_END_CR;
        return c == '\r' ? 0 : multipart_bad(m, "something stands behind the last boundary");
    case MP_END_CR:
        m->state = MP_OVER;
        return c == '\n' ? 0 : multipart_bad(m, "something stands behind the last boundary");
    default:
        return multipart_bad(m, "something stands behind the last boundary");
    }
}

/* Matches the delimiter further. 1: it is whole; 0: all is used; -EAGAIN: what matched is data. */
static int multipart_match(struct multipart *m, const uint8_t *data, size_t size, size_t *used)
{
    while (*used < size && m->matched < m->delimiter_size) {
        if ((char)data[*used] != m->delimiter[m->matched])
            return -EAGAIN;
        m->matched++;
        (*used)++;
    }
    if (m->matched < m->delimiter_size)
        return 0;
    m->matched = 0;
    m->state = MP_AFTER;
    return 1;
}

static int multipart_data(struct multipart *m, const uint8_t *data, size_t size, size_t *used)
{
    if (m->matched > 0) {
        int r = multipart_match(m, data, size, used);
        if (r == 1)
            return MULTIPART_PART_END;
        if (r == 0)
            return MULTIPART_MORE;
        m->data = (struct str){m->delimiter, m->matched}; /* no CR but its first */
        m->matched = 0;
        return MULTIPART_DATA;
    }
    const uint8_t *cr = memchr(data + *used, '\r', size - *used);
    size_t run = cr != NULL ? (size_t)(cr - data) - *used : size - *used;
    if (run == 0) {
        m->matched = 1;
        (*used)++;
        return multipart_data(m, data, size, used);
    }
    m->data = (struct str){(const char *)data + *used, run};
    *used += run;
    return MULTIPART_DATA;
}

static int multipart_step(struct multipart *m, const uint8_t *data, size_t size, size_t *used)
{
    int r;
    switch (m->state) {
    case MP_BEGIN:
        r = multipart_match(m, data, size, used);
        return r == -EAGAIN ? multipart_bad(m, "the body does not begin with its boundary") : 0;
    case MP_HEAD:
        r = multipart_take_head(m, data, size, used);
        if (r == 1)
            r = multipart_head(m);
        else
            return r;
        m->state = MP_DATA;
        return r < 0 ? r : MULTIPART_PART;
    case MP_DATA:
        return multipart_data(m, data, size, used);
    default:
        r = multipart_after(m, (char)data[(*used)++]);
        return r == 0 && m->state == MP_END ? MULTIPART_END : r;
    }
}

int multipart_next(struct multipart *m, const uint8_t *data, size_t size, size_t *ret_used)
{
    ASSERT(m->magic == MULTIPART_MAGIC);
    int r = MULTIPART_MORE;
    *ret_used = 0;
    while (r == MULTIPART_MORE && *ret_used < size)
        r = multipart_step(m, data, size, ret_used);
    return r;
}

bool multipart_is_end(const struct multipart *m)
{
    return m->state == MP_END || m->state == MP_OVER;
}
