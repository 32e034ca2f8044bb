/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl edge top and hot: what is asked for most just now. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "base/clock.h"
#include "edge_ctl.h"
#include "store_ctl.h"

#define TOP_ROWS_DEFAULT 20
#define TOP_ROWS_MAX     1000
#define TOP_TURN_MS      1000
#define TOP_HEAD_LINES   4

static const char top_usage[] =
    "usage: weirctl edge top [--rows N] [--once] [--json] [--url URL | --state FOLDER]\n"
    "\n"
    "Shows the assets that are asked for most, with requests and bytes a second and the share of\n"
    "hits, of the last half minute or so; anew each second until q or Ctrl-C. An asset is what a\n"
    "weir upstream calls so; of an http upstream it is a folder of URLs. With --once, --json or\n"
    "where stdout is no terminal: once.\n" CTL_EDGE_WHERE_USAGE;
static const char hot_usage[] =
    "usage: weirctl edge hot [--rows N] [--json] [--url URL | --state FOLDER]\n"
    "\n"
    "Lists the URLs that are answered from RAM most, of the last half minute or "
    "so.\n" CTL_EDGE_WHERE_USAGE;

struct top_args {
    struct ctl_edge_where where;
    unsigned rows; /* 0: as many as the terminal has room for, or the default */
    bool once, as_json;
};

/* --- the table -------------------------------------------------------------------------------- */

/* end: what clears the rest of a terminal's line, or nothing. */
static void top_table(const json_t *list, const char *what, unsigned rows, const char *end)
{
    size_t i;
    json_t *one;
    char name[CTL_EDGE_NAME_TEXT], route[CTL_EDGE_NAME_TEXT], ratio[CTL_EDGE_RATIO_TEXT];
    char size[CTL_SIZE_TEXT];
    printf("%12s %14s %8s  %-20s  %s%s\n", "REQUESTS/S", "BYTES/S", "HITS", "ROUTE", what, end);
    json_array_foreach(list, i, one)
    {
        if (i >= rows)
            break;
        printf("%12.1f %14s %8s  %-20s  %s%s\n", ctl_edge_real(one, "requests_per_s"),
               ctl_size((uint64_t)MIN(ctl_edge_real(one, "bytes_per_s"), 1e18), size),
               ctl_edge_ratio(one, "hit_ratio", ratio), ctl_edge_text(one, "route", route),
               ctl_edge_text(one, "name", name), end);
    }
}

static int top_get(struct ctl_edge_link *link, const char *path, unsigned rows, json_t **ret,
                   struct err *err)
{
    char target[64];
    (void)snprintf(target, sizeof target, "%s?n=%u", path, rows);
    return ctl_edge_get(link, target, ret, err);
}

static int top_once(struct ctl_edge_link *link, const char *path, const char *key, const char *what,
                    const struct top_args *a, struct err *err)
{
    json_t *root = NULL;
    unsigned rows = a->rows > 0 ? a->rows : TOP_ROWS_DEFAULT;
    int r = top_get(link, path, rows, &root, err);
    if (r == 0 && a->as_json)
        r = ctl_edge_json(root);
    else if (r == 0)
        top_table(json_object_get(root, key), what, rows, "");
    json_decref(root);
    return r;
}

/* --- live ------------------------------------------------------------------------------------- */

static volatile sig_atomic_t top_ended;

static void top_on_signal(int number)
{
    (void)number;
    top_ended = 1;
}

/* Two looks at /edge/stat make a rate. */
struct top_before {
    uint64_t at_ms, requests, bytes;
};

static double top_rate(uint64_t now, uint64_t before, uint64_t ms)
{
    return ms == 0 || now < before ? 0 : (double)(now - before) * 1000 / (double)ms;
}

static void top_head(const json_t *stat, struct top_before *before)
{
    char ratio[CTL_EDGE_RATIO_TEXT], bytes[CTL_EDGE_RATIO_TEXT];
    char rate[CTL_SIZE_TEXT], ram[CTL_SIZE_TEXT];
    struct top_before now = {clock_mono_ms(), ctl_edge_count(stat, "requests"),
                             ctl_edge_count(stat, "bytes")};
    uint64_t ms = before->at_ms == 0 ? 0 : now.at_ms - before->at_ms;
    const json_t *store = json_object_get(stat, "store");
    printf("%.0f requests/s, %s/s, %" PRIu64 " connections\033[K\n",
           top_rate(now.requests, before->requests, ms),
           ctl_size((uint64_t)top_rate(now.bytes, before->bytes, ms), rate),
           ctl_edge_count(stat, "connections"));
    printf("since start: %" PRIu64 " requests, hits %s, of bytes %s; %s in RAM\033[K\n\033[K\n",
           now.requests, ctl_edge_ratio(stat, "hit_ratio", ratio),
           ctl_edge_ratio(stat, "byte_hit_ratio", bytes),
           ctl_size(ctl_edge_count(store, "ram_bytes"), ram));
    *before = now;
}

