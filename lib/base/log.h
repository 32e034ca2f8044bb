/* SPDX-License-Identifier: Apache-2.0 */
/* log: JSON lines on stderr, for journald and for eyes.
 *
 * Life:    log_init once in main (optional; before it: level info, program "weir").
 * Owner:   none.
 * Threads: any; a line is one write(2), so lines do not mix.
 * Errors:  a line that cannot be written is lost: there is nowhere else to say so.
 * Units:   one call, one line; text longer than LOG_LINE_MAX is cut.
 *
 * Libraries log at debug only; programs log what an operator should see. No secrets, no tokens. */
#pragma once
#include "base/buf.h"

#define LOG_LINE_MAX 4096

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(const char *program, enum log_level level); /* program: static storage */
bool log_enabled(enum log_level level);

/* {"time":..,"level":..,"program":..,"msg":..}: msg is printf's. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same with more fields: fields is the inside of a JSON object, ready made, or empty. */
void log_fields(enum log_level level, struct str fields, const char *format, ...) PRINTF_LIKE(3, 4);

/* A line as it is, with its line feed: for logs of another form. */
void log_text(enum log_level level, struct str line);

#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
