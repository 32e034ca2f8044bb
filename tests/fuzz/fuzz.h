/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what a fuzz target includes: one call an input; ASSERT for what must hold.
 *
 * Life:    a call an input, many in one process.
 * Owner:   the target frees all that it takes.
 * Threads: one.
 * Errors:  a broken promise aborts.
 * Units:   bytes. */
#pragma once
#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct str fuzz_str(const uint8_t *data, size_t size)
{
    return (struct str){(const char *)data, size};
}
