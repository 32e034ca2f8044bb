# SPDX-License-Identifier: Apache-2.0
"""Log-in by an OpenID provider: the npm package oidc-provider, and a forging one of our own."""
import http.client
import http.cookies
import http.server
import json
import pathlib
import sqlite3
import subprocess
import threading
import time
import unittest
import urllib.parse

from daemon import free_port
from people import Person, b64, configure
from weir import Weir

HERE = pathlib.Path(__file__).resolve().parent


class Provider:
    def __init__(self, redirects, port=None):
        self.process = subprocess.Popen(["node", str(HERE / "oidc_server.mjs"), str(port or free_port()), ",".join(redirects)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            raise AssertionError(line + self.process.stderr.read())
        self.port = int(line.split()[1])
        self.issuer = f"http://127.0.0.1:{self.port}"

    def who(self, sub, email=None, verified=True, **more):
        who = None if sub is None else {"sub": sub, "email": email, "email_verified": verified, **more}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/who", json.dumps(who), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()

    def visit(self, url):
        """As a browser: follows redirects until one leads elsewhere, which is answered."""
        jar = {}
        for _ in range(10):
            parts = urllib.parse.urlsplit(url)
            if parts.netloc != f"127.0.0.1:{self.port}":
                return url
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            cookies = "; ".join(f"{k}={v}" for k, v in jar.items())
            connection.request("GET", f"{parts.path}?{parts.query}", headers={"Cookie": cookies} if cookies else {})
            answer = connection.getresponse()
            text = answer.read()
            for line in answer.headers.get_all("set-cookie") or []:
                jar.update({k: m.value for k, m in http.cookies.SimpleCookie(line).items()})
            connection.close()
            if answer.status not in (302, 303):
                raise AssertionError((url, answer.status, text[:500]))
            url = urllib.parse.urljoin(url, answer.headers["location"])
        raise AssertionError("too many redirects")

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()


class Oidc(unittest.TestCase):
    NAMES = ("rs", "es", "public")

    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        cls.base = cls.weir.url("control")
        cls.redirects = [f"{cls.base}/api/v1/auth/oidc/{name}/callback" for name in cls.NAMES]
        cls.provider = Provider(cls.redirects)
        secrets = {"rs": "a secret: with +&% signs", "es": "another secret"}
        lines = [f"public_url: {cls.base}", "oidc:"]
        for name in cls.NAMES:
            lines += [f"  - name: {name}", f"    issuer: {cls.provider.issuer}", f"    client_id: {name}"]
            if name in secrets:
                (cls.weir.folder / f"secrets/oidc-{name}").write_text(secrets[name] + "\n")
                lines.append(f"    client_secret_file: {cls.weir.folder}/secrets/oidc-{name}")
        configure(cls.weir, *lines)
        cls.weir.start("control")

    @classmethod
    def tearDownClass(cls):
        cls.weir.stop()
        log = cls.weir.log("control")
        cls.provider.close()
        cls.weir.close()
        assert "another secret" not in log

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.body and answer.code), (status, code), answer.body)

    def begin(self, person, name="rs", path=None):
        query = f"?path={urllib.parse.quote(path, safe='')}" if path else ""
        answer = person.api("GET", f"auth/oidc/{name}{query}")
        self.assertEqual(answer.status, 303, answer.body)
        return answer.headers["location"]

    def back(self, person, url):
        self.assertTrue(url.startswith(self.base), url)
        return person.call("GET", url.removeprefix(self.base))

    def log_in(self, person, name="rs", path=None):
        return self.back(person, self.provider.visit(self.begin(person, name, path)))

    def test_life(self):
        for name in self.NAMES:
            self.provider.who(f"sub-{name}", f"{name}@example.org")
            ada = Person(self.weir)
            url = self.begin(ada, name, "/#/watch/film")
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
            self.assertEqual((query["code_challenge_method"], query["response_type"]), ("S256", "code"))
            self.assertTrue(query["state"] and query["nonce"] and query["code_challenge"])
            answer = self.back(ada, self.provider.visit(url))
            self.assertEqual((answer.status, answer.headers["location"]), (303, "/#/watch/film"), answer.body)
            me = ada.api("GET", "users/me").json()["user"]
            self.assertEqual((me["email"], me["has_password"]), (f"{name}@example.org", False))
            again = Person(self.weir)
            self.provider.who(f"sub-{name}", f"moved-{name}@example.org", False)  # the same person, whatever the address
            self.assertEqual(self.log_in(again, name).status, 303)
            self.assertEqual(again.api("GET", "users/me").json()["user"]["id"], me["id"])
            self.refused(Person(self.weir).log_in(f"{name}@example.org", ""), 401, "LOGIN_FAILED")
        names = [p["name"] for p in Person(self.weir).api("GET", "auth/oidc").json()["providers"]]
        self.assertEqual(names, list(self.NAMES))

    def test_first_password(self):
        """Nothing but the log-in itself proves whose it is: then that must have been a moment ago."""
        carl = Person(self.weir)
        self.provider.who("sub-carl", "carl@example.org")
        self.assertEqual(self.log_in(carl).status, 303)
        db = sqlite3.connect(self.weir.folder / "control/weir.db", timeout=30)
        with db:
            db.execute("UPDATE c_sessions SET doc = json_set(doc, '$.created_ms', json_extract(doc, '$.created_ms') - 700000)")
        db.close()
        first = {"new_password": "the first password"}
        self.refused(carl.api("POST", "users/me/password", first), 403, "LOGIN_TOO_OLD")
        self.refused(carl.api("DELETE", "users/me", {}), 403, "LOGIN_TOO_OLD")
        self.assertEqual(self.log_in(carl).status, 303)
        self.assertEqual(carl.api("POST", "users/me/password", first).status, 204)
        self.assertEqual(Person(self.weir).log_in("carl@example.org", "the first password").status, 200)
        self.refused(carl.api("POST", "users/me/password", {"new_password": "the second one"}), 403, "PASSWORD_WRONG")

    def test_linking(self):
        """By an address that both have shown to be the person's, and no other."""
        bob = Person(self.weir)
        user = bob.sign_up("link@example.org")  # without letters nobody has shown anything
        self.provider.who("sub-link", "link@example.org")
        self.refused(self.log_in(Person(self.weir)), 403, "OIDC_EMAIL_UNVERIFIED")
        self.weir.run("user", "verify", "link@example.org", check=True)
        self.provider.who("sub-thief", "link@example.org", False)
        self.refused(self.log_in(Person(self.weir)), 403, "OIDC_EMAIL_UNVERIFIED")
        self.provider.who("sub-text", "link@example.org", "true")
        self.refused(self.log_in(Person(self.weir)), 403, "OIDC_EMAIL_UNVERIFIED")
        self.provider.who("sub-link", "Link@example.org")
        ada = Person(self.weir)
        self.assertEqual(self.log_in(ada).status, 303)
        self.assertEqual(ada.api("GET", "users/me").json()["user"]["id"], user["id"])
        self.weir.run("user", "disable", "link@example.org", check=True)
        self.refused(self.log_in(Person(self.weir)), 403, "ACCOUNT_DISABLED")

    def test_states(self):
        self.provider.who("sub-state", "state@example.org")
        # An answer that was meant for another browser: nobody is logged in as somebody else.
        thief, victim = Person(self.weir), Person(self.weir)
        url = self.provider.visit(self.begin(thief))
        self.refused(self.back(victim, url), 400, "OIDC_STATE_INVALID")
        self.assertEqual(victim.jar, {})
        self.refused(self.back(thief, url), 400, "OIDC_STATE_INVALID")  # used up by the try
        ada = Person(self.weir)
        url = self.provider.visit(self.begin(ada))
        cookie = dict(ada.jar)
        self.assertEqual(self.back(ada, url).status, 303)
        ada.jar = cookie
        self.refused(self.back(ada, url), 400, "OIDC_STATE_INVALID")  # good once
        # Another provider's answer, or the right one under another's name.
        ada = Person(self.weir)
        url = self.provider.visit(self.begin(ada, "rs"))
        self.refused(self.back(ada, url.replace("/rs/", "/es/")), 400, "OIDC_STATE_INVALID")
        ada = Person(self.weir)
        url = self.provider.visit(self.begin(ada))
        self.refused(self.back(ada, url.replace("iss=http", "iss=https")), 400, "OIDC_STATE_INVALID")
        ada = Person(self.weir)
        url = self.provider.visit(self.begin(ada))
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query), code="forged")
        self.refused(self.back(ada, parts._replace(query=urllib.parse.urlencode(query)).geturl()), 403, "OIDC_REFUSED")
        for path in ("auth/oidc/none", "auth/oidc/none/callback?state=x&code=y"):
            self.refused(Person(self.weir).api("GET", path), 404, "PROVIDER_NOT_FOUND")
        self.refused(Person(self.weir).api("GET", "auth/oidc/rs/callback?state=x&code=y"), 400, "OIDC_STATE_INVALID")
        self.refused(Person(self.weir).api("GET", "auth/oidc/rs/callback?code=y"), 422, "PARAMETER_INVALID")

    def test_refusal(self):
        self.provider.who(None)
        ada = Person(self.weir)
        self.refused(self.log_in(ada), 403, "OIDC_REFUSED")
        self.assertEqual(ada.jar, {})

    def test_open_redirect(self):
        for path in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "evil", "/a\r\nx: y", "/%0d"):
            answer = Person(self.weir).api("GET", f"auth/oidc/rs?path={urllib.parse.quote(path, safe='')}")
            if path == "/%0d":
                self.assertEqual(answer.status, 303)  # as it stands: it is a path
            else:
                self.refused(answer, 422, "PARAMETER_INVALID" if "\n" in path else "PATH_INVALID")

    def test_second_factor(self):
        """A provider stands for the password, not for the second factor."""
        from people import totp
        self.provider.who("sub-otp", "otp@example.org")
        ada = Person(self.weir)
        self.assertEqual(self.log_in(ada).status, 303)
        secret = ada.api("POST", "auth/otp/enrol").json()["secret"]
        at = time.time()
        self.assertEqual(ada.api("POST", "auth/otp/confirm", {"code": totp(secret, at)}).status, 200)
        bob = Person(self.weir)
        answer = self.log_in(bob, path="/x")
        self.assertRegex(answer.headers["location"], "^/#/code/[A-Za-z0-9_-]{43}$")
        self.refused(bob.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        ticket = answer.headers["location"].rsplit("/", 1)[1]
        self.assertEqual(bob.api("POST", "auth/otp", {"ticket": ticket, "code": totp(secret, at + 30)}).status, 200)

    def test_new_keys(self):
        """The provider is started anew with other keys, and away in between."""
        self.provider.who("sub-keys", "keys@example.org")
        self.assertEqual(self.log_in(Person(self.weir)).status, 303)
        ada = Person(self.weir)
        url = self.provider.visit(self.begin(ada))
        port = self.provider.port
        self.provider.close()
        self.refused(self.back(ada, url), 502, "PROVIDER_FAILED")
        type(self).provider = Provider(self.redirects, port)
        self.provider.who("sub-keys", "keys@example.org")
        until = time.monotonic() + 60
        while True:  # its keys are read again at most every ten seconds
            answer = self.log_in(Person(self.weir))
            if answer.status == 303:
                break
            self.refused(answer, 502, "PROVIDER_FAILED")
            self.assertLess(time.monotonic(), until)
            time.sleep(0.5)


class Forger(http.server.BaseHTTPRequestHandler):
    """A provider whose answers are what the test says."""

    def log_message(self, *_):
        pass

    def answer(self, value, status=200):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        plan = self.server.plan
        issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.startswith("/.well-known/"):
            self.answer({"issuer": issuer, "authorization_endpoint": issuer + "/auth", "token_endpoint": issuer + "/token",
                         "jwks_uri": issuer + "/keys", "userinfo_endpoint": issuer + "/me"})
        elif self.path == "/keys":
            self.answer({"keys": [self.server.jwk]})
        elif self.path == "/me":
            self.answer(plan["userinfo"])

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"access_token": "a", "token_type": "Bearer", "id_token": self.server.token()})


