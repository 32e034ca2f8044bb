# SPDX-License-Identifier: Apache-2.0
"""People as clients of a running weir-control: with the cookies of a browser, or the tokens of a program."""
import base64
import hashlib
import hmac
import http.cookies
import json
import struct
import time

from weir import Weir


class Person:
    """Keeps cookies by name and path, as a browser does, and sends them where they belong."""

    def __init__(self, weir):
        self.weir, self.jar = weir, {}
        self.base = weir.url("control")

    def call(self, method, path, body=None, headers=None, cookies=True):
        headers = dict(headers or {})
        sent = [f"{name}={value}" for (name, where), value in self.jar.items() if path.startswith(where)]
        if cookies and sent:
            headers["Cookie"] = "; ".join(sent)
        if body is None and method == "POST":
            body = {}
        answer = self.weir.request(method, self.base + path, body, headers)
        for line in answer.headers.get_all("set-cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                if morsel.value:
                    self.jar[name, morsel["path"]] = morsel.value
                else:
                    self.jar.pop((name, morsel["path"]), None)
        return answer

    def api(self, method, path, body=None, **headers):
        return self.call(method, "/api/v1/" + path, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def cookie(self, name):
        return next((value for (n, _), value in self.jar.items() if n == name), None)

    def sign_up(self, email, password="password1"):
        answer = self.api("POST", "auth/signup", {"email": email, "password": password})
        assert answer.status == 201, answer.body
        return answer.json()["user"]

    def log_in(self, email, password="password1", **more):
        return self.api("POST", "auth/login", {"email": email, "password": password, **more})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def totp(secret, at=None):
    """RFC 6238, by another hand than the daemon's."""
    step = int((time.time() if at is None else at) // 30)
    mac = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10 ** 6:06}"


def claims(token):
    return json.loads(unb64(token.split(".")[1]))


def configure(weir, *lines):
    """More lines for control's configuration."""
    path = weir.folder / "config/control.yaml"
    path.write_text(path.read_text() + "".join(line + "\n" for line in lines))


def start_control(*lines):
    weir = Weir()
    configure(weir, *lines)
    return weir.start("control")
