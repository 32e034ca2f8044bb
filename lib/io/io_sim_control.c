/* SPDX-License-Identifier: Apache-2.0 */
/* The test's side: faults set and lifted, calls held, power cut, the image, the trace. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "io/io_sim.h"
#include "io/io_sim_priv.h"

void io_sim_fail(struct io_sim *s, const struct io_sim_fault *f)
{
    (void)pthread_mutex_lock(&s->lock);
    s->fault = f != NULL ? *f : (struct io_sim_fault){.first = 0};
    s->fault_seen = 0;
    s->failed = 0;
    (void)pthread_mutex_unlock(&s->lock);
}

static uint64_t io_sim_look(struct io_sim *s, const uint64_t *field)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t v = *field;
    (void)pthread_mutex_unlock(&s->lock);
    return v;
}

uint64_t io_sim_failed(struct io_sim *s)
{
    return io_sim_look(s, &s->failed);
}

uint64_t io_sim_shortened(struct io_sim *s)
{
    return io_sim_look(s, &s->shortened);
}

void io_sim_fail_randomly(struct io_sim *s, uint32_t one_in)
{
    (void)pthread_mutex_lock(&s->lock);
    s->random_one_in = one_in;
    (void)pthread_mutex_unlock(&s->lock);
}

void io_sim_set_short(struct io_sim *s, uint32_t size)
{
    (void)pthread_mutex_lock(&s->lock);
    s->short_size = size;
    (void)pthread_mutex_unlock(&s->lock);
}

void io_sim_set_space(struct io_sim *s, uint64_t size)
{
    (void)pthread_mutex_lock(&s->lock);
    s->space_left = size;
    (void)pthread_mutex_unlock(&s->lock);
}

void io_sim_hold(struct io_sim *s, bool held)
{
    (void)pthread_mutex_lock(&s->lock);
    s->held = held;
    s->holder = pthread_self();
    (void)pthread_cond_broadcast(&s->changed);
    (void)pthread_mutex_unlock(&s->lock);
}

bool io_sim_wait_held(struct io_sim *s, unsigned wait_ms)
{
    struct timespec until;
    io_sim_depth++; /* the true time, whatever the test makes of it */
    (void)clock_gettime(CLOCK_REALTIME, &until);
    io_sim_depth--;
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&s->lock);
    int r = 0;
    while (s->held_count == 0 && r == 0)
        r = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    bool held = s->held_count > 0;
    (void)pthread_mutex_unlock(&s->lock);
    return held;
}

int io_sim_damage(struct io_sim *s, const char *path, uint64_t offset, uint8_t mask)
{
    uint8_t byte;
    (void)pthread_mutex_lock(&s->lock);
    struct io_sim_node *n = io_sim_node_of(s, path);
    int r = n != NULL && io_sim_disk_damage(n, offset, mask) ? 0 : -ENXIO;
    io_sim_depth++;
    CLEAN(base_close) int fd = r == 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0 && pread(fd, &byte, 1, (off_t)offset) == 1) {
        byte ^= mask;
        r = pwrite(fd, &byte, 1, (off_t)offset) == 1 ? 0 : -errno;
    }
    (void)pthread_mutex_unlock(&s->lock);
    fd = base_close(fd);
    io_sim_depth--;
    return r;
}

void io_sim_crash_at(struct io_sim *s, uint64_t n)
{
    (void)pthread_mutex_lock(&s->lock);
    ASSERT(s->disk != NULL);
    s->crash_at = n != 0 ? s->calls + n : 0;
    (void)pthread_mutex_unlock(&s->lock);
}

void io_sim_crash(struct io_sim *s)
{
    (void)pthread_mutex_lock(&s->lock);
    ASSERT(s->disk != NULL);
    if (!s->crashed)
        (void)io_sim_end(s, IO_SIM_LAST, 0); /* which says -EIO, to nobody */
    (void)pthread_mutex_unlock(&s->lock);
}

bool io_sim_crashed(struct io_sim *s)
{
    (void)pthread_mutex_lock(&s->lock);
    bool crashed = s->crashed;
    (void)pthread_mutex_unlock(&s->lock);
    return crashed;
}

int io_sim_image(struct io_sim *s, const char *folder)
{
    (void)pthread_mutex_lock(&s->lock);
    ASSERT(s->crashed);
    io_sim_depth++;
    int r = io_sim_disk_write_out(s->disk, folder);
    io_sim_depth--;
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

void io_sim_trace(struct io_sim *s, FILE *out)
{
    static const char *const names[] = {
#define IO_SIM_CALL_TEXT(name, text) text,
        IO_SIM_CALLS(IO_SIM_CALL_TEXT)
#undef IO_SIM_CALL_TEXT
    };
    (void)pthread_mutex_lock(&s->lock);
    uint64_t first = s->calls > IO_SIM_TRACE ? s->calls - IO_SIM_TRACE : 0;
    for (uint64_t i = first; i < s->calls; i++) {
        const struct io_sim_traced *t = &s->trace[i % IO_SIM_TRACE];
        (void)fprintf(out, "  call %" PRIu64 ": %s %s", i + 1, names[t->call], t->name);
        if (t->offset != 0 || t->size != 0)
            (void)fprintf(out, " %" PRIu64 "+%" PRIu64, t->offset, t->size);
        if (t->res < 0)
            (void)fprintf(out, " -> %s", strerrorname_np(-t->res));
        else if (t->res != 0)
            (void)fprintf(out, " -> %s", t->res == IO_SIM_LAST ? "power cut" : "short");
        (void)fputc('\n', out);
    }
    (void)pthread_mutex_unlock(&s->lock);
}
