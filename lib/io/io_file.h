/* SPDX-License-Identifier: Apache-2.0 */
/* io_file: the file calls that all real backends share.
 *
 * Life:    none.
 * Owner:   descriptors are the caller's.
 * Threads: any.
 * Errors:  0, a descriptor or -errno.
 * Units:   bytes. */
#pragma once
#include "io/io.h"

int io_file_open(const struct io_ops *ops, const char *path, unsigned flags);
int io_file_close(const struct io_ops *ops, int fd);
int io_file_size(const struct io_ops *ops, int fd, uint64_t *ret);
int io_file_allocate(const struct io_ops *ops, int fd, uint64_t size);
int io_file_rename(const struct io_ops *ops, const char *from, const char *to);
int io_file_unlink(const struct io_ops *ops, const char *path);
int io_file_sync_folder(const struct io_ops *ops, const char *path);
int io_file_punch(const struct io_ops *ops, int fd, uint64_t offset, uint64_t size);
int io_file_space(const struct io_ops *ops, const char *path, uint64_t *ret_free,
                  uint64_t *ret_size);

#define IO_FILE_OPS                                                                                \
    .open = io_file_open, .close = io_file_close, .file_size = io_file_size,                       \
    .allocate = io_file_allocate, .rename = io_file_rename, .unlink = io_file_unlink,              \
    .sync_folder = io_file_sync_folder, .punch = io_file_punch, .space = io_file_space
