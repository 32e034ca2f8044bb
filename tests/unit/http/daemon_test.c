/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_main by a real process: its exit codes, what it tells systemd, its signals, its log. */
#include "http/daemon.h"
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "base/file.h"
#include "http_test_util.h"

extern char **environ;
static const char *demo_program;

struct demo_run {
    char folder[64], config[96], port_file[96], socket[96], log[96];
    int notify_fd;
    pid_t pid;
};

static void run_config(const struct demo_run *d, const char *text)
{
    char yaml[512];
    (void)snprintf(yaml, sizeof yaml, "text: %s\nport_file: %s\n", text, d->port_file);
    assert_int_equal(file_write(d->config, str_of(yaml), 0600), 0);
}

static struct demo_run run_new(void)
{
    struct demo_run d = {.folder = "/tmp/weir-daemon-XXXXXX"};
    assert_non_null(mkdtemp(d.folder));
    (void)snprintf(d.config, sizeof d.config, "%s/demo.yaml", d.folder);
    (void)snprintf(d.port_file, sizeof d.port_file, "%s/port", d.folder);
    (void)snprintf(d.socket, sizeof d.socket, "%s/notify", d.folder);
    (void)snprintf(d.log, sizeof d.log, "%s/log", d.folder);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", d.socket);
    d.notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(d.notify_fd >= 0);
    assert_int_equal(bind(d.notify_fd, (struct sockaddr *)(void *)&a, sizeof a), 0);
    return d;
}

static void run_start(struct demo_run *d, char **argv)
{
    assert_int_equal(setenv("NOTIFY_SOCKET", d->socket, 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "40000", 1), 0);
    (void)unsetenv("WATCHDOG_PID");
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, d->log,
                                                      O_WRONLY | O_CREAT | O_APPEND, 0600),
                     0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO), 0);
    argv[0] = (char *)(uintptr_t)demo_program;
    assert_int_equal(posix_spawn(&d->pid, demo_program, &actions, NULL, argv, environ), 0);
    assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
}

static int run_wait(struct demo_run *d)
{
    int status = 0;
    assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Reads notifications until one starts with text. */
static void run_expect(struct demo_run *d, const char *text)
{
    char message[512];
    do {
        struct pollfd p = {.fd = d->notify_fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        ssize_t n = recv(d->notify_fd, message, sizeof message - 1, 0);
        assert_true(n > 0);
        message[n] = '\0';
    } while (strncmp(message, text, strlen(text)) != 0);
}

static bool run_log_has(const struct demo_run *d, const char *text)
{
    CLEAN_BUF struct buf log = BUF_EMPTY;
    assert_int_equal(file_read(d->log, 1 << 20, &log), 0);
    return log.size > 0 && strstr(log.data, text) != NULL;
}

static void run_end(struct demo_run *d)
{
    (void)close(d->notify_fd);
    assert_int_equal(file_remove_all(d->folder), 0);
}

static uint16_t run_port(const struct demo_run *d)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    uint64_t port = 0;
    assert_int_equal(file_read(d->port_file, 16, &text), 0);
    assert_int_equal(str_to_u64(buf_str(&text), &port), 0);
    return (uint16_t)port;
}

static void check_text(uint16_t port, const char *expected)
{
    struct raw_answer a = raw_ask(
        port, "GET /text?URISigningPackage=s3cret HTTP/1.1\r\nHost: h\r\nUser-Agent: t/1\r\n"
              "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body.data, expected);
    raw_answer_free(&a);
}

static void a_daemon_starts_reloads_and_stops(void **state)
{
    (void)state;
    struct demo_run d = run_new();
    run_config(&d, "first");
    run_start(&d, (char *[]){NULL, (char[]){"--config"}, d.config, NULL});
    run_expect(&d, "READY=1");
    uint16_t port = run_port(&d);
    check_text(port, "first");
    run_expect(&d, "WATCHDOG=1");
    run_config(&d, "second");
    assert_int_equal(kill(d.pid, SIGHUP), 0);
    run_expect(&d, "RELOADING=1");
    run_expect(&d, "READY=1");
    check_text(port, "second");
    run_config(&d, "forbidden"); /* refused: the second stays */
    assert_int_equal(kill(d.pid, SIGHUP), 0);
    run_expect(&d, "RELOADING=1");
    run_expect(&d, "READY=1");
    check_text(port, "second");
    assert_true(run_log_has(&d, "this text is forbidden"));
    assert_int_equal(kill(d.pid, SIGTERM), 0);
    run_expect(&d, "STOPPING=1");
    assert_int_equal(run_wait(&d), 0);
    assert_true(run_log_has(&d, "\"method\":\"GET\",\"path\":\"/text?URISigningPackage=redacted\","
                                "\"status\":200,\"bytes\":5,"));
    assert_true(run_log_has(&d, "\"peer\":\"127.0.0.1\",\"protocol\":\"HTTP/1.1\","
                                "\"user_agent\":\"t/1\","
                                "\"request_id\":\"0af7651916cd43dd8448eb211c80319c\""));
    assert_false(run_log_has(&d, "s3cret"));
    run_end(&d);
}

static void exit_codes_tell_what_was_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *args[4];
        const char *yaml; /* NULL: a good one */
        int code;
        const char *output;
    } cases[] = {
        {{"--config", "@", "--check"}, NULL, 0, "is valid"},
        {{"--config", "@", "--check"}, "text: forbidden\nport_file: x\n", 1, "forbidden"},
        {{"--config", "@", "--check"}, "text: a\n", 1, "port_file"},
        {{"--config", "@", "--check"}, "text: a\nport_file: x\nmore: y\n", 1, "more"},
        {{"--config", "@"}, "text: [", 1, "demo.yaml"},
        {{"--config", "@"}, "text: a\nport_file: /nonexistent/x\n", 1, "/nonexistent/x"},
        {{"--config", "/nonexistent/demo.yaml"}, NULL, 1, "/nonexistent/demo.yaml"},
        {{"--version"}, NULL, 0, "weir-demo " WEIR_VERSION},
        {{"--help"}, NULL, 0, "usage: weir-demo --config FILE"},
        {{NULL}, NULL, 2, "usage:"},
        {{"--nonsense"}, NULL, 2, "usage:"},
        {{"--config", "@", "more"}, NULL, 2, "usage:"},
        {{"--config"}, NULL, 2, "usage:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct demo_run d = run_new();
        run_config(&d, "fine");
        if (cases[i].yaml != NULL)
            assert_int_equal(file_write(d.config, str_of(cases[i].yaml), 0600), 0);
        char *argv[6] = {NULL};
        for (size_t n = 0; n < 4 && cases[i].args[n] != NULL; n++)
            argv[n + 1] =
                strcmp(cases[i].args[n], "@") == 0 ? d.config : (char *)(uintptr_t)cases[i].args[n];
        run_start(&d, argv);
        assert_int_equal(run_wait(&d), cases[i].code);
        assert_true(run_log_has(&d, cases[i].output));
        run_end(&d);
    }
}

static void a_request_under_way_survives_sigterm(void **state)
{
    (void)state;
    struct demo_run d = run_new();
    run_config(&d, "text");
    run_start(&d, (char *[]){NULL, (char[]){"--config"}, d.config, NULL});
    run_expect(&d, "READY=1");
    int fd = raw_open(run_port(&d));
    raw_send(fd, "GET /text HTTP/1.1\r\nHost: h\r\n\r\n");
    struct raw_answer a = raw_read(fd, false); /* so the connection is surely accepted */
    raw_answer_free(&a);
    raw_send(fd, "GET /text HTTP/1.1\r\nHos");
    while (true) { /* until the server has the half of it */
        int left = 0;
        assert_int_equal(ioctl(fd, TIOCOUTQ, &left), 0);
        if (left == 0)
            break;
        (void)usleep(1000);
    }
    assert_int_equal(kill(d.pid, SIGINT), 0);
    run_expect(&d, "STOPPING=1");
    raw_send(fd, "t: h\r\n\r\n");
    a = raw_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body.data, "text");
    raw_answer_free(&a);
    (void)close(fd);
    assert_int_equal(run_wait(&d), 0);
    run_end(&d);
}

