# SPDX-License-Identifier: Apache-2.0
"""Signed tokens (RFC 9246) with claims that weirctl sign does not make, and key rings for them."""
import base64
import hashlib
import hmac
import json
import secrets


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, kid):
        self.kid, self.secret = kid, secrets.token_bytes(32)

    def jwk(self, **more):
        return {"kty": "oct", "kid": self.kid, "alg": "HS256", "k": b64(self.secret), **more}

    def sign(self, **claims):
        head = b64(json.dumps({"alg": "HS256", "kid": self.kid, "typ": "JWT"}).encode())
        text = f"{head}.{b64(json.dumps({'cdniv': 1, **claims}).encode())}"
        return f"{text}.{b64(hmac.new(self.secret, text.encode(), hashlib.sha256).digest())}"


def write_ring(path, *keys):
    path.write_text(json.dumps({"keys": [k if isinstance(k, dict) else k.jwk() for k in keys]}))


def claims_of(token):
    text = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
