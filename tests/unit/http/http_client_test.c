/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_client.h"
#include "../unit.h"

static void client_test_of(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *first, *second, *client;
    } cases[] = {
        {"192.0.2.1", NULL, NULL, "192.0.2.1"},
        /* a stranger's word counts for nothing */
        {"192.0.2.1", "203.0.113.9", NULL, "192.0.2.1"},
        {"10.0.0.1", NULL, NULL, "10.0.0.1"},
        {"10.0.0.1", "203.0.113.9", NULL, "203.0.113.9"},
        {"10.0.0.1", "203.0.113.9:4711", NULL, "203.0.113.9"},
        {"10.0.0.1", " 203.0.113.9\t", NULL, "203.0.113.9"},
        {"10.0.0.1", "2001:db8::9", NULL, "2001:db8::9"},
        {"10.0.0.1", "[2001:db8::9]:4711", NULL, "2001:db8::9"},
        {"10.0.0.1", "[2001:db8::9]", NULL, "2001:db8::9"},
        /* the client wrote the first one itself */
        {"10.0.0.1", "198.51.100.7, 203.0.113.9", NULL, "203.0.113.9"},
        {"10.0.0.1", "198.51.100.7, 203.0.113.9, 10.0.0.2", NULL, "203.0.113.9"},
        {"10.0.0.1", "198.51.100.7", "203.0.113.9, 10.0.0.2", "203.0.113.9"},
        {"10.0.0.1", "198.51.100.7, 203.0.113.9", "10.0.0.2", "203.0.113.9"},
        {"10.0.0.1", "10.0.0.3,10.0.0.2", NULL, "10.0.0.3"},
        /* what is no address ends the list */
        {"10.0.0.1", "203.0.113.9, unknown", NULL, "10.0.0.1"},
        {"10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", NULL, "10.0.0.2"},
        {"10.0.0.1", "203.0.113.9,", NULL, "10.0.0.1"},
        {"10.0.0.1", "", NULL, "10.0.0.1"},
        {"10.0.0.1", "[203.0.113.9", NULL, "10.0.0.1"},
        {"10.0.0.1", "::ffff:203.0.113.9", NULL, "203.0.113.9"},
    };
    struct addr_net proxies[2];
    assert_int_equal(addr_net_parse(STR("10.0.0.0/24"), &proxies[0]), 0);
    assert_int_equal(addr_net_parse(STR("2001:db8:1::/48"), &proxies[1]), 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str lines[2] = {str_of(cases[i].first), str_of(cases[i].second)};
        struct addr peer;
        assert_int_equal(addr_parse(str_of(cases[i].peer), &peer), 0);
        unsigned count = cases[i].first == NULL ? 0 : cases[i].second == NULL ? 1 : 2;
        struct addr client = http_client_of(peer, proxies, 2, lines, count);
        char text[ADDR_TEXT_SIZE];
        addr_format(&client, text);
        if (strcmp(text, cases[i].client) != 0)
            fail_msg("case %zu: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(client_test_of)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
