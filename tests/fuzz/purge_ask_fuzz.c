/* SPDX-License-Identifier: Apache-2.0 */
/* A call of POST /purge: any bytes are refused with a sentence, or name something. */
#include <errno.h>
#include "edge/purge_ask.h"
#include "fuzz.h"

static struct upstreams *upstreams;
static struct routes *routes;

static void ask_open(void)
{
    static char *server[] = {(char *)(uintptr_t) "http://127.0.0.1:1"};
    static struct upstream_config of[2];
    static struct route_config to[2];
    struct err err;
    of[0] = (struct upstream_config){
        .name = (char *)(uintptr_t) "films", .servers = server, .servers_count = 1};
    of[1] = (struct upstream_config){
        .name = (char *)(uintptr_t) "other", .kind = 1, .servers = server, .servers_count = 1};
    to[0] = (struct route_config){.host = (char *)(uintptr_t) "w.example",
                                  .upstream = (char *)(uintptr_t) "films"};
    to[1] = (struct route_config){.upstream = (char *)(uintptr_t) "other"};
    int r = upstreams_open(of, 2, &err, &upstreams);
    ASSERT(r == 0);
    r = routes_open(to, 2, upstreams, &err, &routes);
    ASSERT(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct purge_ask ask = {0};
    struct err err = {.text = ""};
    if (routes == NULL)
        ask_open();
    int r = purge_ask_read(fuzz_str(data, size), routes, upstreams, &ask, &err);
    ASSERT(r == 0 || r == -EINVAL || r == -ENOMEM);
    ASSERT((r == 0) == (ask.count > 0 || ask.everything));
    ASSERT(r == 0 || err.text[0] != 0);
    purge_ask_clear(&ask);
    return 0;
}
