/* SPDX-License-Identifier: Apache-2.0 */
/* A base, a target, a reference, then a playlist, a line each: whatever is to be fetched ahead is a
 * path on the same host that may stand in a request line. */
#include "edge/prefetch_next.h"
#include <errno.h>
#include "fuzz.h"

static void check(void *arg, struct str target)
{
    (void)arg;
    ASSERT(target.size > 0 && target.size <= PREFETCH_TARGET_MAX && target.data[0] == '/');
    for (size_t i = 0; i < target.size; i++)
        ASSERT(target.data[i] > ' ' && target.data[i] < 0x7f && target.data[i] != '#');
    struct str query;
    struct str path = str_cut(target, '?', &query);
    while (path.size > 0) {
        struct str part = str_cut(str_skip(path, 1), '/', &query);
        ASSERT(!str_eq(part, STR("..")));
        path = str_skip(path, part.size + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEAN_BUF struct buf out = BUF_EMPTY;
    CLEAN_BUF struct buf plain = BUF_EMPTY;
    CLEAN_BUF struct buf number = BUF_EMPTY;
    struct str text = fuzz_str(data, size);
    struct str base = str_cut(text, '\n', &text);
    struct str target = str_cut(text, '\n', &text);
    struct str reference = str_cut(text, '\n', &text);
    if (prefetch_decode(reference, &plain) == 0 &&
        prefetch_resolve(base, buf_str(&plain), &out) == 0)
        check(NULL, buf_str(&out));
    int r = prefetch_from_playlist(text, base, target, 4, check, NULL);
    ASSERT(r == 0 || r == -ENOENT || r == -EINVAL);
    if (prefetch_by_number(target, &number) == 0)
        ASSERT(number.size >= target.size && number.size <= target.size + 1);
    (void)prefetch_kind_of(target);
    return 0;
}
