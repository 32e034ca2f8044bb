/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of upstreams' answers, a line each: what is kept of one is fields that HTTP allows, within
 * bounds, and with one length at most. */
#include "fetch/fetch_priv.h"
#include "fuzz.h"

static void check(const struct fetch_lines *l)
{
    static struct field at[FETCH_FIELDS_MAX];
    struct fields f = fetch__lines_fields(l, at);
    size_t size = 0;
    ASSERT(f.count <= FETCH_FIELDS_MAX);
    for (unsigned i = 0; i < f.count; i++) {
        ASSERT(fetch__field_ok(f.at[i].name, f.at[i].value));
        for (size_t n = 0; n < f.at[i].name.size; n++)
            ASSERT(f.at[i].name.data[n] < 'A' || f.at[i].name.data[n] > 'Z');
        size += f.at[i].name.size + f.at[i].value.size;
    }
    ASSERT(size == l->text.size && size <= FETCH_FIELDS_SIZE_MAX);
    ASSERT(l->size == UINT64_MAX || (l->size <= INT64_MAX && !l->is_coded));
    ASSERT(l->size == UINT64_MAX || fields_get(&f, STR("content-length")).data != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fetch_lines l;
    struct str rest = fuzz_str(data, size);
    fetch__lines_clear(&l);
    while (rest.size > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        if (line.size > 0 && fetch__lines_take(&l, line) < 0)
            return 0;
        check(&l);
    }
    return 0;
}
