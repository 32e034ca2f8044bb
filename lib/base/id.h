/* SPDX-License-Identifier: Apache-2.0 */
/* id: random names: sessions, jobs, requests.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none: getrandom(2) from a seeded pool does not fail; asserted.
 * Units:   ID_SIZE random bytes, shown as 2 * ID_SIZE hex digits. */
#pragma once
#include "base/base.h"

#define ID_SIZE      16
#define ID_TEXT_SIZE 33

void id_random(void *out, size_t size); /* cryptographically strong */
void id_text(char out[ID_TEXT_SIZE]);
