/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/un.h>
#include "../unit.h"

static void addr_test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *same; /* NULL: refused */
        bool is_v4;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"::ffff:192.0.2.1", "192.0.2.1", true},
        {"2001:DB8:0:0::1", "2001:db8::1", false},
        {"::", "::", false},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         false},
        {"", NULL, false},
        {"192.0.2", NULL, false},
        {"192.0.2.256", NULL, false},
        {"192.0.2.01", NULL, false},
        {"192.0.2.1 ", NULL, false},
        {"fe80::1%lo", NULL, false},
        {"[::1]", NULL, false},
        {"1::2::3", NULL, false},
        {"00000000000000000000000000000000000000000000000000000000000", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr a = {{7}};
        char text[ADDR_TEXT_SIZE];
        int r = addr_parse(str_of(cases[i].text), &a);
        assert_int_equal(r, cases[i].same != NULL ? 0 : -EINVAL);
        if (r < 0) {
            assert_int_equal(a.bytes[0], 7);
            continue;
        }
        addr_format(&a, text);
        assert_string_equal(text, cases[i].same);
        assert_int_equal(addr_is_v4(&a), cases[i].is_v4);
    }
    struct addr a;
    assert_int_equal(addr_parse(STR("1.2.3.4\0"), &a), -EINVAL);
    assert_int_equal(addr_parse(STR_NONE, &a), -EINVAL);
}

static void addr_test_nets(void **state)
{
    (void)state;
    static const struct {
        const char *net, *address;
        int has; /* -1: the prefix is refused */
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", 1},
        {"192.0.2.0/24", "192.0.3.0", 0},
        {"192.0.2.77/24", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.1", 1},
        {"192.0.2.1", "192.0.2.2", 0},
        {"192.0.2.128/25", "192.0.2.127", 0},
        {"192.0.2.128/25", "192.0.2.128", 1},
        {"10.0.0.0/7", "11.255.0.1", 1},
        {"10.0.0.0/7", "12.0.0.0", 0},
        {"0.0.0.0/0", "255.1.2.3", 1},
        {"0.0.0.0/0", "2001:db8::1", 0},
        {"::/0", "2001:db8::1", 1},
        {"::/0", "192.0.2.1", 0},
        {"::ffff:192.0.2.0/120", "192.0.2.9", 1},
        {"2001:db8::/32", "2001:db8:ffff::", 1},
        {"2001:db8::/32", "2001:db9::", 0},
        {"2001:db8::/127", "2001:db8::1", 1},
        {"2001:db8::/127", "2001:db8::2", 0},
        {"192.0.2.0/33", "192.0.2.0", -1},
        {"192.0.2.0/", "192.0.2.0", -1},
        {"192.0.2.0/-1", "192.0.2.0", -1},
        {"192.0.2.0/0000", "192.0.2.0", -1},
        {"192.0.2.0/24/24", "192.0.2.0", -1},
        {"2001:db8::/129", "2001:db8::", -1},
        {"/8", "10.0.0.0", -1},
        {"", "10.0.0.0", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct addr_net n;
        struct addr a;
        assert_int_equal(addr_parse(str_of(cases[i].address), &a), 0);
        int r = addr_net_parse(str_of(cases[i].net), &n);
        assert_int_equal(r, cases[i].has < 0 ? -EINVAL : 0);
        if (r == 0 && addr_net_has(&n, &a) != (cases[i].has == 1))
            fail_msg("%s and %s", cases[i].net, cases[i].address);
    }
}

static void addr_test_of_socket(void **state)
{
    (void)state;
    struct addr a, wanted;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_int_equal(addr_of_socket((const struct sockaddr *)(const void *)&v4, &a), 0);
    assert_int_equal(addr_parse(STR("192.0.2.7"), &wanted), 0);
    assert_memory_equal(&a, &wanted, sizeof a);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr), 1);
    assert_int_equal(addr_of_socket((const struct sockaddr *)(const void *)&v6, &a), 0);
    assert_int_equal(addr_parse(STR("2001:db8::7"), &wanted), 0);
    assert_memory_equal(&a, &wanted, sizeof a);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr), 1);
    assert_int_equal(addr_of_socket((const struct sockaddr *)(const void *)&v6, &a), 0);
    assert_true(addr_is_v4(&a));
    assert_int_equal(addr_of_socket((const struct sockaddr *)(const void *)&local, &a),
                     -EAFNOSUPPORT);
    assert_true(addr_is_v4(&a)); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addr_test_of_socket),
        cmocka_unit_test(addr_test_parse),
        cmocka_unit_test(addr_test_nets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