class Forged(unittest.TestCase):
    """Each claim of an id token that is not as it must be; the signature is made by openssl."""

    def sign(self, header, payload):
        text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
        made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(self.key)], input=text.encode(), capture_output=True, check=True)
        return f"{text}.{b64(made.stdout)}"

    def setUp(self):
        self.weir = Weir()
        self.addCleanup(self.weir.close)
        self.key = self.weir.folder / "secrets/forger.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(self.key), "2048"], check=True, capture_output=True)
        modulus = subprocess.run(["openssl", "rsa", "-in", str(self.key), "-modulus", "-noout"], check=True, capture_output=True, text=True)
        number = bytes.fromhex(modulus.stdout.strip().split("=")[1])
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forger)
        self.server.plan = {}
        self.server.jwk = {"kty": "RSA", "kid": "k", "use": "sig", "n": b64(number), "e": "AQAB"}
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        configure(self.weir, f"public_url: {self.weir.url('control')}", "oidc:", "  - name: p", f"    issuer: {self.issuer}", "    client_id: c")
        self.weir.start("control")

    def try_with(self, header=None, userinfo=None, **changed):
        person = Person(self.weir)
        url = person.api("GET", "auth/oidc/p").headers["location"]
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        now = int(time.time())
        payload = {"iss": self.issuer, "aud": "c", "sub": "s", "exp": now + 60, "iat": now, "nonce": query["nonce"],
                   "email": "ada@example.org", "email_verified": True, **changed}
        payload = {k: v for k, v in payload.items() if v is not None}
        self.server.plan = {"userinfo": userinfo or {}}
        self.server.token = lambda: header(payload) if callable(header) else self.sign({"alg": "RS256", "kid": "k", **(header or {})}, payload)
        answer = person.api("GET", f"auth/oidc/p/callback?code=x&state={query['state']}")
        return answer.status, answer.body and answer.code

    def test_claims(self):
        now = int(time.time())
        bad = (502, "PROVIDER_FAILED")
        self.assertEqual(self.try_with()[0], 303)
        for changed in ({"iss": "https://other.example"}, {"iss": None}, {"aud": "d"}, {"aud": None}, {"aud": ["c", "d"]}, {"aud": []},
                        {"azp": "d"}, {"exp": now - 3600}, {"exp": None}, {"exp": "9999999999"}, {"iat": now + 3600}, {"iat": None},
                        {"nonce": "other"}, {"nonce": None}, {"sub": None}, {"sub": ""}, {"sub": {"$gt": ""}}, {"sub": "x" * 300}):
            self.assertEqual(self.try_with(**changed), bad, changed)
        self.assertEqual(self.try_with(aud=["c"], azp="c")[0], 303)
        # Signatures: none, by a secret, under another name, broken.
        unsigned = lambda p: f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(p).encode())}."  # noqa: E731
        for header in (unsigned, {"alg": "HS256"}, {"kid": "other"}, {"alg": "RS512"}, {"crit": ["x"]}, lambda p: "nonsense",
                       lambda p: self.sign({"alg": "RS256", "kid": "k"}, p)[:-4] + "AAAA", lambda p: None, lambda p: {"$gt": ""}):
            self.assertEqual(self.try_with(header), bad, header)
        # Userinfo counts only about the same person.
        self.assertEqual(self.try_with(email=None, email_verified=None, sub="t", userinfo={"sub": "u", "email": "b@example.org", "email_verified": True}), bad)
        self.assertEqual(self.try_with(email=None, email_verified=None, sub="t", userinfo={"sub": "t", "email": "b@example.org", "email_verified": True})[0], 303)
        self.assertEqual(self.try_with(sub="v", email_verified=False), (403, "OIDC_EMAIL_UNVERIFIED"))
        self.weir.stop("control")


if __name__ == "__main__":
    unittest.main()
