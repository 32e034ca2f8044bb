/* SPDX-License-Identifier: Apache-2.0 */
/* The head of an answer, line by line: kept as fields, and refused where its parts contradict each
 * other: what two readers would understand differently is nothing to put into a cache. */
#include <errno.h>
#include "fetch/fetch_priv.h"

void fetch__lines_clear(struct fetch_lines *l)
{
    buf_clear(&l->text);
    l->count = 0;
    l->is_coded = false;
    l->size = UINT64_MAX;
}

/* RFC 9110 section 5.6.2 */
static bool fetch_is_token_byte(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool fetch__field_ok(struct str name, struct str value)
{
    for (size_t i = 0; i < name.size; i++)
        if (!fetch_is_token_byte(name.data[i]))
            return false;
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return name.size > 0;
}

static int fetch_lines_put(struct fetch_lines *l, struct str s)
{
    if (s.size > FETCH_FIELDS_SIZE_MAX - MIN(l->text.size, (size_t)FETCH_FIELDS_SIZE_MAX))
        return -EBADMSG;
    buf_put(&l->text, s.data, s.size);
    return buf_error(&l->text);
}

/* A line that begins with a blank goes on with the one before (RFC 9112 section 5.2). */
static int fetch_lines_fold(struct fetch_lines *l, struct str line)
{
    struct str value = str_trim(line);
    if (l->count == 0 || !fetch__field_ok(STR("x"), value))
        return -EBADMSG;
    if (value.size == 0)
        return 0;
    size_t before = l->text.size;
    int r = fetch_lines_put(l, STR(" "));
    if (r == 0)
        r = fetch_lines_put(l, value);
    l->at[l->count - 1].value_size += (uint32_t)(l->text.size - before);
    return r;
}

/* RFC 9112 section 6.3: several lengths must be one, and a length beside chunks is a trick. */
static int fetch_lines_frame(struct fetch_lines *l, struct str name, struct str value)
{
    if (str_eq(name, STR("transfer-encoding"))) {
        l->is_coded = true;
    } else if (str_eq(name, STR("content-length"))) {
        while (value.data != NULL) {
            uint64_t size;
            struct str one = str_trim(str_cut(value, ',', &value));
            if (str_to_u64(one, &size) < 0 || size > INT64_MAX)
                return -EBADMSG;
            if (l->size != UINT64_MAX && l->size != size)
                return -EBADMSG;
            l->size = size;
        }
        if (l->size == UINT64_MAX)
            return -EBADMSG;
    }
    return l->is_coded && l->size != UINT64_MAX ? -EBADMSG : 0;
}

int fetch__lines_take(struct fetch_lines *l, struct str line)
{
    if (line.size > 0 && (line.data[0] == ' ' || line.data[0] == '\t'))
        return fetch_lines_fold(l, line);
    struct str value;
    struct str name = str_trim(str_cut(line, ':', &value)); /* a blank before ':' goes */
    if (value.data == NULL || l->count == FETCH_FIELDS_MAX)
        return -EBADMSG;
    value = str_trim(value);
    if (!fetch__field_ok(name, value))
        return -EBADMSG;
    size_t at = l->text.size;
    int r = fetch_lines_put(l, name);
    if (r == 0)
        r = fetch_lines_put(l, value);
    if (r < 0)
        return r;
    char *text = l->text.data + at;
    for (size_t i = 0; i < name.size; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] - 'A' + 'a');
    l->at[l->count++] = (struct fetch_line){(uint32_t)name.size, (uint32_t)value.size};
    return fetch_lines_frame(l, (struct str){text, name.size}, value);
}

struct fields fetch__lines_fields(const struct fetch_lines *l, struct field *at)
{
    const char *from = l->text.data;
    for (unsigned i = 0; i < l->count; i++) {
        const struct fetch_line *line = &l->at[i];
        at[i].name = (struct str){from, line->name_size};
        at[i].value = (struct str){from + line->name_size, line->value_size};
        from += line->name_size + line->value_size;
    }
    return (struct fields){at, l->count};
}
