/* SPDX-License-Identifier: Apache-2.0 */
/* http_inherit: listening sockets that outlive a server, or a process: connections that the kernel
 * has queued on one are reset when it closes for good, so the very same sockets are handed on.
 *
 * Life:    of the process. http_inherit_read at its start; a server takes what fits its listeners
 *          and adds all it has; http_inherit_discard once all servers have started.
 * Owner:   this module has a descriptor of its own of each.
 * Threads: any.
 * Errors:  0 or -errno.
 * Units:   -
 *
 * A socket is known by its listener as configured (address, port) and, for ports that the kernel
 * chooses, by its place among the listeners of that address. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

#define HTTP_INHERIT_MAX  1024
#define HTTP_INHERIT_NAME "WEIR_SOCKETS" /* "FD=ADDRESS|PORT|PLACE FD=..." */

/* Takes over what another process has handed to this one, and takes it out of the environment.
 * What is no listening socket is refused as a whole. */
MUST_USE int http_inherit_read(struct err *err);
MUST_USE int http_inherit_parse(struct str text, struct err *err); /* the same of a text */

/* The place of a new listener: the first that no server has. */
unsigned http_inherit_place(const char *address, uint16_t port);
/* Descriptors that the caller then owns; how many. */
unsigned http_inherit_take(const char *address, uint16_t port, unsigned place, int *ret_fds,
                           unsigned max);

/* Notes a server's socket: a descriptor of its own is made. owner: any pointer. */
MUST_USE int http_inherit_add(const void *owner, const char *address, uint16_t port, unsigned place,
                              int fd);
/* The owner will not accept any more. Its sockets are let go, or, while they are to be kept, wait
 * for the next server, here or elsewhere, with what queues on them. */
void http_inherit_drop(const void *owner);
void http_inherit_keep(bool keep);
void http_inherit_discard(void); /* what nobody took */

/* Appends the value of HTTP_INHERIT_NAME for a child, and gives the descriptors it names. */
unsigned http_inherit_list(struct buf *out, int *ret_fds, unsigned max);
