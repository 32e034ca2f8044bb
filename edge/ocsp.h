/* SPDX-License-Identifier: Apache-2.0 */
/* ocsp: asks the authorities of the edge's certificates for OCSP answers, so that handshakes can
 * staple them: at the start, at half of an answer's life, and again soon after a failure.
 *
 * Life:    ocsp_new on the first worker -> (timer, one request at a time) -> ocsp_free.
 * Owner:   the worker.
 * Threads: the worker's; ocsp_look by loop_post from any.
 * Errors:  ocsp_new: -ENOMEM and fetch_new's. What goes wrong later is logged, counted and tried
 *          again; handshakes then go on with the answer before, until it expires.
 * Units:   milliseconds, seconds.
 * Source:  RFC 6960 appendix A (OCSP over HTTP). */
#pragma once
#include "edge/edge.h"

struct ocsp;

MUST_USE int ocsp_new(struct edge_worker *w, struct ocsp **ret);
struct ocsp *ocsp_free(struct ocsp *o);
void ocsp_look(void *ocsp); /* now: certificates have changed */
