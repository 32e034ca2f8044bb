/* SPDX-License-Identifier: Apache-2.0 */
/* presentation_priv: what the writer and the parser of presentations agree on: limits, one check.
 *
 * Life:    calls.
 * Owner:   the caller.
 * Threads: any.
 * Errors:  presentation__check: -EINVAL with the reason in err.
 * Units:   as presentation.h.
 *
 * Both sides run the same check: what we write we can read, and the other way round. */
#pragma once
#include "base/heading.h"
#include "media/presentation.h"

#define PRESENTATION_VERSION       1
#define PRESENTATION_ASSET_MAX     128
#define PRESENTATION_TITLE_MAX     HEADING_SIZE_MAX
#define PRESENTATION_NAME_MAX      256
#define PRESENTATION_CODEC_MAX     64
#define PRESENTATION_LANGUAGE_MAX  35 /* RFC 5646 section 4.4.1 */
#define PRESENTATION_SHEETS_MAX    100000
#define PRESENTATION_BLOB_SIZE_MAX (UINT32_C(64) << 20)
#define PRESENTATION_TICKS_MAX     (UINT64_C(1) << 53) /* exact in every JSON reader */
#define PRESENTATION_LINES_MAX     65535
#define PRESENTATION_TILES_SIDE    256 /* columns, rows of a sheet */

bool presentation__asset_ok(struct str s);
bool presentation__id_ok(struct str s);
MUST_USE int presentation__check(const struct presentation *p, struct err *err);
