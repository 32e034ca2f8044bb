/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/text.h"

/* Continuation bytes behind the first; and the least and the greatest that the second may be. */
static unsigned text_follows(uint8_t first, uint8_t *ret_least, uint8_t *ret_most)
{
    *ret_least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80; /* shorter forms exist */
    *ret_most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;  /* surrogates, the end */
    if (first >= 0xc2 && first <= 0xdf)
        return 1;
    if (first >= 0xe0 && first <= 0xef)
        return 2;
    return first >= 0xf0 && first <= 0xf4 ? 3 : 0;
}

bool text_is_utf8(struct str s)
{
    size_t i = 0;
    while (i < s.size) {
        uint8_t least, most;
        uint8_t first = (uint8_t)s.data[i++];
        if (first == 0)
            return false;
        if (first < 0x80)
            continue;
        unsigned more = text_follows(first, &least, &most);
        if (more == 0 || more > s.size - i)
            return false;
        for (unsigned k = 0; k < more; k++, i++) {
            uint8_t next = (uint8_t)s.data[i];
            if (next < (k == 0 ? least : 0x80) || next > (k == 0 ? most : 0xbf))
                return false;
        }
    }
    return true;
}

/* Brackets outside texts; whether they match is the parser's business. */
static unsigned text_depth(struct str s)
{
    unsigned depth = 0, deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
        deepest = MAX(deepest, depth);
    }
    return deepest;
}

int text_read_json(struct str body, size_t size_max, json_t **ret, struct fault *fault)
{
    json_error_t error;
    if (body.size > size_max)
        return fault_set(fault, 413, "BODY_TOO_LARGE", "the body is larger than %zu bytes",
                         size_max);
    if (body.size == 0)
        return fault_set(fault, 400, "JSON_INVALID", "the body is empty, JSON is needed");
    if (!text_is_utf8(body)) /* the parser lets a zero byte behind a number pass */
        return fault_set(fault, 400, "JSON_INVALID", "the body is not UTF-8, or has a zero byte");
    if (text_depth(body) > TEXT_JSON_DEPTH_MAX)
        return fault_set(fault, 400, "JSON_INVALID", "the body is nested deeper than %d levels",
                         TEXT_JSON_DEPTH_MAX);
    json_t *value = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL)
        return fault_set(fault, 400, "JSON_INVALID", "the body is not JSON: line %d, column %d",
                         error.line, error.column);
    *ret = value;
    return 0;
}
