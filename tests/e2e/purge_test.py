# SPDX-License-Identifier: Apache-2.0
"""Purges on two edges: after the answer no old byte comes from either, whoever is asked, under load, after a
restart, and from an edge that was away. In front of a Weir origin, and of a scripted HTTP one."""
import http.server
import json
import socketserver
import subprocess
import threading
import time

from daemon import Edge, fields_of, program, request, stop_all, until
from weir import WeirCase, sample

CREDENTIAL = "a-credential-of-all-edges"
STORE = "volume_size: 16M\nhot_size: 32M\ndisk_size: 128M\n"


def ask(url, method="GET", body=None, credential=None, **headers):
    """(status, headers, body)"""
    bearer = {"Authorization": f"Bearer {credential}"} if credential else {}
    answer = request(method, url, body, {**bearer, **fields_of(headers)})
    return answer.status, answer.headers, answer.body


class Origin(http.server.BaseHTTPRequestHandler):
    """An HTTP origin whose every body tells its version; counts what it is asked."""
    protocol_version = "HTTP/1.1"
    versions = {}  # by path; the default is 1
    asked = {}
    slow_s = {}
    lock = threading.Lock()

    def do_GET(self):
        with Origin.lock:
            version = Origin.versions.get(self.path.split("?")[0], 1)
            Origin.asked[self.path] = Origin.asked.get(self.path, 0) + 1
            slow = Origin.slow_s.get(self.path, 0)
        body = f"{self.path} version {version} ".encode() * 500
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        stale = "" if "/hard" in self.path else ", stale-while-revalidate=600"
        self.send_header("Cache-Control", "max-age=86400" + stale)
        self.send_header("ETag", f'"{version}"')
        self.send_header("Surrogate-Key", f"all film-{self.path.split('/')[1]}")
        self.send_header("xkey", "other")
        self.end_headers()
        self.wfile.write(body[:100])
        self.wfile.flush()
        time.sleep(slow)  # the bytes were decided on before
        self.wfile.write(body[100:])

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


class PurgedEdge(Edge):
    def restart(self):
        self.kill()
        return self.start()

    def get(self, path, **headers):
        return ask(self.url + path, **headers)

    def purge(self, **what):
        status, _, body = ask(self.admin_url + "/purge", "POST", what, CREDENTIAL)
        return status, json.loads(body)


class Load:
    """Readers of some paths on both edges; keeps when each request began and what came."""

    def __init__(self, edges, paths, read=lambda body: body):
        self.stopping, self.seen, self.read = False, [], read
        self.threads = [threading.Thread(target=self.run, args=(e, p)) for e in edges for p in paths]
        for thread in self.threads:
            thread.start()

    def run(self, edge, path):
        while not self.stopping:
            began = time.monotonic()
            try:
                status, _, body = edge.get(path)
            except OSError as e:
                status, body = str(e), b""
            self.seen.append((began, edge.name, path, status, self.read(body)))

    def stop(self, answered):
        """Once enough requests began after that moment."""
        try:
            until(lambda: sum(s[0] >= answered for s in self.seen[:]) >= 60)
        finally:
            self.stopping = True
        for thread in self.threads:
            thread.join()
        return self.seen