static unsigned top_room(const struct top_args *a)
{
    struct winsize w;
    unsigned lines = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_row : 0;
    unsigned room = lines > TOP_HEAD_LINES + 1 ? lines - TOP_HEAD_LINES - 1 : TOP_ROWS_DEFAULT;
    return a->rows > 0 ? MIN(a->rows, room) : room;
}

static int top_frame(struct ctl_edge_link *link, const struct top_args *a,
                     struct top_before *before, struct err *err)
{
    json_t *stat = NULL, *top = NULL;
    unsigned rows = MIN(top_room(a), TOP_ROWS_MAX);
    int r = ctl_edge_get(link, "/edge/stat", &stat, err);
    if (r == 0)
        r = top_get(link, "/edge/top", rows, &top, err);
    if (r == 0) {
        printf("\033[H");
        top_head(stat, before);
        top_table(json_object_get(top, "assets"), "ASSET", rows, "\033[K");
        printf("\033[J");
        if (fflush(stdout) != 0)
            r = err_errno(err, -errno, "writing to stdout");
    }
    json_decref(stat);
    json_decref(top);
    return r;
}

/* Until the next frame is due: true for q. */
static bool top_wait_for_q(void)
{
    uint64_t until = clock_mono_ms() + TOP_TURN_MS;
    for (uint64_t now = clock_mono_ms(); top_ended == 0 && now < until; now = clock_mono_ms()) {
        struct pollfd p = {.fd = isatty(STDIN_FILENO) == 1 ? STDIN_FILENO : -1, .events = POLLIN};
        char key = 0;
        if (poll(&p, 1, (int)(until - now)) == 1 &&
            (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
            return true;
    }
    return false;
}

static int top_live(struct ctl_edge_link *link, const struct top_args *a, struct err *err)
{
    struct termios kept, raw;
    struct top_before before = {0};
    struct sigaction action = {.sa_handler = top_on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    bool has_keys = tcgetattr(STDIN_FILENO, &kept) == 0;
    if (has_keys) { /* keys come at once and are not shown */
        raw = kept;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    printf("\033[?25l\033[2J");
    int r = 0;
    do {
        r = top_frame(link, a, &before, err);
    } while (r == 0 && !top_wait_for_q() && top_ended == 0);
    printf("\033[?25h");
    if (has_keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &kept);
    return r < 0 && top_ended == 0 ? r : 0;
}

/* --- the commands ----------------------------------------------------------------------------- */

/* As ctl_parse. */
static int top_parse(int argc, char **argv, const char *usage, struct top_args *a, bool has_once)
{
    const char *rows = NULL;
    const struct ctl_option options[] = {CTL_EDGE_WHERE(a->where),
                                         {"--rows", &rows, NULL},
                                         {"--json", NULL, &a->as_json},
                                         {"--once", NULL, &a->once}};
    size_t words = 0;
    uint64_t n = 0;
    int r = ctl_parse(argc, argv, usage, options, ARRAY_LEN(options) - (has_once ? 0 : 1), NULL, 0,
                      &words);
    if (r != 0)
        return r;
    if (rows != NULL && (str_to_u64(str_of(rows), &n) < 0 || n == 0 || n > TOP_ROWS_MAX)) {
        (void)fprintf(stderr, "weirctl: --rows is a number from 1 to %d\n%s", TOP_ROWS_MAX, usage);
        return 2;
    }
    a->rows = (unsigned)n;
    return 0;
}

int ctl_edge_top(int argc, char **argv)
{
    struct top_args a = {0};
    int r = top_parse(argc, argv, top_usage, &a, true);
    if (r != 0)
        return r == 3 ? 0 : r;
    struct err err = {{0}};
    struct ctl_edge_link link;
    r = ctl_edge_open(&a.where, &link, &err);
    if (r == 0 && (a.once || a.as_json || isatty(STDOUT_FILENO) != 1))
        r = top_once(&link, "/edge/top", "assets", "ASSET", &a, &err);
    else if (r == 0)
        r = top_live(&link, &a, &err);
    ctl_edge_close(&link);
    return ctl_edge_said(r, &err);
}

int ctl_edge_hot(int argc, char **argv)
{
    struct top_args a = {0};
    int r = top_parse(argc, argv, hot_usage, &a, false);
    if (r != 0)
        return r == 3 ? 0 : r;
    struct err err = {{0}};
    struct ctl_edge_link link;
    r = ctl_edge_open(&a.where, &link, &err);
    if (r == 0)
        r = top_once(&link, "/edge/hot", "urls", "URL", &a, &err);
    ctl_edge_close(&link);
    return ctl_edge_said(r, &err);
}
