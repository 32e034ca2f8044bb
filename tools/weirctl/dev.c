/* SPDX-License-Identifier: Apache-2.0 */
#include "weirctl.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "fetch/fetch.h"

#define DEV_READY_MS   30000
#define DEV_STOP_MS    15000
#define DEV_POLL_MS    100
#define DEV_RESTART_MS 1000  /* between the end of a daemon and its next start; doubled each time */
#define DEV_PAUSE_MS   30000 /* ... up to this, while it ends soon after its starts */
#define DEV_QUICK_MS   3000  /* a daemon that ends sooner than this after its start does not work */

static const char dev_usage[] =
    "usage: weirctl dev [--state FOLDER] [--free-ports]\n"
    "\n"
    "Runs weir-origin, weir-edge, weir-ingest and weir-control on this host from FOLDER (./state\n"
    "unless given), which is made when absent. A daemon that ends is started again. Ctrl-C ends "
    "all.\n";
static const char init_usage[] =
    "usage: weirctl init [--state FOLDER] [--free-ports]\n"
    "\n"
    "Makes FOLDER with certificates, secrets and configurations, as `weirctl dev` would.\n";

struct dev_daemon {
    const char *name;
    pid_t pid;           /* 0: not running */
    uint64_t started_ms; /* 0: never */
    uint64_t ended_ms;
    unsigned quick_ends; /* in a row */
};

struct dev {
    const char *state;
    char folder[PATH_MAX]; /* of the programs: where weirctl is, or the build's folder beside it */
    sigset_t signals;
    struct dev_daemon daemons[4];
    bool is_ready; /* all have been, once */
};

/* A build has each program in a folder of its own part; an installation has all in one. */
static int dev_program(const struct dev *d, const char *name, char *out, size_t out_size)
{
    const char *part = name + strlen("weir-");
    int size = snprintf(out, out_size, "%s/%s", d->folder, name);
    if (size > 0 && (size_t)size < out_size && access(out, X_OK) == 0)
        return 0;
    size = snprintf(out, out_size, "%s/../../%s/%s", d->folder, part, name);
    if (size > 0 && (size_t)size < out_size && access(out, X_OK) == 0)
        return 0;
    return -ENOENT;
}

static void dev_child(const struct dev *d, const char *program, const char *name,
                      const char *config, const char *log, pid_t parent)
{
    (void)sigprocmask(SIG_UNBLOCK, &d->signals, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* the daemons do not outlive a killed weirctl */
    if (getppid() != parent)
        _exit(1);
    (void)setpgid(0, 0); /* Ctrl-C is for us; we end them in order */
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        _exit(1);
    (void)execl(program, name, "--config", config, (char *)NULL);
    _exit(127);
}

static int dev_start(struct dev *d, struct dev_daemon *daemon, struct err *err)
{
    char program[PATH_MAX];
    char config[PATH_MAX];
    char log[PATH_MAX];
    const char *part = daemon->name + strlen("weir-");
    int a = snprintf(config, sizeof config, "%s/config/%s.yaml", d->state, part);
    int b = snprintf(log, sizeof log, "%s/logs/%s.log", d->state, part);
    if (a < 0 || b < 0 || (size_t)a >= sizeof config || (size_t)b >= sizeof log)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", d->state);
    int r = dev_program(d, daemon->name, program, sizeof program);
    if (r < 0)
        return err_errno(err, r, "%s beside weirctl", daemon->name);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(err, -errno, "starting %s", daemon->name);
    if (pid == 0)
        dev_child(d, program, daemon->name, config, log, parent);
    daemon->pid = pid;
    daemon->started_ms = clock_mono_ms();
    return 0;
}

static void dev_say_end(const struct dev *d, const struct dev_daemon *daemon, int status)
{
    if (WIFSIGNALED(status))
        (void)fprintf(stderr, "weirctl: %s was ended by signal %d", daemon->name, WTERMSIG(status));
    else
        (void)fprintf(stderr, "weirctl: %s ended with code %d", daemon->name, WEXITSTATUS(status));
    (void)fprintf(stderr, ", see %s/logs/%s.log\n", d->state, daemon->name + strlen("weir-"));
}

/* Takes note of daemons that have ended. With say, an end is news; -ECHILD when one ended that was
 * only just started: it cannot run as it is configured. */
static int dev_reap(struct dev *d, bool say, struct err *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(d->daemons); i++) {
        struct dev_daemon *daemon = &d->daemons[i];
        int status = 0;
        if (daemon->pid == 0 || waitpid(daemon->pid, &status, WNOHANG) != daemon->pid)
            continue;
        daemon->pid = 0;
        daemon->ended_ms = clock_mono_ms();
        if (say)
            dev_say_end(d, daemon, status);
        bool is_quick = daemon->ended_ms - daemon->started_ms < DEV_QUICK_MS;
        daemon->quick_ends = is_quick ? daemon->quick_ends + 1 : 0;
        if (say && is_quick && !d->is_ready)
            r = err_set(err, -ECHILD, "%s does not stay up", daemon->name);
    }
    return r;
}

