/* SPDX-License-Identifier: Apache-2.0 */
#include "store_ctl.h"
#include <inttypes.h>
#include <signal.h>
#include <unistd.h>
#include "base/clock.h"

#define BAR_WIDTH   28
#define BAR_EACH_MS 100

/* --- sizes ------------------------------------------------------------------------------------ */

const char *ctl_size_human(uint64_t size, char out[CTL_SIZE_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double x = (double)size;
    size_t unit = 0;
    while (x >= 1023.95 && unit + 1 < ARRAY_LEN(units)) {
        x /= 1024;
        unit++;
    }
    (void)snprintf(out, CTL_SIZE_TEXT, unit == 0 ? "%.0f %s" : "%.1f %s", x, units[unit]);
    return out;
}

const char *ctl_s(uint64_t count)
{
    return count == 1 ? "" : "s";
}

const char *ctl_size(uint64_t size, char out[CTL_SIZE_TEXT])
{
    if (isatty(STDOUT_FILENO) == 1)
        return ctl_size_human(size, out);
    (void)snprintf(out, CTL_SIZE_TEXT, "%" PRIu64, size);
    return out;
}

/* --- progress bars ---------------------------------------------------------------------------- */

static const char *bar_number(const struct ctl_bar *b, uint64_t number, char out[CTL_SIZE_TEXT])
{
    if (!b->counts)
        return ctl_size_human(number, out);
    (void)snprintf(out, CTL_SIZE_TEXT, "%" PRIu64, number);
    return out;
}

void ctl_bar_show(struct ctl_bar *b, uint64_t done, uint64_t total)
{
    char bar[BAR_WIDTH + 1], done_text[CTL_SIZE_TEXT], total_text[CTL_SIZE_TEXT];
    char rate_text[CTL_SIZE_TEXT];
    uint64_t now_ms = clock_mono_ms();
    if (b->began_ms == 0)
        b->began_ms = now_ms;
    if (isatty(STDERR_FILENO) != 1 || now_ms - b->shown_ms < BAR_EACH_MS)
        return;
    b->shown_ms = now_ms;
    done = MIN(done, total);
    double part = total > 0 ? (double)done / (double)total : 1;
    int full = (int)(part * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    uint64_t rate = done * 1000 / MAX(now_ms - b->began_ms, UINT64_C(1));
    (void)fprintf(stderr, "\r%-8s [%s] %3d%%  %s of %s", b->what, bar, (int)(part * 100),
                  bar_number(b, done, done_text), bar_number(b, total, total_text));
    if (rate > 0 && now_ms - b->began_ms > 1000) {
        uint64_t left_s = (total - done) / rate;
        (void)fprintf(stderr, "  %s/s  %" PRIu64 ":%02" PRIu64 " left",
                      bar_number(b, rate, rate_text), left_s / 60, left_s % 60);
    }
    (void)fprintf(stderr, "\033[K");
}

void ctl_bar_clear(struct ctl_bar *b)
{
    if (b->shown_ms != 0 && isatty(STDERR_FILENO) == 1)
        (void)fprintf(stderr, "\r\033[K");
    b->shown_ms = 0;
}

/* --- Ctrl-C ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupts;

/* Whatever is under way, the store is intact: it survives the end of its process at any point. */
static void on_interrupt(int number)
{
    static const char text[] = "\nweirctl: ended at once\n";
    (void)number;
    if (interrupts) {
        (void)!write(STDERR_FILENO, text, sizeof text - 1); /* there is nobody else to tell */
        _exit(130);
    }
    interrupts = 1;
}

void ctl_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool ctl_interrupted(void)
{
    return interrupts != 0;
}

int ctl_say_interrupted(const char *more)
{
    (void)fprintf(stderr, "weirctl: stopped%s%s\n", more[0] != 0 ? "; " : "", more);
    return 130;
}
