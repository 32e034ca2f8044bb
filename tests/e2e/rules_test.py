# SPDX-License-Identifier: Apache-2.0
"""What an edge asks of a request: where it comes from, which page sent it, what its token says."""
import http.cookies
import pathlib
import re
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

import mmdb
from cache_lab import OpenCase, Page
from daemon import Edge, until
from tokens import Key, claims_of, write_ring
from weir import WeirCase, sample

PACKAGE = "URISigningPackage"
GEO = {"192.0.2.0/24": mmdb.place("DE", "EU"), "198.51.100.0/24": mmdb.place("US", "NA"),
       "2001:db8::/32": mmdb.place("JP", "AS")}


class Rules(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start()
        cls.weir.publish(sample(cls.path / "film.mkv", 6, "640x480"), "film")
        cls.key = Key("k1")
        cls.ring = cls.path / "ring.json"
        write_ring(cls.ring, cls.key)
        cls.geo = cls.path / "geo.mmdb"
        mmdb.write(cls.geo, GEO)
        cls.edge = Edge(cls.path, cls.body())
        cls.addClassCleanup(cls.edge.close)
        cls.edge.start()

    def another(self, name, body=None, **edge):
        edge = Edge(self.path, body or self.body(), name, **edge)
        self.addCleanup(edge.close)
        return edge.start()

    @classmethod
    def body(cls):
        ring = f"  token_ring_file: {cls.ring}\n"
        return (f"geo_file: {cls.geo}\n"
                f"trusted_proxies: [127.0.0.1]\n"
                f"access_log: true\n"
                f"upstreams:\n- name: origin\n  servers: ['{cls.weir.url('origin')}']\n"
                f"  credential_file: {cls.weir.folder}/secrets/read\n"
                f"routes:\n"
                f"- host: open.test\n  upstream: origin\n"
                f"- host: token.test\n  upstream: origin\n{ring}  token_audience: [edge, cdn]\n"
                f"- host: domain.test\n  upstream: origin\n{ring}  cookie_domain: video.test\n"
                f"- host: de.test\n  upstream: origin\n  countries_allow: [DE]\n"
                f"- host: not-us.test\n  upstream: origin\n  countries_deny: [US]\n"
                f"- host: asia.test\n  upstream: origin\n  continents_allow: [AS]\n  geo_unknown: allow\n"
                f"- host: inside.test\n  upstream: origin\n  addresses_allow: [10.0.0.0/8]\n  addresses_deny: [10.9.0.0/16]\n"
                f"- host: pages.test\n  upstream: origin\n  referers_allow: ['*.example.org', none]\n"
                f"- host: cors.test\n  upstream: origin\n  allow_origin: ['https://a.example', 'https://*.b.example']\n"
                f"  allow_credentials: true\n  allow_headers: [x-mine]\n  expose_headers: [x-theirs]\n")

    def get(self, host, view="v/film/master.m3u8", client=None, **fields):
        headers = {"Host": host, **({"X-Forwarded-For": client} if client else {})}
        return self.edge.get(f"/{view}", headers, **fields)

    def token(self, **claims):
        return self.key.sign(**{"exp": int(time.time()) + 60, "cdniuc": "regex:http://[^/]+/(v/film|b)/.*",
                                "weir_asset": "film", **claims})

    def signed(self, host="token.test", view="v/film/master.m3u8", client=None, key=None, **claims):
        return self.get(host, f";{PACKAGE}={self.token(**claims)}/{view}", client)

    # --- places, addresses, pages ------------------------------------------------------------------

    def test_countries(self):
        rows = [("de.test", "192.0.2.7", 200), ("de.test", "198.51.100.7", 451), ("de.test", "2001:db8::1", 451),
                ("de.test", "203.0.113.7", 451), ("not-us.test", "198.51.100.7", 451), ("not-us.test", "192.0.2.7", 200),
                ("not-us.test", "203.0.113.7", 200), ("asia.test", "[2001:db8::1]:99", 200), ("asia.test", "192.0.2.7", 451),
                ("asia.test", "203.0.113.7", 200)]
        before = self.edge.metric("weir_edge_refused_total", reason="geo")
        for host, client, status in rows:
            answer = self.get(host, client=client)
            self.assertEqual(answer.status, status, f"{host} {client}")
            if status == 451:
                self.assertEqual((answer.code, answer.headers["Cache-Control"]), ("GEO_BLOCKED", "no-store"))
            else:
                self.assertTrue(answer.headers["Cache-Control"].startswith("private"), answer.headers["Cache-Control"])
        refused = sum(status == 451 for _, _, status in rows)
        self.edge.wait_metric(before + refused, "weir_edge_refused_total", reason="geo")

    def test_addresses_and_whose_word_counts(self):
        for client, status in (("10.1.2.3", 200), ("10.9.2.3", 403), ("11.1.2.3", 403),
                               ("10.1.2.3, 11.1.2.3", 403), ("11.1.2.3, 10.1.2.3", 200), ("10.1.2.3, 127.0.0.1", 200),
                               ("10.1.2.3, nonsense", 403), (None, 403)):
            answer = self.get("inside.test", client=client)
            self.assertEqual(answer.status, status, client)
            if status == 403:
                self.assertEqual(answer.code, "CLIENT_BLOCKED")
        until(lambda: '"peer":"10.9.2.3"' in self.edge.log(), tell=lambda: "the log names another address")

    def test_without_trusted_proxies_nobody_is_believed(self):
        edge = self.another("strict", self.body().replace("trusted_proxies: [127.0.0.1]\n", ""))
        self.assertEqual(edge.get("/v/film/master.m3u8", {"Host": "inside.test", "X-Forwarded-For": "10.1.2.3"}).status, 403)
        self.assertEqual(edge.get("/v/film/master.m3u8", {"Host": "de.test", "X-Forwarded-For": "192.0.2.7"}).status, 451)

    def test_pages(self):
        for referer, status in ((None, 200), ("https://www.example.org/page", 200), ("http://www.example.org", 200),
                                ("https://example.org/", 403), ("https://www.example.org.evil.example/", 403),
                                ("https://evil.example/?https://www.example.org/", 403), ("nonsense", 403)):
            fields = {"Referer": referer} if referer else {}
            answer = self.get("pages.test", **fields)
            self.assertEqual(answer.status, status, referer)
            if status == 403:
                self.assertEqual(answer.code, "REFERER_BLOCKED")

    def test_origins(self):
        allow = "Access-Control-Allow-Origin"
        for origin in ("https://a.example", "https://x.b.example"):
            answer = self.get("cors.test", Origin=origin)
            self.assertEqual((answer.status, answer.headers[allow], answer.headers["Access-Control-Allow-Credentials"]),
                             (200, origin, "true"))
            self.assertIn("Origin", answer.headers.get_all("Vary"))
            self.assertIn("x-theirs", answer.headers["Access-Control-Expose-Headers"])
            preflight = self.edge.get("/v/film/master.m3u8", {"Host": "cors.test"}, "OPTIONS", Origin=origin,
                                      Access_Control_Request_Method="GET", Access_Control_Request_Headers="x-mine")
            self.assertEqual((preflight.status, preflight.headers[allow]), (204, origin))
            self.assertIn("x-mine", preflight.headers["Access-Control-Allow-Headers"])
            self.assertIn("range", preflight.headers["Access-Control-Allow-Headers"])
        for origin in ("http://a.example", "https://evil.example", "https://b.example", "https://a.example.evil", "null"):
            answer = self.get("cors.test", Origin=origin)
            self.assertEqual((answer.status, answer.headers[allow]), (200, None), origin)
            self.assertIn("Origin", answer.headers.get_all("Vary"))
        self.assertIn("Origin", self.get("cors.test").headers.get_all("Vary"))
        anyone = self.get("open.test", Origin="https://anyone.example")
        self.assertEqual((anyone.headers[allow], anyone.headers["Access-Control-Allow-Credentials"]), ("*", None))
        refused = self.get("token.test", Origin="https://anyone.example")
        self.assertEqual((refused.code, refused.headers[allow]), ("TOKEN_MISSING", "*"), "a page must be able to read why")

    # --- tokens ------------------------------------------------------------------------------------

    def test_client_in_the_token(self):
        for clients, client, code in (("192.0.2.0/24", "192.0.2.9", None), ("192.0.2.0/24", "192.0.3.9", "TOKEN_CLIENT"),
                                      ("192.0.2.9", "192.0.2.9", None), ("2001:db8::/32", "2001:db8:1::9", None),
                                      ("2001:db8::/32", "192.0.2.9", "TOKEN_CLIENT"),
                                      ("eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "192.0.2.9", "TOKEN_SCOPE")):
            for _ in range(2):  # the second time from the cache of verified tokens
                answer = self.signed(client=client, cdniip=clients)
                self.assertEqual((answer.status, None if answer.status == 200 else answer.code), (403 if code else 200, code), clients)
            if not code:
                self.assertTrue(answer.headers["Cache-Control"].startswith("private"))
        token = self.token(cdniip="192.0.2.9")
        self.assertEqual(self.get("token.test", f";{PACKAGE}={token}/v/film/master.m3u8", "192.0.2.9").status, 200)
        self.assertEqual(self.get("token.test", f";{PACKAGE}={token}/v/film/master.m3u8", "192.0.2.10").code, "TOKEN_CLIENT")

    def test_audience(self):
        for audience, status in (("edge", 200), (["other", "cdn"], 200), ("other", 403), ([], 403)):
            self.assertEqual(self.signed(aud=audience).status, status, audience)
        self.assertEqual(self.signed("domain.test", aud="edge").status, 403, "a route that has no name of its own")

    def test_used_once(self):
        """Also by many at a time, on all workers: one gets it."""
        token = self.token(jti="one")
        target = f";{PACKAGE}={token}/v/film/master.m3u8"
        seen = []
        threads = [threading.Thread(target=lambda: seen.append(self.get("token.test", target).status)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(seen), [200] + [403] * 19)
        self.assertEqual(self.get("token.test", target).code, "TOKEN_USED")
        self.assertEqual(self.get("token.test", target.replace("master.m3u8", "manifest.mpd")).status, 200, "another URI")

    def test_containers_hold_the_query(self):
        only = {"cdniuc": r"regex:http://token\.test/v/film/master\.m3u8\?quality=low", "weir_asset": "film"}
        for query, status in (("quality=low", 200), ("quality=high", 403), ("", 403)):
            token = self.token(**only)
            self.assertEqual(self.get("token.test", f"v/film/master.m3u8?{query}&{PACKAGE}={token}".replace("?&", "?")).status, status)

    def set_cookie(self, answer):
        jar = http.cookies.SimpleCookie(answer.headers["Set-Cookie"])
        return jar[PACKAGE]

    def test_renewal_outlives_the_first_token(self):
        """A player whose URLs hold one token goes on with cookies long after that has expired."""
        first = self.token(exp=int(time.time()) + 3, cdnistt=1, cdniets=3, iat=int(time.time()), weir_height_max=480,
                           device={"kind": "tv"})
        base = f";{PACKAGE}={first}"
        playlist = self.get("token.test", f"{base}/v/film/master.m3u8")
        self.assertEqual(playlist.status, 200)
        cookie = self.set_cookie(playlist)
        self.assertEqual((cookie["path"], cookie["httponly"], cookie["max-age"], cookie["secure"], cookie["domain"]),
                         ("/", True, "3", "", ""))
        self.assertTrue(playlist.headers["Cache-Control"].startswith("private"))
        track = re.search(r"^(v\d+)/index.m3u8", playlist.body.decode(), re.M)[1]
        media = self.get("token.test", f"{base}/v/film/{track}/index.m3u8", Cookie=f"{PACKAGE}={cookie.value}").body.decode()
        segments = [urllib.parse.urljoin(f"/v/film/{track}/", link) for link in re.findall(r"^\S+\.m4s", media, re.M)]
        self.assertTrue(segments)
        oldest = cookie.value
        jar, renewed, end = oldest, 0, time.monotonic() + 7
        while time.monotonic() < end:
            for segment in segments:
                answer = self.get("token.test", f"{base}{segment}", Cookie=f"theirs=1; {PACKAGE}={jar}")
                self.assertEqual(answer.status, 200, answer.body[:200])
                if answer.headers["Set-Cookie"]:
                    jar, renewed = self.set_cookie(answer).value, renewed + 1
            time.sleep(0.1)
        self.assertGreaterEqual(renewed, 3)
        self.assertLessEqual(renewed, 9, "one for each second is enough")
        now = claims_of(jar)
        was = claims_of(first)
        self.assertGreater(now["exp"], was["exp"] + 3)
        for claim in ("cdniuc", "weir_asset", "weir_height_max", "device", "cdnistt", "cdniets"):
            self.assertEqual(now[claim], was[claim])
        self.assertEqual(self.get("token.test", f"{base}{segments[0]}").code, "TOKEN_EXPIRED", "without the cookie")
        self.assertEqual(self.get("token.test", segments[0][1:], Cookie=f"{PACKAGE}={jar}").status, 200)
        self.assertEqual(self.get("token.test", segments[0][1:], Cookie=f"{PACKAGE}={oldest}").code, "TOKEN_EXPIRED")
        until(lambda: self.edge.metric("weir_edge_tokens_renewed_total") >= renewed)
        for token in (first, jar):
            self.assertNotIn(token, self.edge.log())
            self.assertNotIn(token, self.weir.log("origin"))

    def test_renewal_by_query_path_and_domain(self):
        token = self.token(cdnistt=1, cdniets=30, cdnistd=2)
        cookie = self.set_cookie(self.get("token.test", f"v/film/master.m3u8?{PACKAGE}={token}"))
        self.assertEqual(cookie["path"], "/v/film")
        self.assertEqual(self.set_cookie(self.get("domain.test", f"v/film/master.m3u8?{PACKAGE}={token}"))["domain"], "video.test")
        cookie = self.set_cookie(self.get("token.test", f";{PACKAGE}={token}/v/film/master.m3u8"))
        self.assertEqual(cookie["path"], "/", "what holds a ';' cannot be a cookie's path")
        self.assertIsNone(self.signed().headers["Set-Cookie"], "nobody asked for a renewal")
        # Two cookies, as a browser sends those of two paths: the one that covers counts.
        other = self.token(cdniuc="regex:http://[^/]+/v/other/.*", weir_asset="other")
        for cookies in (f"{PACKAGE}={other}; {PACKAGE}={token}", f"{PACKAGE}={token}; {PACKAGE}={other}"):
            self.assertEqual(self.get("token.test", Cookie=cookies).status, 200)

    def test_renewed_over_tls(self):
        """There the cookie goes along from a page of another site."""
        keys = re.findall(r"(?:cert|key)_file: *\S+", (self.weir.folder / "config/edge.yaml").read_text())
        edge = self.another("tls", listen="\n".join(keys) + "\n")
        token = self.token(cdniuc="regex:https://.*", cdnistt=1, cdniets=30)
        answer = self.weir.request("GET", f"https://localhost:{edge.port}/;{PACKAGE}={token}/v/film/master.m3u8",
                                   headers={"Host": "token.test"})
        cookie = self.set_cookie(answer)
        self.assertEqual((cookie["secure"], cookie["samesite"], cookie["httponly"]), (True, "None", True))

    def test_keys_rotate_under_requests(self):
        """A new key first, the old one behind it, then the old one gone: no request fails that should not."""
        ring = self.path / "rotating.json"
        old, new = Key("old"), Key("new")
        write_ring(ring, old)
        edge = self.another("rotating", self.body().replace(str(self.ring), str(ring)))
        claims = {"exp": int(time.time()) + 600, "cdniuc": "regex:http://token.test/.*", "weir_asset": "film"}
        by_old, by_new = (f"/;{PACKAGE}={key.sign(**claims)}/v/film/master.m3u8" for key in (old, new))
        get = lambda target: edge.get(target, {"Host": "token.test"})
        stop, failed = threading.Event(), []

        def go_on():
            while not stop.is_set():
                answer = get(by_old)
                if answer.status != 200:
                    failed.append(answer.body)
        threads = [threading.Thread(target=go_on) for _ in range(4)]
        try:
            self.assertEqual((get(by_old).status, get(by_new).status), (200, 403))
            for thread in threads:
                thread.start()
            for _ in range(5):
                write_ring(ring, new, old)
                edge.reload()
                self.assertEqual({get(by_new).status for _ in range(10)}, {200})
                write_ring(ring, old, new)
                edge.reload()
            ring.write_text("{")
            edge.reload()  # goes on as it was
            self.assertEqual({get(by_old).status for _ in range(10)}, {200})
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failed, [])
            write_ring(ring, new)
            edge.reload()
            self.assertEqual({get(by_old).code for _ in range(10)}, {"TOKEN_INVALID"}, "a worker remembers a key that is gone")
            self.assertEqual({get(by_new).status for _ in range(10)}, {200})
        finally:
            stop.set()

    def test_geo_file_is_read_again(self):
        geo = self.path / "moving.mmdb"
        mmdb.write(geo, GEO)
        edge = self.another("moving", self.body().replace(str(self.geo), str(geo)))
        get = lambda: edge.get("/v/film/master.m3u8", {"Host": "de.test", "X-Forwarded-For": "198.51.100.7"}).status
        self.assertEqual(get(), 451)
        mmdb.write(self.path / "next.mmdb", {"198.51.100.0/24": mmdb.place("DE", "EU")})
        (self.path / "next.mmdb").rename(geo)
        edge.reload()
        self.assertEqual({get() for _ in range(10)}, {200})

    # --- the tier cap ------------------------------------------------------------------------------

    def test_capped_in_every_view(self):
        """What is above the cap is in no list, and neither its lists nor its bytes are given out."""
        whole = self.signed(view="v/film/presentation.json").json()
        video = [t for t in whole["tracks"] if t["kind"] == "video"]
        self.assertGreater(len(video), 1, "nothing to cap")
        cap = min(t["height"] for t in video)
        shown = [t for t in video if t["height"] <= cap]
        hidden = [t for t in video if t["height"] > cap]
        blobs = lambda tracks: {s[0] for t in tracks for s in t["segments"]} | {t["init"] for t in tracks if "init" in t}
        secret = blobs(hidden) - blobs([t for t in whole["tracks"] if t not in hidden])
        ask = lambda view: self.signed(view=view, weir_height_max=cap)
        master = ask("v/film/master.m3u8").body.decode()
        mpd = ask("v/film/manifest.mpd").body.decode()
        described = ask("v/film/presentation.json").json()
        self.assertEqual({t["id"] for t in described["tracks"] if t["kind"] == "video"}, {t["id"] for t in shown})
        for track in hidden:
            self.assertNotIn(f"{track['id']}/", master)
            self.assertNotIn(f'id="{track["id"]}"', mpd)
            self.assertNotRegex(master, rf"RESOLUTION=\d+x{track['height']}\b")
            self.assertNotRegex(mpd, rf'height="{track["height"]}"')
            for view in ("index.m3u8", "iframes.m3u8"):
                answer = ask(f"v/film/{track['id']}/{view}")
                self.assertEqual((answer.status, answer.code), (404, "NOT_FOUND"), view)
        for track in shown:
            self.assertIn(f"{track['id']}/index.m3u8", master)
            for view in ("index.m3u8", "iframes.m3u8"):
                text = ask(f"v/film/{track['id']}/{view}").body.decode()
                self.assertTrue(set(re.findall(r"/b/([0-9a-f]{32})", text)) <= blobs(shown), view)
        for text in (master, mpd, str(described)):
            self.assertEqual({d for d in secret if d in text}, set())
        for digest in sorted(secret):
            for extension in ("m4s", "mp4"):
                answer = ask(f"b/{digest}.{extension}")
                self.assertEqual((answer.status, answer.code), (403, "TOKEN_SCOPE"), "a capped blob")
        ranged = self.get("token.test", f";{PACKAGE}={self.token(weir_height_max=cap)}/b/{sorted(secret)[0]}.m4s", Range="bytes=0-9")
        self.assertEqual(ranged.status, 403)
        for digest in sorted(blobs(shown)):
            self.assertEqual(ask(f"b/{digest}.m4s").status, 200)

    # --- configuration -----------------------------------------------------------------------------

    def test_bad_keys_are_told(self):
        edge = Edge(self.path, self.body(), "check")
        good = edge.path.read_text()
        self.assertEqual(edge.check()[0], 0, edge.check())
        for was, now, told in (("[DE]", "[Germany]", "countries_allow"), ("[AS]", "[ASIA]", "continents_allow"),
                               ("[10.0.0.0/8]", "[10.0.0.0/40]", "addresses_allow"), ("trusted_proxies: [127.0.0.1]", "trusted_proxies: [proxy]", "trusted_proxies"),
                               ("'https://a.example'", "a.example", "allow_origin"), ("cookie_domain: video.test", "cookie_domain: 'a;b'", "cookie_domain"),
                               (f"geo_file: {self.geo}\n", "", "geo_file"), (str(self.geo), str(edge.path), "geo_file"),
                               ("'*.example.org'", "'https://example.org'", "referers_allow"), ("geo_unknown: allow", "geo_unknown: maybe", "geo_unknown"),
                               ("geo_unknown: allow", "pace: {rate: 0}", "pace"), ("geo_unknown: allow", "pace: {rate: fast}", "pace"),
                               ("geo_unknown: allow", "pace: {rate: 1M, burst: much}", "burst"),
                               ("allow_origin: ['https://a.example', 'https://*.b.example']", "allow_origin: ['*']", "allow_credentials")):
            self.assertIn(was, good)
            edge.path.write_text(good.replace(was, now))
            code, said = edge.check()
            self.assertEqual(code, 1, now)
            self.assertIn(told, said)

    def test_metrics_are_clean(self):
        check = subprocess.run(["promtool", "check", "metrics"], input=self.edge.metrics().encode(), capture_output=True)
        self.assertEqual((check.returncode, check.stdout + check.stderr), (0, b""))


class HttpRules(OpenCase):
    """The same in front of any other origin."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.key = Key("k1")
        write_ring(self.path / "ring.json", self.key)
        mmdb.write(self.path / "geo.mmdb", GEO)

    def token(self, **claims):
        return self.key.sign(**{"exp": int(time.time()) + 60, "cdniuc": "regex:http://edge\\.example/vod/.*", **claims})

    def test_tokens_stay_here(self):
        """In path, query or cookie: the upstream sees none, the cache keeps one object for all."""
        self.open(self.path, route=f"  token_ring_file: {self.path}/ring.json\n")
        self.origin.pages["/vod/a.ts?x=1"] = Page(b"segment", cache="public, max-age=60",
                                                 fields=[("Access-Control-Allow-Origin", "https://theirs.example")])
        token = self.token()
        seen = []
        for target, cookie in ((f"/;{PACKAGE}={token}/vod/a.ts?x=1", None), (f"/vod/a.ts?{PACKAGE}={token}&x=1", None),
                               ("/vod/a.ts?x=1", f"a=b;{PACKAGE}={token};c=d"), ("/vod/a.ts?x=1", f"{PACKAGE}={token}")):
            answer = self.edge.get(target, {"Cookie": cookie} if cookie else {})
            self.assertEqual((answer.status, answer.body), (200, b"segment"), target)
            self.assertEqual(answer.get("access-control-allow-origin"), "*")
            seen.append(answer.get("cache-control"))
        self.assertEqual(seen, ["public, max-age=60"] * 2 + ["private, max-age=60"] * 2)
        self.assertEqual(self.origin.count(), 1)
        self.assertEqual(self.edge.get("/vod/a.ts?x=1").status, 403)
        self.assertEqual(self.edge.get(f"/;{PACKAGE}={token}/other/a.ts").status, 403)
        # One that is not kept goes to the upstream each time, with the client's own cookies.
        self.origin.pages["/vod/own"] = Page(b"own", cache="no-store")
        self.edge.get("/vod/own", {"Cookie": f"a=b;{PACKAGE}={token};c=d"})
        self.assertEqual(self.origin.last("/vod/own").get("cookie"), "a=b; c=d")
        self.edge.get("/vod/own", {"Cookie": f"{PACKAGE}={token}"})
        self.assertIsNone(self.origin.last("/vod/own").get("cookie"))
        for ask in self.origin.asks:
            self.assertNotIn(token, str(ask.fields) + ask.target)

    def test_renewal(self):
        self.open(self.path, route=f"  token_ring_file: {self.path}/ring.json\n")
        self.origin.pages["/vod/a.m3u8"] = Page(b"#EXTM3U\n", cache="public, s-maxage=60, max-age=5",
                                               fields=[("CDN-Cache-Control", "public, max-age=600")])
        first = self.edge.get(f"/vod/a.m3u8?{PACKAGE}={self.token(cdnistt=1, cdniets=30, cdnistd=1)}")
        cookie = http.cookies.SimpleCookie(first.get("set-cookie"))[PACKAGE]
        self.assertEqual(cookie["path"], "/vod")
        self.assertEqual(first.get("cache-control"), "private, max-age=5", "a cookie is for one client")
        self.assertIsNone(first.get("cdn-cache-control"))
        second = self.edge.get("/vod/a.m3u8", {"Cookie": f"{PACKAGE}={cookie.value}"})
        self.assertEqual((second.status, second.how, second.get("set-cookie")), (200, "hit", None))

    def test_pace(self):
        """A slow host makes it slower, nothing makes it faster."""
        self.open(self.path, route="  pace: {rate: 128K, burst: 64K, by: address}\n")
        body = bytes(range(256)) * 768
        self.origin.pages["/vod/a.ts"] = Page(body)
        for _ in range(2):  # from the origin, then from the cache, with what was saved up since
            begun = time.monotonic()
            answer = self.edge.get("/vod/a.ts")
            self.assertEqual((answer.status, answer.body == body), (200, True))
            self.assertGreater(time.monotonic() - begun, 0.6)

    def test_places(self):
        self.open(self.path, route="  countries_allow: [DE]\n", more=f"geo_file: {self.path}/geo.mmdb\ntrusted_proxies: [127.0.0.0/8]\n")
        self.origin.pages["/vod/a.ts"] = Page(b"segment", cache="public, max-age=60")
        allowed = self.edge.get("/vod/a.ts", {"X-Forwarded-For": "192.0.2.1"})
        self.assertEqual((allowed.status, allowed.get("cache-control")), (200, "private, max-age=60"))
        self.assertEqual(self.edge.get("/vod/a.ts", {"X-Forwarded-For": "198.51.100.1"}).status, 451)
        self.assertEqual(self.edge.get("/vod/a.ts", {"X-Forwarded-For": "192.0.2.1"}).how, "hit")
        self.assertEqual(self.origin.count(), 1)


if __name__ == "__main__":
    unittest.main()
