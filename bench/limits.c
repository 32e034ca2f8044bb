/* SPDX-License-Identifier: Apache-2.0 */
/* limits: what one core of this host can do at most: memcpy, XXH3-128, loopback TCP. Printed as
 * JSON, GB/s (1e9), for the line under every benchmark table. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/digest.h"

#define LIMITS_SIZE      ((size_t)64 << 20)
#define LIMITS_ROUNDS    16
#define LIMITS_TCP_BYTES ((uint64_t)2 << 30)

static double limits_rate(uint64_t bytes, uint64_t from_us)
{
    return (double)bytes / 1e3 / (double)MAX(clock_mono_us() - from_us, 1);
}

static double limits_memcpy(char *to, const char *from)
{
    uint64_t start_us = clock_mono_us();
    for (unsigned i = 0; i < LIMITS_ROUNDS; i++) {
        memcpy(to, from, LIMITS_SIZE);
        __asm__ volatile("" : : "r"(to) : "memory"); /* the copy counts as used */
    }
    return limits_rate(LIMITS_SIZE * LIMITS_ROUNDS, start_us);
}

static double limits_digest(const char *from)
{
    uint64_t start_us = clock_mono_us();
    for (unsigned i = 0; i < LIMITS_ROUNDS; i++) {
        struct digest d = digest_of(from, LIMITS_SIZE);
        __asm__ volatile("" : : "r"(&d) : "memory");
    }
    return limits_rate(LIMITS_SIZE * LIMITS_ROUNDS, start_us);
}

static void *limits_drain(void *arg)
{
    static char piece[1 << 18];
    int fd = *(int *)arg;
    while (read(fd, piece, sizeof piece) > 0)
        ;
    return NULL;
}

static double limits_tcp(const char *from)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    CLEAN(base_close) int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEAN(base_close) int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || out < 0 || bind(listening, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(listening, 1) < 0 || getsockname(listening, (struct sockaddr *)&a, &size) < 0 ||
        connect(out, (struct sockaddr *)&a, size) < 0)
        return 0;
    CLEAN(base_close) int in = accept(listening, NULL, NULL);
    pthread_t reader;
    if (in < 0 || pthread_create(&reader, NULL, limits_drain, &in) != 0)
        return 0;
    uint64_t start_us = clock_mono_us();
    uint64_t sent = 0;
    while (sent < LIMITS_TCP_BYTES) {
        ssize_t put = write(out, from, (size_t)1 << 18);
        if (put <= 0)
            break;
        sent += (uint64_t)put;
    }
    (void)shutdown(out, SHUT_WR);
    (void)pthread_join(reader, NULL);
    return limits_rate(sent, start_us);
}

int main(void)
{
    char *from = malloc(LIMITS_SIZE);
    char *to = malloc(LIMITS_SIZE);
    if (from == NULL || to == NULL)
        return 1;
    memset(from, 1, LIMITS_SIZE);
    memset(to, 2, LIMITS_SIZE);
    printf("{\"memcpy\":%.1f,\"xxh3_128\":%.1f,\"loopback_tcp\":%.1f}\n", limits_memcpy(to, from),
           limits_digest(from), limits_tcp(from));
    free(from);
    free(to);
    return 0;
}