static int dev_restart(struct dev *d, struct err *err)
{
    uint64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < ARRAY_LEN(d->daemons); i++) {
        struct dev_daemon *daemon = &d->daemons[i];
        uint64_t pause_ms = (uint64_t)DEV_RESTART_MS << MIN(daemon->quick_ends, 5U);
        if (daemon->pid != 0 || now_ms - daemon->ended_ms < MIN(pause_ms, (uint64_t)DEV_PAUSE_MS))
            continue;
        (void)fprintf(stderr, "weirctl: starting %s again\n", daemon->name);
        int r = dev_start(d, daemon, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static void dev_stop(struct dev *d)
{
    uint64_t until_ms = clock_mono_ms() + DEV_STOP_MS;
    /* Those in front first: control, ingest, edge; the origin last. */
    for (size_t i = ARRAY_LEN(d->daemons); i-- > 0;) {
        if (d->daemons[i].pid != 0)
            (void)kill(d->daemons[i].pid, SIGTERM);
    }
    for (bool left = true; left;) {
        (void)dev_reap(d, false, NULL);
        left = false;
        for (size_t i = 0; i < ARRAY_LEN(d->daemons); i++) {
            if (d->daemons[i].pid == 0)
                continue;
            left = true;
            if (clock_mono_ms() > until_ms)
                (void)kill(d->daemons[i].pid, SIGKILL);
        }
        struct timespec wait = {0, DEV_POLL_MS * 1000000L};
        if (left)
            (void)nanosleep(&wait, NULL);
    }
}

static bool dev_is_ready(struct fetch_client *client, const char *base)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN_BUF struct buf answer = BUF_EMPTY;
    buf_printf(&url, "%s/health/ready", base);
    unsigned status = 0;
    struct fetch_request request = {.method = "GET", .url = url.data};
    return buf_error(&url) == 0 &&
           fetch_client_run(client, &request, 65536, &status, &answer, NULL) == 0 && status == 200;
}

/* True when one of our signals came within wait_ms. */
static bool dev_signalled(const struct dev *d, int *ret_signal, long wait_ms)
{
    struct timespec wait = {wait_ms / 1000, wait_ms % 1000 * 1000000L};
    int signal_number = sigtimedwait(&d->signals, NULL, &wait);
    *ret_signal = signal_number;
    return signal_number > 0 && signal_number != SIGCHLD;
}

static int dev_wait_ready(struct dev *d, const struct ctl_settings *s, struct err *err)
{
    struct fetch_options options = {.ca_file = s->ca_file, .breaker_failures = UINT32_MAX};
    struct fetch_client *client = NULL;
    int r = fetch_client_new(&options, &client);
    if (r < 0)
        return err_errno(err, r, "starting");
    const char *urls[] = {s->origin_url, s->ingest_url, s->edge_admin_url, s->control_admin_url};
    uint64_t until_ms = clock_mono_ms() + DEV_READY_MS;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(urls);) {
        int number;
        if (dev_is_ready(client, urls[i])) {
            i++;
        } else if (dev_signalled(d, &number, DEV_POLL_MS)) {
            r = err_set(err, -EINTR, "interrupted");
        } else {
            r = dev_reap(d, true, err);
            if (r == 0 && clock_mono_ms() > until_ms)
                r = err_set(err, -ETIMEDOUT, "%s did not become ready", urls[i]);
        }
    }
    fetch_client_free(client);
    return r;
}

