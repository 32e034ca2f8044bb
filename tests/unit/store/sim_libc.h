/* SPDX-License-Identifier: Apache-2.0 */
/* sim_libc: LMDB does its own I/O. In a program that is linked with this, the libc calls that it
 * uses (and those of lib/base for folders) go through the simulator, for files below its root. */
#pragma once
#include "io/io_sim.h"

/* From now on, for the whole program; NULL: no more. Descriptors that are open keep their ways. */
void sim_libc_attach(struct io_sim *s);

/* The wall clock is so many seconds later from now on. */
void sim_libc_later(unsigned seconds);
