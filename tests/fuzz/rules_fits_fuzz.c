/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/rules.h"
#include "fuzz.h"

/* A Referer or an Origin that fits has the host in it, in the place of a host. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = fuzz_str(data, size);
    bool exact = rules_referer_fits(STR("example.org"), text);
    bool below = rules_referer_fits(STR("*.example.org"), text);
    ASSERT(!(exact && below));
    ASSERT(!exact || text.size >= strlen("http://example.org"));
    ASSERT(!below || text.size > strlen("http://.example.org"));
    ASSERT(rules_referer_fits(STR("none"), text) == (text.size == 0));
    if (rules_origin_fits(STR("https://*.example.org"), text)) {
        struct str tail = str_skip(text, text.size - strlen(".example.org"));
        ASSERT(str_eq_nocase(tail, STR(".example.org")));
        ASSERT(str_eq_nocase((struct str){text.data, strlen("https://")}, STR("https://")));
    }
    return 0;
}
