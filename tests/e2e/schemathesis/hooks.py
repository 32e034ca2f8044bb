# SPDX-License-Identifier: Apache-2.0
"""What schemathesis does not know of the API: formats, what valid data may be refused for, and how to log in again.
SCHEMATHESIS_HOOKS=this file."""
import json
import os
import ssl
import string
import urllib.request

import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection

NAME = string.ascii_letters + string.digits
CLEAN = st.characters(exclude_categories=("Cc", "Cs"))
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7e)

# Some of ISO 3166-1: as many as a list of them holds, and no two letters that are none.
COUNTRIES = {"A": "DEFGILMOQRSTUWXZ", "B": "ABDEFGHIJLMNOQRSTVWYZ", "C": "ACDFGHIKLMNORUVWXYZ", "G": "ABDEFGHILMNPQRSTUWY",
             "M": "ACDEFGHKLMNOPQRSTUVWXYZ", "S": "ABCDEGHIJKLMNORSTVXYZ"}


def letters(least, most, alphabet=string.ascii_letters):
    return st.text(alphabet=alphabet, min_size=least, max_size=most)


FORMATS = {
    "asset": st.builds(lambda first, rest: first + rest, letters(1, 1, NAME + "_-"), letters(0, 40, NAME + "._-")),
    "base64url": letters(1, 60, NAME + "-_"),
    "country": st.sampled_from([a + b for a, rest in COUNTRIES.items() for b in rest]),
    "digest": letters(32, 32, "0123456789abcdef"),
    "id": letters(32, 32, "0123456789abcdef"),
    "language": st.one_of(st.sampled_from(["en", "pt-BR", "zh-Hant-TW", "und"]), letters(2, 3, string.ascii_lowercase)),
    "line": st.text(CLEAN, max_size=60),
    "lines": st.text(st.one_of(CLEAN, st.just("\n")), max_size=60),
    "password": st.text(PRINTABLE, min_size=8, max_size=40),
}

for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


# What valid data may be refused for by 422: what no schema can tell. Codes that end with _UNKNOWN name things that are not there.
KNOWN = {"CURSOR_INVALID", "IDEMPOTENCY_MISMATCH", "ORDER_INVALID", "PARENT_INVALID", "PASSWORD_TOO_LONG", "PUBLISH_AT_MISSING", "QUERY_EMPTY",
         "SCOPE_INVALID", "SEASONS_INVALID", "TIME_INVALID", "WITHDRAW_AT_PAST"}


@schemathesis.check
def valid_data_is_taken(ctx, response, case):
    """In place of positive_data_acceptance, which knows statuses but no codes."""
    meta = case.meta
    if meta is None or meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    code = response.json()["error"]["code"] if response.status_code == 422 else None
    if response.status_code in (400, 415) or (code is not None and code not in KNOWN and not code.endswith("_UNKNOWN")):
        raise AssertionError(f"valid data was refused: {response.text[:300]}")


@schemathesis.check
def broken_data_is_refused(ctx, response, case):
    """In place of negative_data_rejection, which takes any text, and null, for what breaks a format it does not know itself."""
    if case.meta is not None and "violates `format`" in (case.meta.phase.data.description or ""):
        return None
    return negative_data_rejection(ctx, response, case)


LOG_IN = json.loads(os.environ.get("WEIR_LOG_IN", "null"))  # {"base", "ca_file", "who"}, or nothing: a credential that does not end

if LOG_IN is not None:
    @schemathesis.auth(refresh_interval=3600, retry_on=[401])
    class Session:
        """A session, and a new one when a request has ended it: a run of refusals would check nothing."""

        def get(self, case, context):
            request = urllib.request.Request(LOG_IN["base"] + "/api/v1/auth/login", json.dumps(LOG_IN["who"]).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=LOG_IN["ca_file"])) as answer:
                return json.load(answer)["access_token"]

        def set(self, case, data, context):
            case.headers["Authorization"] = f"Bearer {data}"