class Purges(WeirCase):
    """Two edges, each with a route to either kind of origin."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.films = [sample(cls.path / f"film{seconds}.mkv", seconds, "320x240") for seconds in (4, 5, 6)]
        cls.weir.start("origin", "ingest", "control")
        cls.origin = Server(("127.0.0.1", 0), Origin)
        cls.addClassCleanup(cls.origin.server_close)
        cls.addClassCleanup(cls.origin.shutdown)
        threading.Thread(target=cls.origin.serve_forever, daemon=True).start()
        credential = cls.path / "credential"
        credential.write_text(CREDENTIAL + "\n")
        cls.a, cls.b = cls.edges = [PurgedEdge(cls.path, name=name, store=STORE) for name in "ab"]
        read = cls.weir.folder / "secrets/read"
        text = lambda edge: (
            f'admin_credential_file: "{credential}"\n'
            f'edges: {{urls: ["{cls.a.admin_url}", "{cls.b.admin_url}"], catch_up: 2s}}\n'
            f'upstreams:\n'
            f'- {{name: films, notices: off, ref_ttl_ms: 86400000, servers: ["{cls.weir.url("origin")}"], credential_file: "{read}"}}\n'
            f'- {{name: other, kind: http, servers: ["http://127.0.0.1:{cls.origin.server_address[1]}"], '
            f'siblings: ["{cls.a.url}", "{cls.b.url}"], peer_credential_file: "{credential}", self: "{edge.url}"}}\n'
            'routes:\n- {prefix: /v, upstream: films}\n- {prefix: /b, upstream: films}\n- {upstream: other}\n')
        cls.addClassCleanup(stop_all, cls.edges)
        for edge in cls.edges:
            edge.body = text(edge)
            edge.write()
            edge.start()

    def setUp(self):
        # The other one is known before the first purge: what follows counts edges.
        for edge in self.edges:
            edge.wait_metric(0, "weir_edge_purge_edges_away")

    def set(self, version, *paths):
        with Origin.lock:
            for path in paths:
                Origin.versions[path] = version

    def version(self, edge, path, **headers):
        status, answer, body = edge.get(path, **headers)
        self.assertEqual(status, 200, body[:300])
        words = body.decode().split()
        self.assertEqual(len(set(words[2::3])), 1, "a body of two versions")
        self.assertEqual(answer.get("Surrogate-Key"), None)
        self.assertEqual(answer.get("xkey"), None)
        return int(words[2])

    def versions(self, *paths):
        return [self.version(e, p) for e in self.edges for p in paths]

    def done(self, answer):
        status, body = answer
        self.assertEqual(status, 200, body)
        self.assertTrue(body["done"])
        self.assertEqual([e["done"] for e in body["edges"]], [True, True])

    # --- an HTTP origin ---------------------------------------------------------------------------

    def test_http_by_url_asset_and_tag_under_load(self):
        paths = [f"/load/{i}/{name}.ts" for i in range(2) for name in "ab"]
        ways = [dict(url=[f"http://127.0.0.1:{e.port}{p}" for e in self.edges for p in paths]),
                dict(asset="load"), dict(asset=["/load/0/", "load/1"]), dict(tags=["film-load"]),
                dict(tags="other"), dict(everything=True), dict(everything=True, upstream="other")]
        self.set(1, *paths)
        self.assertEqual(set(self.versions(*paths)), {1})
        for number, way in enumerate(ways, 2):
            load = Load(self.edges, paths, lambda body: body.split(b" ")[2:3])
            until(lambda: load.seen)
            self.set(number, *paths)
            self.done(self.edges[number % 2].purge(**way))
            answered = time.monotonic()
            seen = load.stop(answered)
            self.assertTrue(all(s[3] == 200 for s in seen), [s for s in seen if s[3] != 200][:3])
            late = [s for s in seen if s[0] >= answered]
            self.assertGreater(len(late), 50)
            old = [s for s in late if s[4] != [str(number).encode()]]
            self.assertEqual(old, [], way)
            self.assertTrue(any(s[4] == [str(number - 1).encode()] for s in seen), "nothing was cached before")

    def test_http_what_is_not_named_stays(self):
        kept = ["/kept/a.ts", "/keptonly/b.ts", "/kep/c.ts"]
        self.set(1, *kept)
        self.versions(*kept)
        self.set(2, *kept)
        self.done(self.a.purge(asset="/kept/"))
        self.assertEqual(self.versions(*kept), [2, 1, 1] * 2)
        self.done(self.b.purge(tags="film-kep"))
        self.assertEqual(self.versions(*kept), [2, 1, 2] * 2)
        self.done(self.b.purge(url=self.a.url + kept[1] + "#part"))
        self.assertEqual(self.version(self.a, kept[1]), 2)
        # The key of the other edge's port is another one.
        self.assertEqual(self.version(self.b, kept[1]), 1)

    def test_http_fetch_under_way_is_no_answer(self):
        path = "/slow/a.ts"
        self.set(1, path)
        with Origin.lock:
            Origin.slow_s[path] = 1.0
        got = []
        early = threading.Thread(target=lambda: got.append(self.version(self.a, path)))
        early.start()
        until(lambda: path in Origin.asked)
        self.set(2, path)
        self.done(self.b.purge(asset="slow"))
        with Origin.lock:
            Origin.slow_s[path] = 0
        self.assertEqual(self.version(self.a, path), 2)
        early.join()
        self.assertEqual(got, [1])  # who asked before may have what was then
        self.assertEqual(self.version(self.a, path), 2)

    def test_http_soft_is_stale_while_asked(self):
        path, firm = "/soft/a.ts", "/soft/hard.ts"
        self.set(1, path, firm)
        self.versions(path, firm)
        self.set(2, path, firm)
        self.done(self.a.purge(tags="film-soft", soft=True))
        self.assertEqual(self.versions(firm), [2, 2])  # its origin allows no stale use
        for edge in self.edges:
            self.assertEqual(self.version(edge, path), 1)
            until(lambda: self.version(edge, path) == 2)

    def test_http_restart_keeps_it(self):
        path = "/restart/a.ts"
        self.set(1, path)
        self.versions(path)
        time.sleep(0.6)  # the record is on disk
        self.set(2, path)
        self.done(self.a.purge(asset="restart"))
        for edge in self.edges:
            edge.restart()
        self.assertEqual(self.versions(path), [2, 2])

    def test_http_edge_that_was_away(self):
        path = "/away/a.ts"
        self.set(1, path)
        self.versions(path)
        time.sleep(0.6)
        self.b.stop()
        self.b.start()
        asked = Origin.asked.get(path)
        self.assertEqual(self.version(self.b, path), 1)
        self.assertEqual(Origin.asked.get(path), asked)  # it was kept over a restart
        self.b.kill()
        self.set(2, path)
        status, body = self.a.purge(asset="away")
        self.assertEqual((status, body["error"]["code"]), (502, "EDGES_NOT_REACHED"))
        edges = body["error"]["details"]["edges"]
        self.assertEqual([(e["edge"], e["done"]) for e in edges], [("self", True), (self.b.admin_url, False)])
        self.assertEqual(self.version(self.a, path), 2)
        self.a.restart()  # it still knows then
        self.b.start()
        self.assertEqual(self.versions(path), [2, 2])
        # For this one alone.
        self.set(3, path)
        status, body = self.b.purge(asset="away", spread=False)
        self.assertEqual((status, len(body["edges"])), (200, 1))
        self.assertEqual(self.version(self.a, path), 2)

    # --- a Weir origin ----------------------------------------------------------------------------

    def title(self, edge, asset):
        status, _, body = edge.get(f"/v/{asset}/presentation.json")
        return body if status == 200 else status

    def titles(self, asset, times=24):
        """What both edges tell, each of their workers."""
        return {self.title(e, asset) for e in self.edges for _ in range(times)}

    def publish(self, number, asset):
        self.weir.publish(self.films[number], asset, "--ladder", "copy")

    def test_weir_asset(self):
        self.publish(0, "film")
        old = self.title(self.a, "film")
        self.assertEqual(self.titles("film"), {old})
        self.publish(1, "film")
        self.assertEqual(self.titles("film"), {old})  # it is fresh for a day
        load = Load(self.edges, ["/v/film/presentation.json"] * 4)
        self.done(self.a.purge(asset="film"))
        answered = time.monotonic()
        seen = [s for s in load.stop(answered) if s[0] >= answered]
        self.assertGreater(len(seen), 50)
        new = self.title(self.a, "film")
        self.assertNotEqual(new, old)
        self.assertEqual({(s[3], s[4]) for s in seen}, {(200, new)})
        # Soft, by the URL of a view: old while it is asked, then new.
        self.publish(2, "film")
        self.done(self.b.purge(url=f"{self.a.url}/v/film/master.m3u8", soft=True))
        self.assertEqual(self.title(self.a, "film"), new)
        for edge in self.edges:
            until(lambda: self.title(edge, "film") != new)
        newest = self.title(self.b, "film")
        self.assertNotIn(newest, (old, new))
        self.assertEqual(self.titles("film"), {newest})
        # Nothing of it while the origin is away: neither from RAM nor, after a restart, from disk.
        self.weir.stop("origin")
        try:
            self.assertEqual(self.titles("film"), {newest})
            self.b.kill()
            status, _ = self.a.purge(asset="film")
            self.assertEqual(status, 502)
            self.assertEqual({self.title(self.a, "film") for _ in range(4)}, {502})
            self.a.restart()
            self.b.start()  # has not heard of it
            self.assertEqual(self.titles("film", 4), {502})
        finally:
            self.weir.start("origin")
            if self.b.process is None:
                self.b.start()
        until(lambda: self.titles("film") == {newest})

    # --- the calls --------------------------------------------------------------------------------

    def test_calls(self):
        before = self.a.metric("weir_edge_purges_total", kind="tag")
        for body, sentence in (({}, "nothing is named"), ({"assets": "x"}, "assets: there is no such key"),
                               ({"url": "/a/b"}, "is no URL"), ({"tags": ["a b"]}, "has a space"),
                               ({"asset": 7}, "asset: is a text"), ({"asset": "x", "soft": 1}, "soft: is true or false"),
                               ({"url": self.a.url + "/b/0123.m4s"}, "blobs never change"),
                               ({"asset": "x", "upstream": "none"}, "upstream: there is none"), ([], "no JSON object")):
            status, _, answer = ask(self.a.admin_url + "/purge", "POST", body, CREDENTIAL)
            self.assertEqual(status, 422, body)
            self.assertIn(sentence, json.loads(answer)["error"]["message"])
        self.assertEqual(self.a.metric("weir_edge_purges_total", kind="tag"), before)
        for credential in (None, "another-credential"):
            for method, path in (("POST", "/purge"), ("GET", "/purges")):
                self.assertEqual(ask(self.a.admin_url + path, method, None, credential)[0], 401)
        self.assertIn(ask(self.a.url + "/purge", "POST", {"asset": "x"}, CREDENTIAL)[0], (404, 405, 501, 502))
        self.assertEqual(ask(self.a.url + "/x.ts", "PURGE")[0] // 100, 4)  # not on the public listener

    def test_weirctl(self):
        credential = str(self.path / "credential")
        path = "/ctl/a.ts"
        self.set(1, path)
        self.versions(path)
        self.set(2, path)

        def ctl(*args):
            return subprocess.run([program("weirctl"), "purge", "--credential-file", credential, *args],
                                  capture_output=True, text=True, timeout=60)
        result = ctl("--asset", "ctl", "--tag=none", "--edge", self.b.admin_url)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(sorted(result.stdout.splitlines()), sorted(f"{e.admin_url}: done" for e in self.edges))
        self.assertEqual(self.versions(path), [2, 2])
        self.b.stop()
        try:
            result = ctl("--url", self.a.url + path, "--soft", "--edge", self.a.admin_url)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"{self.b.admin_url}: NOT DONE: ", result.stdout)
            self.assertIn("not all edges have done it", result.stderr)
            result = ctl("--asset", "ctl", "--edge", self.b.admin_url)
            self.assertEqual(result.returncode, 1)
        finally:
            self.b.start()
        self.assertEqual(ctl("--edge", self.a.admin_url).returncode, 2)
        self.assertEqual(ctl("--asset").returncode, 2)
        result = ctl("--tag", "a,b", "--edge", self.a.admin_url)
        self.assertEqual(result.returncode, 1)
        self.assertIn("a comma in it", result.stderr)
