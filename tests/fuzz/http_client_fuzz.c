/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_client.h"
#include "fuzz.h"

/* Each line of the input is a field's value. Nobody but a proxy's word moves the client. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct addr_net proxies[1];
    struct addr peer, stranger;
    ASSERT(addr_net_parse(STR("10.0.0.0/8"), &proxies[0]) == 0);
    ASSERT(addr_parse(STR("10.0.0.1"), &peer) == 0);
    ASSERT(addr_parse(STR("192.0.2.1"), &stranger) == 0);
    struct str lines[4];
    unsigned count = 0;
    struct str rest = fuzz_str(data, size);
    while (rest.data != NULL && count < ARRAY_LEN(lines))
        lines[count++] = str_cut(rest, '\n', &rest);
    struct addr client = http_client_of(stranger, proxies, 1, lines, count);
    ASSERT(memcmp(&client, &stranger, sizeof client) == 0);
    client = http_client_of(peer, proxies, 1, lines, count);
    /* Told once more by a proxy before it, it is the same. */
    char text[ADDR_TEXT_SIZE];
    addr_format(&client, text);
    struct str line = str_of(text);
    struct addr again = http_client_of(peer, proxies, 1, &line, 1);
    ASSERT(memcmp(&client, &again, sizeof client) == 0);
    return 0;
}
