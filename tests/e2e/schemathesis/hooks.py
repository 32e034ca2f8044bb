# SPDX-License-Identifier: Apache-2.0
"""Formats of the API's document that schemathesis does not know: SCHEMATHESIS_HOOKS=this file."""
import string

import schemathesis
from hypothesis import strategies as st

NAME = string.ascii_letters + string.digits
CLEAN = st.characters(exclude_categories=("Cc", "Cs"))
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7e)


def letters(least, most, alphabet=string.ascii_letters):
    return st.text(alphabet=alphabet, min_size=least, max_size=most)


FORMATS = {
    "asset": st.builds(lambda first, rest: first + rest, letters(1, 1, NAME + "_-"), letters(0, 40, NAME + "._-")),
    "base64url": letters(1, 60, NAME + "-_"),
    "country": letters(2, 2, string.ascii_uppercase),
    "digest": letters(32, 32, "0123456789abcdef"),
    "id": letters(32, 32, "0123456789abcdef"),
    "language": st.sampled_from(["en", "de", "pt-BR", "zh-Hant-TW", "und"]),
    "line": st.text(CLEAN, min_size=1, max_size=60),
    "lines": st.text(st.one_of(CLEAN, st.just("\n")), min_size=1, max_size=60),
    "password": st.text(PRINTABLE, min_size=8, max_size=40),
}

for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


# What valid data may be refused for by 422: what no schema can tell. Codes that end with _UNKNOWN name things that are not there.
KNOWN = {"CURSOR_INVALID", "IDEMPOTENCY_MISMATCH", "PARENT_INVALID", "PASSWORD_TOO_LONG", "TIME_INVALID"}


@schemathesis.check
def valid_data_is_taken(ctx, response, case):
    """In place of positive_data_acceptance, which knows statuses but no codes."""
    meta = case.meta
    if meta is None or meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    code = response.json()["error"]["code"] if response.status_code == 422 else None
    if response.status_code in (400, 415) or (code is not None and code not in KNOWN and not code.endswith("_UNKNOWN")):
        raise AssertionError(f"valid data was refused: {response.text[:300]}")
