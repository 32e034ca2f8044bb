/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"

static const char *log_program = "weir";
static _Atomic int log_level_min = LOG_INFO;

void log_init(const char *program, enum log_level level)
{
    ASSERT(program != NULL);
    log_program = program;
    atomic_store(&log_level_min, (int)level);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level_min, memory_order_relaxed);
}

__attribute__((format(printf, 3, 0))) static void log_write(enum log_level level, struct str fields,
                                                            const char *format, va_list list)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char text[LOG_LINE_MAX];
    char now[CLOCK_TEXT_SIZE];
    (void)vsnprintf(text, sizeof text, format, list); /* a longer text is cut */
    clock_format(clock_real_ms(), now);
    CLEAN_BUF struct buf line = BUF_EMPTY;
    buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\",\"msg\":", now,
               names[level], log_program);
    buf_put_json_string(&line, str_of(text));
    if (fields.size > 0) {
        buf_putc(&line, ',');
        buf_put_str(&line, fields);
    }
    buf_puts(&line, "}\n");
    if (buf_error(&line) == 0) {
        ssize_t written = write(STDERR_FILENO, line.data, line.size);
        (void)written; /* see Errors above */
    }
}

void log_text(enum log_level level, struct str line)
{
    if (!log_enabled(level))
        return;
    ssize_t written = write(STDERR_FILENO, line.data, line.size);
    (void)written; /* as above */
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    va_list list;
    va_start(list, format);
    log_write(level, STR_NONE, format, list);
    va_end(list);
}

void log_fields(enum log_level level, struct str fields, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    va_list list;
    va_start(list, format);
    log_write(level, fields, format, list);
    va_end(list);
}
