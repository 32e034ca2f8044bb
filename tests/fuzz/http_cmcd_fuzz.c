/* SPDX-License-Identifier: Apache-2.0 */
/* CMCD: any bytes in the header fields and the query are read within bounds, and what comes out is
 * JSON. Input: lines; the first is the query, the others are header values. */
#include "http/http_cmcd.h"
#include <jansson.h>
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"cmcd-object", "cmcd-request", "cmcd-session",
                                        "cmcd-status"};
    struct str rest = fuzz_str(data, size);
    struct str query = str_cut(rest, '\n', &rest);
    struct field at[16];
    struct fields f = {at, 0};
    while (rest.size > 0 && f.count < ARRAY_LEN(at)) {
        struct str line = str_cut(rest, '\n', &rest);
        at[f.count] = (struct field){str_of(names[f.count % ARRAY_LEN(names)]), line};
        f.count++;
    }
    struct http_cmcd c;
    CLEAN_BUF struct buf out = BUF_EMPTY;
    bool any = http_cmcd_read(&f, query, &c);
    ASSERT(any == (c.count > 0) && c.count <= HTTP_CMCD_ITEMS_MAX && c.used <= sizeof c.text);
    http_cmcd_json(&c, &out);
    ASSERT(buf_error(&out) == 0);
    json_t *read = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    ASSERT(read != NULL && json_object_size(read) == c.count);
    json_decref(read);
    return 0;
}
