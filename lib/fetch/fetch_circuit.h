/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_circuit: whether an upstream is worth a try.
 *
 *   closed --failures_max in a row--> open --open_ms--> one probe --answer--> closed
 *                                      ^-------------------|--failure
 * While open, and while the probe is under way, requests are not admitted; the head of any answer
 * to the probe closes the circuit.
 *
 * Life:    = {.failures_max, .open_ms} -> admits -> result or forget, once for each that was
 *          admitted.
 * Owner:   whoever sends to the upstream.
 * Threads: one at a time.
 * Errors:  none.
 * Units:   milliseconds of the monotonic clock. */
#pragma once
#include "base/base.h"

struct fetch_circuit {
    unsigned failures_max;
    uint32_t open_ms;
    unsigned failures; /* in a row */
    uint64_t open_until_ms;
    bool is_open;
    const void *probe; /* the one that tries while open */
};

/* who: any address that stands for the request until its result. */
bool fetch_circuit_admits(struct fetch_circuit *c, const void *who);
void fetch_circuit_answers(struct fetch_circuit *c, const void *who); /* a head is here */
void fetch_circuit_result(struct fetch_circuit *c, const void *who, bool answered);
void fetch_circuit_forget(struct fetch_circuit *c, const void *who); /* no verdict */