/* What a notification says that starts with text. */
static long run_expect_number(struct demo_run *d, const char *text)
{
    char message[512];
    do {
        struct pollfd p = {.fd = d->notify_fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 20000), 1);
        ssize_t n = recv(d->notify_fd, message, sizeof message - 1, 0);
        assert_true(n > 0);
        message[n] = '\0';
    } while (strncmp(message, text, strlen(text)) != 0);
    return strtol(message + strlen(text), NULL, 10);
}

static void a_new_process_takes_over(void **state)
{
    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the new one becomes ours */
    struct demo_run d = run_new();
    run_config(&d, "first");
    run_start(&d, (char *[]){NULL, (char[]){"--config"}, d.config, NULL});
    run_expect(&d, "READY=1");
    uint16_t port = run_port(&d);
    run_config(&d, "forbidden"); /* the new one says so and ends; nothing has changed */
    assert_int_equal(kill(d.pid, SIGUSR2), 0);
    for (unsigned i = 0; i < 2000 && !run_log_has(&d, "not taken over"); i++)
        (void)usleep(10000);
    assert_true(run_log_has(&d, "could not start: text: this text is forbidden"));
    check_text(port, "first");
    run_config(&d, "second");
    assert_int_equal(kill(d.pid, SIGUSR2), 0);
    long pid = run_expect_number(&d, "MAINPID=");
    assert_true(pid > 1);
    assert_int_equal(run_wait(&d), 0);
    assert_int_equal(run_port(&d), port); /* chosen by the kernel, and kept */
    check_text(port, "second");
    run_expect(&d, "WATCHDOG=1"); /* it is the new one's by now */
    d.pid = (pid_t)pid;
    assert_int_equal(kill(d.pid, SIGTERM), 0);
    run_expect(&d, "STOPPING=1");
    assert_int_equal(run_wait(&d), 0);
    run_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_daemon_starts_reloads_and_stops),
        cmocka_unit_test(exit_codes_tell_what_was_wrong),
        cmocka_unit_test(a_request_under_way_survives_sigterm),
        cmocka_unit_test(a_new_process_takes_over),
    };
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s DEMO-DAEMON\n", argv[0]);
        return 2;
    }
    demo_program = argv[1];
    return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
