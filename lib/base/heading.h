/* SPDX-License-Identifier: Apache-2.0 */
/* heading: what a film's title may be. One rule for the tool, ingest, presentations and control.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  -EINVAL with the sentence in err.
 * Units:   characters are Unicode code points. */
#pragma once
#include "base/err.h"
#include "base/str.h"

#define HEADING_MAX      300               /* characters */
#define HEADING_SIZE_MAX (4 * HEADING_MAX) /* bytes */

/* 1 to HEADING_MAX characters of UTF-8, none of them a control character. */
MUST_USE int heading_check(struct str title, struct err *err);