static int dev_run(struct dev *d, const struct ctl_settings *s, struct err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(d->daemons); i++)
        r = dev_start(d, &d->daemons[i], err);
    if (r == 0)
        r = dev_wait_ready(d, s, err);
    d->is_ready = r == 0;
    if (r == 0) {
        printf("page     %s/\nedge     %s\norigin   %s\ningest   %s\nlogs     %s/logs\nready\n",
               s->control_url, s->edge_url, s->origin_url, s->ingest_url, d->state);
        (void)fflush(stdout);
    }
    for (int number = 0; r == 0 && !dev_signalled(d, &number, DEV_RESTART_MS);) {
        r = dev_reap(d, true, err);
        if (r == 0)
            r = dev_restart(d, err);
    }
    dev_stop(d);
    return r;
}

static int dev_self_folder(char *out, size_t out_size, struct err *err)
{
    ssize_t size = readlink("/proc/self/exe", out, out_size - 1);
    if (size < 0)
        return err_errno(err, -errno, "finding weirctl's folder");
    out[size] = 0;
    char *slash = strrchr(out, '/');
    if (slash != NULL)
        *slash = 0;
    return 0;
}

static int dev_make(const char *state, bool free_ports, char *folder, size_t folder_size,
                    struct err *err)
{
    int r = dev_self_folder(folder, folder_size, err);
    return r < 0 ? r : ctl_state_make(state, folder, free_ports, err);
}

int ctl_init(int argc, char **argv)
{
    const char *state = "state";
    bool free_ports = false;
    const struct ctl_option options[] = {{"--state", &state, NULL},
                                         {"--free-ports", NULL, &free_ports}};
    size_t words = 0;
    char folder[PATH_MAX];
    struct err err = {0};
    int r = ctl_parse(argc, argv, init_usage, options, ARRAY_LEN(options), NULL, 0, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    r = dev_make(state, free_ports, folder, sizeof folder, &err);
    return r < 0 ? ctl_fail(&err) : 0;
}

/* Two that run on one folder would fight over its ports and files. The kernel drops the lock with
 * the process. */
static int dev_lock(const char *state, int *ret_fd, struct err *err)
{
    char path[PATH_MAX];
    int r = file_mkdirs(state);
    if (r < 0)
        return err_errno(err, r, "making %s", state);
    int size = snprintf(path, sizeof path, "%s/lock", state);
    if (size < 0 || (size_t)size >= sizeof path)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", state);
    CLEAN(base_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(err, -errno, "opening %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, -EBUSY, "another weirctl dev runs on %s already", state)
                   : err_errno(err, -errno, "locking %s", path);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int ctl_dev(int argc, char **argv)
{
    const char *state = "state";
    bool free_ports = false;
    const struct ctl_option options[] = {{"--state", &state, NULL},
                                         {"--free-ports", NULL, &free_ports}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, dev_usage, options, ARRAY_LEN(options), NULL, 0, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    struct err err = {0};
    struct ctl_settings s = {0};
    struct dev d = {
        .state = state,
        .daemons = {{.name = "weir-origin"},
                    {.name = "weir-ingest"},
                    {.name = "weir-edge"},
                    {.name = "weir-control"}},
    };
    (void)sigemptyset(&d.signals);
    (void)sigaddset(&d.signals, SIGINT);
    (void)sigaddset(&d.signals, SIGTERM);
    (void)sigaddset(&d.signals, SIGHUP);
    (void)sigaddset(&d.signals, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &d.signals, NULL);
    CLEAN(base_close) int lock = -1;
    r = dev_lock(state, &lock, &err);
    if (r == 0)
        r = dev_make(state, free_ports, d.folder, sizeof d.folder, &err);
    if (r == 0)
        r = ctl_settings_load(state, CTL_ALL, &s, &err);
    if (r == 0)
        r = dev_run(&d, &s, &err);
    ctl_settings_clear(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}
