/* SPDX-License-Identifier: Apache-2.0 */
/* fault: what an API answers when it does not do as asked: status, code and one sentence.
 *
 * Life:    = {0} -> fault_set by whoever refuses -> the error answer.
 * Owner:   the caller's memory; code is static text.
 * Threads: one at a time.
 * Errors:  fault_set returns -EPROTO, which means "the fault says it all"; any other -errno is a
 *          failure of ours, and fault_of_errno makes the fault of it.
 * Units:   HTTP status codes. */
#pragma once
#include "base/base.h"

#define FAULT_FIELD_SIZE 96

struct fault {
    unsigned status;
    const char *code;
    char message[256];
    char field[FAULT_FIELD_SIZE]; /* what of the request is meant, "audio[2]"; "": all of it */
};

int fault_set(struct fault *f, unsigned status, const char *code, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* Fills f unless r is -EPROTO; logs what an operator should know. */
void fault_of_errno(struct fault *f, int r, const char *what);
