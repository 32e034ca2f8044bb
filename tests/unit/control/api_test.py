#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The API of a running weir-control over TLS: every call of docs/api.md, section Control, and every
code it can answer. api_test.py WEIR_CONTROL; Python's own library only, and the openssl command."""
import base64
import gzip
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from urllib.parse import unquote

PROGRAM = None
ADMIN = "admin-credential-0123456789"
EDGE = "https://edge.example:8443"
SECRET = bytes(range(32))
SCRIPT = b"console.log('page');\n"
VIDEO = {"title": "Tears", "duration_ms": 734000, "height": 2160, "audio": ["en", "de"],
         "subtitles": ["en"]}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Daemon:
    """A weir-control with a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.config = os.path.join(folder, "control.yaml")
        self.cert = os.path.join(folder, "cert.pem")
        os.makedirs(os.path.join(folder, "web", "assets"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                        os.path.join(folder, "key.pem"), "-out", self.cert],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.write("ring.json", json.dumps({"keys": [
            {"kty": "oct", "kid": "k1", "alg": "HS256", "k": b64(SECRET)}]}))
        self.write("admin", ADMIN + "\n")
        self.write("web/index.html", "<!doctype html><title>Weir</title>")
        with open(os.path.join(folder, "web/assets/app-1.js"), "wb") as f:
            f.write(SCRIPT)
        self.write("control.yaml", self.yaml())
        self.process = None

    def yaml(self, **changed):
        values = {"db": "control.db", "token_ring_file": "ring.json",
                  "admin_credential_file": "admin", "web_folder": "web"}
        lines = ["listen:", "  address: 127.0.0.1", "  port: 0", f"  cert_file: {self.cert}",
                 f"  key_file: {os.path.join(self.folder, 'key.pem')}", "admin_listen:",
                 "  address: 127.0.0.1", "  port: 0", f"edge_url: {changed.pop('edge_url', EDGE)}/",
                 f"token_lifetime_s: {changed.pop('token_lifetime_s', 3600)}"]
        lines += changed.pop("more", [])
        lines += changed.pop("api", ["api: {rate_user: 1000000, rate_address: 1000000}"])
        lines += [f"{k}: {os.path.join(self.folder, changed.get(k, v))}" for k, v in values.items()]
        return "\n".join(lines) + "\n"

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def start(self):
        self.process = subprocess.Popen([PROGRAM, "--config", self.config],
                                        stderr=subprocess.PIPE, text=True)
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            found = re.search(r"serving on \S+ port (\d+), status on \S+ port (\d+)", line)
            if found:
                self.port, self.admin_port = int(found[1]), int(found[2])
                break
        else:
            raise AssertionError("weir-control did not start: " + "".join(lines))
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr),
                                       daemon=True)
        self.reader.start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.reader.join(60)
        self.process.stderr.close()
        return code

    def call(self, method, path, body=None, headers=None, raw=None, **more):
        """more: session (cookie), bearer, origin, type."""
        headers = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
        if method == "POST":
            headers.setdefault("Content-Type", more.get("type", "application/json"))
        if "session" in more:
            headers["Cookie"] = f"other=1; weir_access={more['session']}"
        if "bearer" in more:
            headers["Authorization"] = f"Bearer {more['bearer']}"
        if "origin" in more:
            headers["Origin"] = more["origin"]
        context = ssl.create_default_context(cafile=self.cert)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context,
                                                 timeout=60)
        try:
            connection.request(method, path, body=data, headers=headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def admin(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=60)
        try:
            connection.request("GET", path)
            return Answer(connection.getresponse())
        finally:
            connection.close()


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="weir-control-")
        cls.d = Daemon(cls.folder.name)
        cls.d.start()

    @classmethod
    def tearDownClass(cls):
        try:
            code = cls.d.stop()
            if code != 0:
                raise AssertionError(f"ended with {code}: {''.join(cls.d.log)}")
        finally:
            cls.folder.cleanup()

    def refused(self, answer, status, code):
        self.assertIn("error", answer.json)
        self.assertEqual((answer.status, answer.json["error"]["code"]), (status, code))
        self.assertEqual(set(answer.json), {"error"})
        self.assertEqual(set(answer.json["error"]), {"code", "message", "details"})
        self.assertTrue(answer.json["error"]["message"])
        self.assertEqual(answer.headers["content-type"], "application/json")

    def sign_up(self, email, password="password1"):
        answer = self.d.call("POST", "/api/v1/auth/signup", {"email": email, "password": password})
        self.assertEqual(answer.status, 201, answer.body)
        return re.match(r"weir_access=([A-Za-z0-9_.-]+);", answer.headers["set-cookie"])[1]

    def put(self, asset, video=None):
        return self.d.call("PUT", f"/api/v1/admin/assets/{asset}", video or VIDEO, bearer=ADMIN)


class Accounts(Base):
    def test_life(self):
        answer = self.d.call("POST", "/api/v1/auth/signup",
                             {"email": "Ada@Example.org", "password": "password1"})
        self.assertEqual(answer.status, 201)
        user = answer.json["user"]
        self.assertEqual(set(answer.json), {"user", "expires"})
        self.assertEqual((user["email"], user["role"]), ("ada@example.org", "free"))
        access, refresh = answer.headers.get_all("set-cookie")
        for part in ("weir_access=", "; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax",
                     "; Max-Age=1800"):
            self.assertIn(part, access)
        for part in ("weir_refresh=", "; Path=/api/v1/auth;", "; HttpOnly", "; Secure",
                     "; SameSite=Lax", "; Max-Age=604800"):
            self.assertIn(part, refresh)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        answer = self.d.call("POST", "/api/v1/auth/login",
                             {"email": "ADA@example.org", "password": "password1"})
        self.assertEqual((answer.status, answer.json["user"]), (200, user))
        session = re.match(r"weir_access=([^;]+)", answer.headers["set-cookie"])[1]
        me = dict(user, profile=None)
        self.assertEqual(self.d.call("GET", "/api/v1/users/me", session=session).json["user"], me)
        self.assertEqual(self.d.call("GET", "/api/v1/users/me", bearer=session).json["user"], me)
        answer = self.d.call("POST", "/api/v1/auth/logout", session=session)
        self.assertEqual((answer.status, answer.body), (204, b""))
        for cookie in answer.headers.get_all("set-cookie"):
            self.assertRegex(cookie, "^weir_(access|refresh)=; ")
            self.assertIn("Max-Age=0", cookie)
        self.refused(self.d.call("GET", "/api/v1/users/me", session=session), 401, "NOT_LOGGED_IN")
        self.refused(self.d.call("POST", "/api/v1/auth/logout", {}, session=session), 401,
                     "NOT_LOGGED_IN")

    def test_refused(self):
        self.sign_up("taken@example.org")
        cases = [
            ({"email": "TAKEN@example.org", "password": "password2"}, 409, "EMAIL_TAKEN"),
            ({"email": "nothing", "password": "password1"}, 422, "EMAIL_INVALID"),
            ({"email": "b@example.org", "password": "1234567"}, 422, "PASSWORD_TOO_SHORT"),
            ({"email": "b@example.org", "password": "x" * 73}, 422, "PASSWORD_TOO_LONG"),
            ({"email": "b@example.org"}, 422, "BODY_INVALID"),
            ({"email": 1, "password": "password1"}, 422, "EMAIL_INVALID"),
            ({"email": "b@example.org", "password": 12345678}, 422, "BODY_INVALID"),
            ({"email": "b@example.org", "password": "password1", "admin": True}, 422,
             "BODY_INVALID"),
            ([], 422, "BODY_INVALID"),
        ]
        for body, status, code in cases:
            answer = self.d.call("POST", "/api/v1/auth/signup", body)
            self.refused(answer, status, code)
            self.assertIsNone(answer.headers["set-cookie"])
        for raw in (b"", b"{", b'{"email":"a@b.co","email":"a@b.co"}', b"\xff"):
            self.refused(self.d.call("POST", "/api/v1/auth/signup", raw=raw), 400, "JSON_INVALID")
        for email, password in (("taken@example.org", "password2"), ("nothing", ""),
                                ("who@example.org", "password1"),
                                ("taken@example.org", "password1" + "x" * 80)):
            self.refused(self.d.call("POST", "/api/v1/auth/login",
                                     {"email": email, "password": password}), 401, "LOGIN_FAILED")
        # Refused for what it announces, before it comes.
        self.assertEqual(self.d.call("POST", "/api/v1/auth/signup", raw=b"",
                                     headers={"Content-Length": str(2 << 20)}).status, 413)

    def test_other_pages(self):
        session = self.sign_up("csrf@example.org")
        own = f"https://127.0.0.1:{self.d.port}"
        body = {"email": "csrf@example.org", "password": "password1"}
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
            for path in ("auth/login", "auth/signup", "auth/logout", "playback"):
                self.refused(self.d.call("POST", f"/api/v1/{path}", body, session=session,
                                         type=kind), 415, "TYPE_UNSUPPORTED")
        for origin in ("https://evil.example", "null", own.replace("https", "http"), own + "0"):
            for path in ("auth/login", "auth/signup", "auth/logout", "playback"):
                self.refused(self.d.call("POST", f"/api/v1/{path}", body, session=session,
                                         origin=origin), 403, "ORIGIN_REFUSED")
        self.assertEqual(self.d.call("POST", "/api/v1/auth/login", body, origin=own,
                                     type="application/json; charset=utf-8").status, 200)
        self.assertEqual(self.d.call("GET", "/api/v1/users/me", session=session).status, 200)

    def test_not_logged_in(self):
        me = "/api/v1/users/me"
        self.refused(self.d.call("GET", me), 401, "NOT_LOGGED_IN")
        for guess in ("x", "A" * 43, "A" * 5000, ADMIN):
            self.refused(self.d.call("GET", me, bearer=guess), 401, "NOT_LOGGED_IN")
            self.refused(self.d.call("GET", me, session=guess), 401, "NOT_LOGGED_IN")
        for method, path in (("GET", "/api/v1/videos"), ("POST", "/api/v1/playback")):
            body = {"asset": "film"} if method == "POST" else None
            self.refused(self.d.call(method, path, body), 401, "NOT_LOGGED_IN")

    def test_expired(self):
        session = self.sign_up("expired@example.org")
        login = json.loads(unb64(session.split(".")[1]))["sid"]
        db = sqlite3.connect(os.path.join(self.d.folder, "control.db"), timeout=30)
        with db:
            changed = db.execute("UPDATE c_sessions SET doc = json_set(doc, '$.expires_ms', ?)"
                                 " WHERE id = ?", (int(time.time() * 1000) - 1, login)).rowcount
            stored = "".join(row[0] for row in db.execute("SELECT doc FROM c_sessions"))
            hashes = [row[0] for row in
                      db.execute("SELECT json_extract(doc, '$.password') FROM c_users")]
        db.close()
        self.assertEqual(changed, 1)
        self.assertNotIn(session, stored)
        self.assertTrue(all(h.startswith("$2b$12$") for h in hashes))
        self.refused(self.d.call("GET", "/api/v1/users/me", session=session), 401, "NOT_LOGGED_IN")

    def test_race(self):
        """Many sign-ups with one address at once: one account."""
        answers = []
        body = {"email": "race@example.org", "password": "password1"}
        threads = [threading.Thread(target=lambda: answers.append(
            self.d.call("POST", "/api/v1/auth/signup", body).status)) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [201] + [409] * 5)

    def test_secrets_are_not_logged(self):
        session = self.sign_up("quiet@example.org", "a-secret-password")
        self.d.call("GET", "/api/v1/users/me", bearer=session)
        text = "".join(self.d.log)
        self.assertNotIn("a-secret-password", text)
        self.assertNotIn(session, text)


class Catalogue(Base):
    def setUp(self):
        if not hasattr(Catalogue, "session"):
            Catalogue.session = self.sign_up("viewer@example.org")

    def claims(self, url, asset, view):
        found = re.fullmatch(re.escape(EDGE) + r"/;URISigningPackage=([^/]+)/v/" + asset + "/" +
                             re.escape(view), url)
        self.assertIsNotNone(found, url)
        head, payload, signature = unquote(found[1]).split(".")
        wanted = hmac.new(SECRET, f"{head}.{payload}".encode(), hashlib.sha256).digest()
        self.assertEqual(unb64(signature), wanted)
        self.assertEqual(json.loads(unb64(head))["kid"], "k1")
        return json.loads(unb64(payload))

    def test_keeper(self):
        answer = self.put("keeper")
        self.assertEqual(answer.status, 200)
        first = answer.json
        self.assertEqual({k: first[k] for k in VIDEO}, VIDEO)
        self.assertEqual(first["asset"], "keeper")
        answer = self.put("keeper", dict(VIDEO, title="Tears of Steel"))
        self.assertEqual(answer.json["title"], "Tears of Steel")
        self.assertEqual(answer.json["created"], first["created"])
        path = "/api/v1/admin/assets/keeper"
        self.assertEqual(self.d.call("DELETE", path, bearer=ADMIN).status, 204)
        self.assertEqual(self.d.call("DELETE", path, bearer=ADMIN).status, 204)

    def test_keeper_refused(self):
        path = "/api/v1/admin/assets/film"
        for method in ("PUT", "DELETE"):
            self.refused(self.d.call(method, path, VIDEO), 401, "CREDENTIAL_MISSING")
            self.refused(self.d.call(method, path, VIDEO, session=self.session), 403,
                         "ROLE_MISSING")
            self.refused(self.d.call(method, path, VIDEO, bearer=self.session), 403,
                         "ROLE_MISSING")
            for guess in (ADMIN + "0", ADMIN[:-1], "A" * 43):
                self.refused(self.d.call(method, path, VIDEO, bearer=guess), 401,
                             "CREDENTIAL_WRONG")
            for asset in ("", "a/b"):
                self.refused(self.d.call(method, f"/api/v1/admin/assets/{asset}", VIDEO,
                                         bearer=ADMIN), 404, "NOT_FOUND")
            for asset in (".hidden", "a%2fb", "x" * 129, "a+b"):
                self.refused(self.d.call(method, f"/api/v1/admin/assets/{asset}", VIDEO,
                                         bearer=ADMIN), 422, "ASSET_INVALID")
        for bad in (dict(VIDEO, title=""), dict(VIDEO, duration_ms="1"), dict(VIDEO, audio="en"),
                    dict(VIDEO, more=1), {"title": "x"}):
            self.refused(self.put("film", bad), 422, "BODY_INVALID")
        self.refused(self.d.call("PUT", path, raw=b"{", bearer=ADMIN), 400, "JSON_INVALID")

    def test_list(self):
        names = [f"list-{i}" for i in range(5)]
        for name in names:
            self.assertEqual(self.put(name).status, 200)
        answer = self.d.call("GET", "/api/v1/videos", session=self.session)
        self.assertEqual(answer.status, 200)
        videos = [v for v in answer.json["videos"] if v["asset"].startswith("list-")]
        self.assertEqual([v["asset"] for v in videos], names[::-1])
        created = [v["created"] for v in answer.json["videos"]]
        self.assertEqual(created, sorted(created, reverse=True))
        self.assertIsNone(answer.json["next"])
        self.assertEqual({k: videos[0][k] for k in VIDEO}, VIDEO)
        claims = self.claims(videos[0]["poster_url"], "list-4", "poster.jpg")
        self.assertNotIn("weir_asset", claims)
        self.assertTrue(re.fullmatch(claims["cdniuc"].removeprefix("regex:"), "https://e/v/list-4/poster.jpg"))
        self.assertFalse(re.fullmatch(claims["cdniuc"].removeprefix("regex:"), "https://e/v/list-4/master.m3u8"))
        again = self.d.call("GET", "/api/v1/videos", session=self.session).json["videos"]
        if claims["exp"] == self.claims(again[0]["poster_url"], again[0]["asset"],
                                        "poster.jpg")["exp"]:  # not just at the full hour
            self.assertEqual(again[0]["poster_url"], answer.json["videos"][0]["poster_url"])
        walked, cursor = [], ""
        while cursor is not None:
            page = self.d.call("GET", "/api/v1/videos?limit=2" + cursor, session=self.session).json
            self.assertLessEqual(len(page["videos"]), 2)
            walked += [v["asset"] for v in page["videos"]]
            cursor = page["next"] and "&cursor=" + page["next"]
        self.assertEqual(walked, [v["asset"] for v in answer.json["videos"]])
        for query in ("limit=0", "limit=501", "limit=x", "limit=-1", "limit="):
            self.refused(self.d.call("GET", "/api/v1/videos?" + query, session=self.session), 422,
                         "LIMIT_INVALID")
        self.refused(self.d.call("GET", "/api/v1/videos?cursor=nonsense", session=self.session),
                     422, "CURSOR_INVALID")

    def test_playback(self):
        self.put("film-1")
        before = int(time.time())
        answer = self.d.call("POST", "/api/v1/playback", {"asset": "film-1"}, session=self.session)
        self.assertEqual(answer.status, 200)
        self.assertEqual((answer.json["asset"], answer.json["title"]), ("film-1", "Tears"))
        me = self.d.call("GET", "/api/v1/users/me", session=self.session).json["user"]
        for key, view in (("hls_url", "master.m3u8"), ("dash_url", "manifest.mpd"),
                          ("thumbnails_url", "thumbnails.vtt"), ("poster_url", "poster.jpg")):
            claims = self.claims(answer.json[key], "film-1", view)
            self.assertEqual((claims["sub"], claims["weir_asset"]), (me["id"], "film-1"))
            self.assertTrue(before + 3600 <= claims["exp"] <= int(time.time()) + 3600)
            self.assertTrue(claims["cdniuc"])
        expires = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(claims["exp"]))
        self.assertEqual(answer.json["expires"], expires)
        self.assertRegex(answer.json["session_id"], "^[0-9a-f]{32}$")
        self.assertEqual(claims["weir_session"], answer.json["session_id"])
        self.d.call("DELETE", f"/api/v1/playback/{answer.json['session_id']}", session=self.session)  # one at a time is the free plan's
        other = self.d.call("POST", "/api/v1/playback", {"asset": "film-1"}, session=self.session)
        self.assertNotEqual(self.claims(other.json["hls_url"], "film-1",
                                        "master.m3u8")["weir_session"], claims["weir_session"])
        for asset in ("absent", "../film-1", "", "x" * 300):
            self.refused(self.d.call("POST", "/api/v1/playback", {"asset": asset},
                                     session=self.session), 404, "VIDEO_NOT_FOUND")
        for body in ({}, {"asset": 1}, {"asset": "film-1", "x": 1}):
            self.refused(self.d.call("POST", "/api/v1/playback", body, session=self.session), 422,
                         "BODY_INVALID")


class Page(Base):
    def test_page(self):
        answer = self.d.call("GET", "/")
        self.assertEqual((answer.status, answer.headers["content-type"]),
                         (200, "text/html; charset=utf-8"))
        self.assertEqual(answer.headers["cache-control"], "no-cache")
        policy = answer.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn(f"connect-src 'self' {EDGE}", policy)
        self.assertIn(f"media-src 'self' blob: data: {EDGE}", policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        etag = answer.headers["etag"]
        self.assertRegex(etag, r'^"[0-9a-f]{32}"$')
        again = self.d.call("GET", "/index.html", headers={"If-None-Match": etag})
        self.assertEqual((again.status, again.body), (304, b""))

    def test_assets(self):
        answer = self.d.call("GET", "/assets/app-1.js")
        self.assertEqual((answer.status, answer.body), (200, SCRIPT))
        self.assertEqual(answer.headers["content-type"], "text/javascript; charset=utf-8")
        self.assertEqual(answer.headers["cache-control"], "public, max-age=31536000, immutable")
        head = self.d.call("HEAD", "/assets/app-1.js")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], str(len(SCRIPT)))
        for path in ("/none", "/assets/", "/../admin", "/assets/../../admin", "/%2e%2e/admin",
                     "/assets/app-1.js/", "/ring.json"):
            self.refused(self.d.call("GET", path), 404, "NOT_FOUND")

    def test_wrong_calls(self):
        self.refused(self.d.call("GET", "/api/v1/none"), 404, "NOT_FOUND")
        self.refused(self.d.call("POST", "/api/v2/auth/login", {}), 404, "NOT_FOUND")
        answer = self.d.call("GET", "/api/v1/auth/login")
        self.assertEqual(answer.status, 405)
        self.assertIn("POST", answer.headers["allow"])
        for path in ("/metrics", "/health/ready", "/health/live"):
            self.assertEqual(self.d.call("GET", path).status, 404)

    def test_status(self):
        self.d.call("POST", "/api/v1/auth/login", {"email": "a@b.co", "password": "password1"})
        text = self.d.admin("/metrics").body.decode()
        self.assertRegex(text, r'(?m)^weir_control_logins_total\{result="failed"\} [1-9]')
        self.assertEqual(self.d.admin("/health/ready").status, 200)
        self.assertEqual(self.d.admin("/health/live").status, 200)
        self.assertEqual(self.d.admin("/").status, 404)


class Frame(Base):
    """What the frame does for every operation."""
    OTHER = "https://app.example.org"

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="weir-control-")
        cls.d = Daemon(cls.folder.name)
        cls.d.write("control.yaml", cls.d.yaml(api=[
            "api:", "  rate_user: 40", "  rate_address: 400", f"  cors_origins: ['{cls.OTHER}']",
            "  proxies: [127.0.0.1]"]))
        cls.d.start()
        answer = cls.d.call("POST", "/api/v1/auth/signup",
                            {"email": "frame@example.org", "password": "password1"})
        cls.session = re.match(r"weir_access=([^;]+)", answer.headers["set-cookie"])[1]

    def call(self, method, path, **more):
        """From an address of its own, so that limits are a test's own."""
        headers = more.pop("headers", {})
        headers["X-Forwarded-For"] = more.pop("address", "192.0.2.1")
        return self.d.call(method, path, headers=headers, **more)

    def test_document(self):
        answer = self.call("GET", "/api/v1/openapi.json")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        document = answer.json
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertIn("/api/v1/auth/login", document["paths"])
        etag = answer.headers["etag"]
        self.assertEqual(self.call("GET", "/api/v1/openapi.json", headers={"If-None-Match": etag}).status, 304)
        packed = self.call("GET", "/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertIn("accept-encoding", packed.headers["vary"])
        self.assertEqual(json.loads(gzip.decompress(packed.body)), document)
        self.assertNotEqual(packed.headers["etag"], etag)

    def test_page(self):
        answer = self.call("GET", "/docs")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        text = answer.body.decode()
        self.assertIn("/api/v1/playback/{session}/heartbeat", text)
        loads = re.findall(r'(?:src|href)="([^"#][^"]*)"', text)
        self.assertEqual(set(loads), {"/docs/style.css", "/api/v1/openapi.json"})
        self.assertNotIn("<script", text)
        self.assertNotIn(" style=", text)
        self.assertEqual(self.call("GET", "/docs/style.css").headers["content-type"], "text/css; charset=utf-8")

    def test_user_limit(self):
        session = self.sign_up("limit@example.org")
        left = []
        while True:  # over many addresses; where a minute ends in between a part of it comes back
            answer = self.call("GET", "/api/v1/users/me", session=session, address=f"198.51.100.{len(left) % 250}")
            if answer.status != 200:
                break
            left.append(int(answer.headers["ratelimit-remaining"]))
            self.assertEqual(answer.headers["ratelimit-limit"], "40")
            self.assertLess(len(left), 1000)
        self.assertGreaterEqual(len(left), 40)
        self.assertEqual(left[-1], 0)
        self.refused(answer, 429, "RATE_LIMITED")
        self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        self.assertEqual(answer.headers["ratelimit-remaining"], "0")
        self.assertEqual(self.call("GET", "/api/v1/users/me", session=self.session).status, 200)

    def test_address_limit(self):
        seen = 0
        while True:  # where a minute ends in between a part of it comes back
            answer = self.call("GET", f"/api/v1/none{seen}", address="2001:db8::" + format(seen + 1, "x"))
            if answer.status != 404:
                break
            seen += 1
            self.assertLess(seen, 10000)
        self.refused(answer, 429, "RATE_LIMITED")
        self.assertGreaterEqual(seen, 395)
        self.refused(self.call("GET", "/api/v1/users/me", address="2001:db8:0:1::1"), 401, "NOT_LOGGED_IN")

    def test_other_origins(self):
        answer = self.call("GET", "/api/v1/users/me", session=self.session, origin=self.OTHER)
        self.assertEqual(answer.headers["access-control-allow-origin"], self.OTHER)
        self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
        self.assertIn("origin", ",".join(answer.headers.get_all("vary")))
        answer = self.call("GET", "/api/v1/users/me", session=self.session, origin="https://evil.example")
        self.assertEqual(answer.status, 200)
        self.assertIsNone(answer.headers["access-control-allow-origin"])
        ask = {"Access-Control-Request-Method": "POST"}
        answer = self.call("OPTIONS", "/api/v1/playback", origin=self.OTHER, headers=dict(ask))
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["access-control-allow-methods"], "GET, HEAD, POST, OPTIONS")
        self.assertIn("content-type", answer.headers["access-control-allow-headers"])
        answer = self.call("OPTIONS", "/api/v1/playback", origin="https://evil.example", headers=dict(ask))
        self.assertIsNone(answer.headers["access-control-allow-methods"])
        self.refused(self.call("OPTIONS", "/api/v1/nothing", origin=self.OTHER, headers=dict(ask)), 404, "NOT_FOUND")
        answer = self.call("POST", "/api/v1/auth/logout", origin=self.OTHER)
        self.refused(answer, 401, "NOT_LOGGED_IN")
        self.assertEqual(answer.headers["access-control-allow-origin"], self.OTHER)
        self.refused(self.call("POST", "/api/v1/auth/logout", session=self.session,
                               headers={"Sec-Fetch-Site": "cross-site"}), 403, "ORIGIN_REFUSED")

    def test_safe_headers(self):
        for path in ("/api/v1/users/me", "/api/v1/none", "/api/v1/openapi.json"):
            headers = self.call("GET", path, session=self.session).headers
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertEqual(headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'")
        trace = "0af7651916cd43dd8448eb211c80319c"
        answer = self.call("GET", "/api/v1/users/me", session=self.session,
                           headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        self.assertEqual(answer.headers["x-request-id"], trace)
        self.assertEqual(answer.headers["cache-control"], "private, no-cache")  # it has an ETag
        answer = self.call("GET", "/api/v1/users/me/devices", session=self.session)
        self.assertEqual(answer.headers["cache-control"], "no-store")

    def test_fields_and_packing(self):
        for i in range(8):
            self.assertEqual(self.put(f"frame-{i}").status, 200)
        path = "/api/v1/videos?limit=8"
        answer = self.call("GET", path + "&fields=asset,title", session=self.session)
        self.assertEqual(set(answer.json), {"videos", "next"})
        self.assertTrue(all(set(v) == {"asset", "title"} for v in answer.json["videos"]))
        for fields in ("", "password", "asset,", "asset,asset"):
            self.refused(self.call("GET", path + "&fields=" + fields, session=self.session), 422, "PARAMETER_INVALID")
        plain = self.call("GET", path, session=self.session)
        packed = self.call("GET", path, session=self.session, headers={"Accept-Encoding": "gzip"})
        self.assertEqual(packed.headers["content-encoding"], "gzip")
        self.assertEqual(json.loads(gzip.decompress(packed.body)), plain.json)
        small = self.call("GET", "/api/v1/users/me", session=self.session, headers={"Accept-Encoding": "gzip"})
        self.assertIsNone(small.headers["content-encoding"])

    def test_idempotency(self):
        self.put("idem-1")
        self.put("idem-2")
        key = {"Idempotency-Key": "key 1"}
        path, body = "/api/v1/playback", {"asset": "idem-1"}
        session = self.sign_up("idem@example.org")
        first = self.d.call("POST", path, body, session=session, headers=dict(key))
        self.assertEqual(first.status, 200)
        self.assertIsNone(first.headers["idempotency-replayed"])
        again = self.d.call("POST", path, body, session=session, headers=dict(key))
        self.assertEqual((again.status, again.json), (200, first.json))
        self.assertEqual(again.headers["idempotency-replayed"], "true")
        playing = self.d.call("GET", path, session=session).json["sessions"]
        self.assertEqual(len(playing), 1)
        self.refused(self.d.call("POST", path, {"asset": "idem-2"}, session=session, headers=dict(key)),
                     422, "IDEMPOTENCY_MISMATCH")
        for bad in ("", "x" * 256, "a\tb"):
            self.refused(self.d.call("POST", path, body, session=session, headers={"Idempotency-Key": bad}),
                         422, "IDEMPOTENCY_INVALID")
        self.refused(self.d.call("POST", path, body, session=session, headers={"Idempotency-Key": "a\u00e4"}),
                     400, "HEADER_INVALID")
        # Another user's key is another key, and so is another call's.
        self.assertEqual(self.d.call("POST", path, body, session=self.session, headers=dict(key)).headers["idempotency-replayed"], None)
        stop = f"{path}/{first.json['session_id']}/terminate"
        for replayed in (None, "true"):
            answer = self.d.call("POST", stop, {}, session=session, headers=dict(key))
            self.assertEqual((answer.status, answer.body, answer.headers["idempotency-replayed"]), (204, b"", replayed))
        # What is refused for good is refused the same way again.
        key = {"Idempotency-Key": "key 2"}
        for replayed in (None, "true"):
            answer = self.d.call("POST", path, {"asset": "idem-3"}, session=session, headers=dict(key))
            self.refused(answer, 404, "VIDEO_NOT_FOUND")
            self.assertEqual(answer.headers["idempotency-replayed"], replayed)

    def test_idempotency_at_once(self):
        """Many at once with one key: it is done once, who comes in between is told so."""
        self.put("idem-4")
        session = self.sign_up("once@example.org")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.d.call(
            "POST", "/api/v1/playback", {"asset": "idem-4"}, session=session,
            headers={"Idempotency-Key": "once"}))) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual({a.status for a in answers} | {409}, {200, 409})
        self.assertEqual(len({a.json["session_id"] for a in answers if a.status == 200}), 1)
        self.assertEqual(len([a for a in answers if a.status == 200 and a.headers["idempotency-replayed"] is None]), 1)
        for a in answers:
            if a.status == 409:
                self.refused(a, 409, "IDEMPOTENCY_RUNNING")
                self.assertEqual(a.headers["retry-after"], "1")
        self.assertEqual(len(self.d.call("GET", "/api/v1/playback", session=session).json["sessions"]), 1)

    def test_idempotency_after_a_crash(self):
        """A record that a dead process left is taken over after a minute, one that is too old counts no more."""
        self.put("idem-5")
        session = self.sign_up("crash@example.org")

        def start():
            return self.d.call("POST", "/api/v1/playback", {"asset": "idem-5"}, session=session,
                               headers={"Idempotency-Key": "crash"})

        def change(member, value):
            db = sqlite3.connect(os.path.join(self.d.folder, "control.db"), timeout=30)
            with db:
                ids = db.execute("SELECT id FROM c_idempotency ORDER BY json_extract(doc, '$.since_ms') DESC LIMIT 1").fetchone()
                db.execute(f"UPDATE c_idempotency SET doc = json_set(doc, '$.{member}', ?) WHERE id = ?", (value, *ids))
            db.close()

        first = start()
        self.assertEqual(first.status, 200)
        change("state", "running")
        self.refused(start(), 409, "IDEMPOTENCY_RUNNING")
        change("since_ms", int(time.time() * 1000) - 61000)
        self.d.call("DELETE", f"/api/v1/playback/{first.json['session_id']}", session=session)  # one at a time is the free plan's
        second = start()
        self.assertEqual((second.status, second.headers["idempotency-replayed"]), (200, None))
        self.assertNotEqual(second.json["session_id"], first.json["session_id"])
        self.assertEqual(start().json, second.json)
        change("expires_ms", int(time.time() * 1000) - 1)
        self.d.call("DELETE", f"/api/v1/playback/{second.json['session_id']}", session=session)
        third = start()
        self.assertEqual((third.status, third.headers["idempotency-replayed"]), (200, None))

    def test_audit(self):
        self.put("audited")
        self.refused(self.put("audited", {"title": "x"}), 422, "BODY_INVALID")
        self.d.call("DELETE", "/api/v1/admin/assets/audited", bearer=ADMIN, headers={"User-Agent": "test/1 \u00e4"})
        self.refused(self.d.call("DELETE", "/api/v1/admin/assets/audited", bearer="wrong"), 401, "CREDENTIAL_WRONG")
        self.refused(self.d.call("GET", "/api/v1/admin/audit", session=self.session), 403, "ROLE_MISSING")
        acts = self.d.call("GET", "/api/v1/admin/audit?limit=500", bearer=ADMIN).json["acts"]
        acts = [a for a in acts if a["target"] == "/api/v1/admin/assets/audited"]
        self.assertEqual([(a["operation"], a["outcome"], a["status"]) for a in acts],
                         [("assets_delete", "done", 204), ("assets_put", "done", 200)])
        self.assertEqual({a["actor_kind"] for a in acts}, {"operator"})
        self.assertEqual({a["peer"] for a in acts}, {"127.0.0.1"})
        self.assertEqual(acts[0]["agent"], "test/1 ?")
        page = self.d.call("GET", "/api/v1/admin/audit?limit=1&fields=id", bearer=ADMIN).json
        self.assertEqual((len(page["acts"]), set(page["acts"][0])), (1, {"id"}))
        self.assertEqual(self.d.call("GET", f"/api/v1/admin/audit?limit=1&cursor={page['next']}", bearer=ADMIN).status, 200)
        self.assertEqual(self.d.call("GET", "/api/v1/admin/audit?actor=nobody", bearer=ADMIN).json["acts"], [])

        def logged():
            lines = [json.loads(line) for line in list(self.d.log) if '"audit"' in line]
            return [line for line in lines if line["target"] == "/api/v1/admin/assets/audited"]
        deadline = time.monotonic() + 60
        while len(logged()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)  # the thread that reads the log comes behind the answers
        self.assertEqual([(line["operation"], line["status"], line["code"]) for line in logged()],
                         [("assets_put", 200, ""), ("assets_delete", 204, ""), ("assets_delete", 401, "CREDENTIAL_WRONG")])

    def test_kept_answers(self):
        """The second one comes from the loop's memory: the same in every way, conditions and packing included."""
        path = "/api/v1/service?fields=name,version,rate_user"
        seen = [self.call("GET", path) for _ in range(6)]
        self.assertEqual({a.status for a in seen}, {200})
        self.assertEqual(len({a.body for a in seen}), 1)
        self.assertEqual(seen[0].json["rate_user"], 40)
        etag = seen[0].headers["etag"]
        for i in range(4):
            self.assertEqual(self.call("GET", path, headers={"If-None-Match": etag}).status, 304)
            self.assertEqual(self.call("GET", path, headers={"If-None-Match": '"other"'}).status, 200)
            head = self.call("HEAD", path)
            self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", str(len(seen[0].body))))
            self.refused(self.call("GET", path + "&x=1"), 422, "PARAMETER_UNKNOWN")
            names = [set(self.call("GET", "/api/v1/service?fields=" + f).json) for f in ("name", "version")]
            self.assertEqual(names, [{"name"}, {"version"}])
        self.assertEqual({h for a in seen for h in a.headers if h.startswith("ratelimit")},
                         {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"})

    def test_forms(self):
        path = "/api/v1/videos?"
        for query, code in (("x=1", "PARAMETER_UNKNOWN"), ("limit=1&limit=2", "PARAMETER_INVALID"),
                            ("limit=1.5", "LIMIT_INVALID"), ("cursor=%3D", "CURSOR_INVALID")):
            answer = self.call("GET", path + query, session=self.session)
            self.refused(answer, 422, code)
        self.assertEqual(answer.json["error"]["details"], {"field": "cursor"})
        for query in ("limit=%", "limit=%zz", "%00=1", "limit=%ff", "cursor=%ed%a0%80"):
            self.refused(self.call("GET", path + query, session=self.session), 400, "QUERY_INVALID")
        for asset in ("%ff", "%", "a%00b", "%c3%28"):
            self.refused(self.call("DELETE", f"/api/v1/admin/assets/{asset}", bearer=ADMIN), 400, "PATH_INVALID")
        answer = self.d.call("PUT", "/api/v1/admin/assets/x", dict(VIDEO, audio=["en", "e!"]), bearer=ADMIN)
        self.refused(answer, 422, "BODY_INVALID")
        self.assertEqual(answer.json["error"]["details"], {"field": "audio[1]"})
        self.assertEqual(self.call("HEAD", "/api/v1/users/me", session=self.session).status, 200)


class Life(Base):
    def test_restart_and_reload(self):
        session = self.sign_up("stay@example.org")
        self.put("stays")
        self.assertEqual(self.d.stop(), 0)
        self.d.start()
        self.assertEqual(self.d.call("GET", "/api/v1/users/me", session=session).status, 200)
        self.assertEqual(self.d.call("POST", "/api/v1/playback", {"asset": "stays"},
                                     session=session).status, 200)
        # A broken file changes nothing, a good one does.
        self.d.write("admin", "short\n")
        self.d.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.put("stays").status, 200)
        self.d.write("admin", "another-credential-0123456789\n")
        self.d.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while self.put("stays").status != 401:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(self.d.call("PUT", "/api/v1/admin/assets/stays", VIDEO,
                                     bearer="another-credential-0123456789").status, 200)

    def test_check(self):
        bad = os.path.join(self.d.folder, "bad.yaml")
        for changed, names in (({"edge_url": "edge.example"}, "edge_url"),
                               ({"token_lifetime_s": 5}, "token_lifetime_s"),
                               ({"token_ring_file": "absent"}, "absent"),
                               ({"admin_credential_file": "absent"}, "absent"),
                               ({"web_folder": "web/assets"}, "index.html"),
                               ({"more": ["stream_limit: 1001"]}, "stream_limit: 1001"),
                               ({"more": ["redis: http://h"]}, "redis: 'http://h'"),
                               ({"more": ["redis: redis://h", "leases_fail: maybe"]}, "leases_fail"),
                               ({"more": ["redis_ca_file: x"]}, "redis_ca_file"),
                               ({"more": ["edge_credential_file: /absent"]}, "/absent"),
                               ({"api": ["api: {rate_user: 2000000000}"]}, "rate_user"),
                               ({"api": ["api: {cors_origins: [example.org]}"]}, "example.org"),
                               ({"api": ["api: {cors_origins: ['https://a.b/']}"]}, "https://a.b/"),
                               ({"api": ["api: {proxies: [10.0.0.0/99]}"]}, "10.0.0.0/99")):
            with open(bad, "w", encoding="utf-8") as f:
                f.write(self.d.yaml(**changed))
            done = subprocess.run([PROGRAM, "--config", bad, "--check"], capture_output=True,
                                  text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(names, done.stderr)
        done = subprocess.run([PROGRAM, "--config", self.d.config, "--check"], timeout=60,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
