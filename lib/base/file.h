/* SPDX-License-Identifier: Apache-2.0 */
/* file: whole small files (configuration, keys, journals), and folders.
 *
 * Life:    none.
 * Owner:   bytes read are the caller's.
 * Threads: any.
 * Errors:  -errno of the system call; -EFBIG when a file is larger than the caller allows.
 * Units:   bytes; modes as chmod(2). */
#pragma once
#include "base/buf.h"

/* Appends the file's bytes to out. */
MUST_USE int file_read(const char *path, size_t size_max, struct buf *out);

/* Reads a secret: the first line without its newline; -EBADMSG when empty. */
MUST_USE int file_read_secret(const char *path, struct buf *out);

/* Replaces path by a file with these bytes: written beside it, fsync, rename, fsync of the folder.
 * After 0 the new bytes survive a power loss; after an error the old file stands. */
MUST_USE int file_write(const char *path, struct str bytes, unsigned mode);

/* Like mkdir -p with mode 0755; an existing folder is fine. After 0 the names survive a power loss,
 * also those that an earlier call made and failed over. */
MUST_USE int file_mkdirs(const char *path);

/* Removes path and, if it is a folder, all below it; an absent one is fine. Follows no link. */
MUST_USE int file_remove_all(const char *path);

/* write(2) until all is out. */
MUST_USE int file_write_all(int fd, const void *data, size_t size);

/* fsync of a folder, so that renames and creations in it last. */
MUST_USE int file_sync_folder(const char *path);

/* "folder/name"; caller frees; NULL when out of memory. */
char *file_join(const char *folder, const char *name);
