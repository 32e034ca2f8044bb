/* SPDX-License-Identifier: Apache-2.0 */
/* spool: films that were uploaded wait here for their job: STATE/uploads/<id>, and <id>.part while
 * they come. A film goes with the end of its job; what no job names goes at the next start.
 *
 * Life:    spool_open at the start -> spool_sweep -> uploads (upload.c) -> spool_remove by jobs.c.
 * Owner:   the folder is this daemon's alone.
 * Threads: any; all of them block on the disk.
 * Errors:  -errno with a sentence in err.
 * Units:   - */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define SPOOL_ID_SIZE 33 /* 32 of 0-9 a-f */

bool spool_is_id(struct str id);

/* Makes the folder; *ret: its absolute path, the caller's. */
MUST_USE int spool_open(const char *state, char **ret, struct err *err);
char *spool_path(const char *folder, const char *id, bool is_part); /* NULL: no memory */
bool spool_owns(const char *folder, const char *path);              /* a film of this folder */
void spool_remove(const char *path); /* logs what cannot be removed */

/* Removes what is_named says no to. */
void spool_sweep(const char *folder, bool (*is_named)(void *arg, const char *path), void *arg);
