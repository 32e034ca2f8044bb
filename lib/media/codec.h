/* SPDX-License-Identifier: Apache-2.0 */
/* codec: codec strings (RFC 6381) and the two ways H.264/HEVC samples are framed.
 *
 * Life:    calls; results in the caller's buf.
 * Owner:   the caller.
 * Threads: any.
 * Errors:  -EBADMSG for a configuration record that does not parse.
 * Units:   bytes.
 * Source:  RFC 6381, ISO/IEC 14496-15 Annex E, ISO/IEC 14496-3 (AudioSpecificConfig). */
#pragma once
#include "base/buf.h"

MUST_USE int codec_avc(struct str avcc_or_annexb, struct buf *out);        /* "avc1.64001f" */
MUST_USE int codec_hevc(struct str hvcc_or_annexb, struct buf *out);       /* "hvc1.1.6.L93.B0" */
MUST_USE int codec_aac(struct str audio_specific_config, struct buf *out); /* "mp4a.40.2" */

/* Start codes -> 4-byte lengths; out is appended to. Access unit delimiters are dropped, and so are
 * parameter sets when drop_parameter_sets (they are in the init segment). */
enum codec_nal { CODEC_NAL_AVC, CODEC_NAL_HEVC };
MUST_USE int codec_annexb_to_lengths(struct str annexb, enum codec_nal kind,
                                     bool drop_parameter_sets, struct buf *out);
