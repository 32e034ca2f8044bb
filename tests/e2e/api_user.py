# SPDX-License-Identifier: Apache-2.0
"""Somebody to make calls as."""

WHO = {"email": "creator@example.org", "password": "a long password"}


def creator(weir, email=WHO["email"]):
    """The access token of a new user who may do all but what administrators do."""
    base, who = weir.url("control"), dict(WHO, email=email)
    answer = weir.request("POST", base + "/api/v1/auth/signup", who)
    assert answer.status == 201, answer.body
    admin = {"Authorization": f"Bearer {weir.secret('admin')}"}
    answer = weir.request("PATCH", f"{base}/api/v1/admin/users/{answer.json()['user']['id']}", {"role": "creator"}, admin)
    assert answer.status == 200, answer.body
    answer = weir.request("POST", base + "/api/v1/auth/login", dict(who, bearer=True))
    assert answer.status == 200, answer.body
    return answer.json()["access_token"]
