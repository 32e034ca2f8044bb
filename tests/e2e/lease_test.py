# SPDX-License-Identifier: Apache-2.0
"""Stream sessions over real daemons: control, two edges, and a Redis or none."""
import http.server
import re
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.parse

from daemon import free_port, until
from redis_cluster import RedisCluster
from weir import Weir

STOP_S = 2  # a terminated session stops at every edge within that
WAIT_S = 60
LARGE = 96 << 20  # more than sockets and a client's window hold


class Redis:
    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
             "--dir", str(self.folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        until(listens)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Upstream(http.server.BaseHTTPRequestHandler):
    """An HLS origin of any kind: one large file, and nothing else."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        large = self.path == "/v/film/large.ts"
        self.send_response(200 if large else 404)
        self.send_header("Content-Length", LARGE if large else 0)
        self.send_header("Cache-Control", "max-age=60")
        self.end_headers()
        piece = b"l" * 65536
        for _ in range(LARGE // len(piece) if large else 0):
            self.wfile.write(piece)

    def log_message(self, *_):
        pass


class Installation(Weir):
    """Control and two edges, "edge" (fail: open) and "edge2" (fail: closed), in front of an HTTP upstream."""

    def __init__(self, with_redis, leases_fail="closed", redis=Redis):
        super().__init__()
        self.redis = redis(self.folder) if with_redis else None
        config = self.folder / "config"
        edge = (config / "edge.yaml").read_text()
        if with_redis:
            edge = re.sub(r"(?m)^lease:\n(  .*\n)+", f"redis: {self.redis.url}\nlease:\n  backend: redis\n", edge)
            control = config / "control.yaml"
            control.write_text(control.read_text() + f"redis: {self.redis.url}\nleases_fail: {leases_fail}\n")
            self.redis.start()
        edge = edge.replace("lease:\n", "lease:\n  renew_s: 1\n")
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        edge = edge.replace("upstreams:\n", f"upstreams:\n- name: any\n  kind: http\n  servers: ['http://127.0.0.1:{self.upstream.server_port}']\n")
        edge = edge.replace("routes:\n", f"routes:\n- prefix: /v/film/\n  upstream: any\n  token_ring_file: {self.folder}/secrets/token-ring.json\n")
        (config / "edge.yaml").write_text(edge)
        second = edge.replace("  renew_s: 1\n", "  renew_s: 1\n  fail: closed\n")
        second = second.replace(str(self.folder) + "/edge", str(self.folder) + "/edge2")
        for name in ("edge", "edge_admin"):
            port = free_port()
            second = second.replace(f"port: {urllib.parse.urlsplit(self.url(name)).port}", f"port: {port}")
            self.settings[name.replace("edge", "edge2") + "_url"] = f"{'http' if 'admin' in name else 'https'}://localhost:{port}"
        (config / "edge2.yaml").write_text(second)
        self.add("edge2", "weir-edge", self.url("edge2_admin"))
        try:
            self.start("control", "edge", "edge2")
        except BaseException:
            self.close()
            raise
        self.request("PUT", self.url("control") + "/api/v1/admin/assets/film",
                     {"title": "Film", "duration_ms": 1000, "height": 1080, "audio": [], "subtitles": []},
                     {"Authorization": "Bearer " + self.secret("admin")})
        self.cookies = 0

    def user(self):
        self.cookies += 1
        answer = self.request("POST", self.url("control") + "/api/v1/auth/signup",
                              {"email": f"viewer{self.cookies}@example.org", "password": "a good password"})
        return answer.headers["Set-Cookie"].split(";")[0]

    def api(self, user, method, path="", body=None, **headers):
        return self.request(method, self.url("control") + "/api/v1/playback" + path, body,
                            {"Cookie": user, "Content-Type": "application/json", **headers})

    def play(self, user, **body):
        return self.api(user, "POST", "", {"asset": "film", **body})

    def at(self, edge, url):
        """The same signed URL on either edge."""
        parts = urllib.parse.urlsplit(url)
        return urllib.parse.urlunsplit(parts._replace(netloc=urllib.parse.urlsplit(self.url(edge)).netloc))

    def ask(self, edge, url):
        """"ok" when the session is let in, whatever is behind; else the code of the refusal."""
        answer = self.get(self.at(edge, url))
        return answer.code if answer.status in (403, 503) else "ok"

    def close(self):
        try:
            super().close()
        finally:
            self.upstream.shutdown()
            self.upstream.server_close()
            if self.redis:
                self.redis.kill()


class Common:
    """What holds with either backend."""
    with_redis = False
    redis = Redis

    @classmethod
    def setUpClass(cls):
        cls.weir = Installation(cls.with_redis, redis=cls.redis)
        cls.addClassCleanup(cls.weir.close)

    def until(self, wanted, call, seconds=WAIT_S):
        until(lambda: call() == wanted, seconds, lambda: f"{call()} instead of {wanted} for {seconds} s")

    def sessions(self, user):
        answer = self.weir.api(user, "GET")
        self.assertEqual(answer.status, 200)
        return [s["session_id"] for s in answer.json()["sessions"]]

    def test_limit(self):
        """The third stream is refused with what plays and what can be done; ending one makes room, and stops it at both edges within 2 s."""
        w, user = self.weir, self.weir.user()
        first = w.play(user, device="tv-1", device_name="Living room")
        second = w.play(user)
        self.assertEqual((first.status, second.status), (200, 200))
        self.assertEqual(first.json()["heartbeat_s"], 30)
        for edge in ("edge", "edge2"):
            self.assertEqual(w.ask(edge, first.json()["hls_url"]), "ok")
            self.assertEqual(w.ask(edge, second.json()["hls_url"]), "ok")
        third = w.play(user)
        self.assertEqual(third.status, 429)
        error = third.json()["error"]
        self.assertEqual(set(third.json()), {"error"})
        self.assertEqual(set(error), {"code", "message", "details"})
        self.assertEqual(error["code"], "CONCURRENT_LIMIT_EXCEEDED")
        self.assertEqual(set(error["details"]), {"active", "actions"})
        ids = [first.json()["session_id"], second.json()["session_id"]]
        active = error["details"]["active"]
        self.assertEqual([a["session_id"] for a in active], ids)
        for each in active:
            self.assertEqual(set(each), {"session_id", "device_name", "asset", "started_at"})
            self.assertRegex(each["started_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual(each["asset"], "film")
        self.assertEqual(active[0]["device_name"], "Living room")
        actions = error["details"]["actions"]
        self.assertEqual([(a["action"], a["session_id"]) for a in actions], [("terminate_session", i) for i in ids])
        for each in actions:
            self.assertEqual(set(each), {"action", "session_id", "label"})
        self.assertIn("Living room", actions[0]["label"])
        began = time.monotonic()
        self.assertEqual(w.api(user, "POST", f"/{ids[0]}/terminate", {}).status, 204)
        for edge in ("edge", "edge2"):
            self.until("SESSION_TERMINATED", lambda e=edge: w.ask(e, first.json()["hls_url"]), began + STOP_S - time.monotonic())
            self.assertEqual(w.ask(edge, second.json()["hls_url"]), "ok")
        self.assertEqual(w.play(user).status, 200)
        self.assertEqual(w.play(user).status, 429)
        until(lambda: w.metric("edge", "weir_edge_leases_refused_total", reason="ended") >= 1)

    def test_race(self):
        """Of fifty starts at once for one account two are let in."""
        w, user = self.weir, self.weir.user()
        got = []
        threads = [threading.Thread(target=lambda: got.append(w.play(user).status)) for _ in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual((got.count(200), got.count(429)), (2, 48))
        self.assertEqual(len(self.sessions(user)), 2)

    def test_life(self):
        """Heartbeats, stop, the same device again, another's session, requests that are none."""
        w, user, other = self.weir, self.weir.user(), self.weir.user()
        play = w.play(user, device="tab").json()
        session = play["session_id"]
        self.assertEqual(w.api(user, "POST", f"/{session}/heartbeat", {}).status, 200)
        for method, path in (("DELETE", f"/{session}"), ("POST", f"/{session}/terminate")):
            answer = w.api(other, method, path, {} if method == "POST" else None)
            self.assertEqual((answer.status, answer.code), (404, "SESSION_NOT_FOUND"))
        self.assertEqual(w.ask("edge", play["hls_url"]), "ok")
        again = w.play(user, device="tab").json()
        self.assertEqual(self.sessions(user), [again["session_id"]])
        self.until("SESSION_TERMINATED", lambda: w.ask("edge", play["hls_url"]))
        answer = w.api(user, "POST", f"/{session}/heartbeat", {})
        self.assertEqual((answer.status, answer.code), (410, "SESSION_TERMINATED"))
        self.assertEqual(w.api(user, "DELETE", f"/{again['session_id']}").status, 204)
        answer = w.api(user, "DELETE", f"/{again['session_id']}")
        self.assertEqual((answer.status, answer.code), (404, "SESSION_NOT_FOUND"))
        self.assertEqual(self.sessions(user), [])
        for method, path, status in (("POST", "/zz", 405), ("POST", "/abc/unknown", 404), ("DELETE", "/../x", 404),
                                     ("DELETE", "/" + "a" * 65, 404), ("PUT", "/abc", 405)):
            self.assertEqual(w.api(user, method, path, {} if method == "POST" else None).status, status, (method, path))
        self.assertEqual(w.api("", "GET").status, 401)
        self.assertEqual(w.api("", "DELETE", f"/{session}").status, 401)
        answer = w.api(user, "DELETE", f"/{session}", Origin="https://evil.example")
        self.assertEqual((answer.status, answer.code), (403, "ORIGIN_REFUSED"))
        for body in ({"device": 7}, {"device_name": "x" * 257}, {"device_name": "a\nb"}):
            answer = w.play(user, **body)
            self.assertEqual((answer.status, answer.code), (422, "BODY_INVALID"))
        self.assertEqual(self.sessions(user), [])

    def test_segments_renew(self):
        """A session that is asked for goes on without a heartbeat: the edge renews it."""
        w, user = self.weir, self.weir.user()
        play = w.play(user).json()
        def expiry():
            return w.api(user, "GET").json()["sessions"][0]["expires_at"]
        before = expiry()
        self.assertEqual(w.ask("edge", play["hls_url"]), "ok")
        self.until(True, lambda: w.ask("edge", play["hls_url"]) == "ok" and expiry() > before)
        until(lambda: w.metric("edge", "weir_edge_leases_renewed_total") >= 2)
        until(lambda: w.metric("edge", "weir_edge_lease_batch_sessions_count") >= 2)

    def outage(self, kill, start):
        """The backend is away: known sessions go on, unknown ones by policy; when it is back all are known again."""
        w, user = self.weir, self.weir.user()
        known, unknown = w.play(user).json(), w.play(user).json()
        for edge in ("edge", "edge2"):
            self.assertEqual(w.ask(edge, known["hls_url"]), "ok")
        kill()
        for _ in range(3):
            for edge in ("edge", "edge2"):
                self.assertEqual(w.ask(edge, known["hls_url"]), "ok")
            self.assertEqual(w.ask("edge2", unknown["hls_url"]), "SESSIONS_UNAVAILABLE")  # fail: closed
            self.assertEqual(w.ask("edge", unknown["hls_url"]), "ok")  # fail: open
            time.sleep(0.2)
        start()
        # Each worker of control has a connection of its own, and comes back in its own time.
        self.until({200}, lambda: {w.api(user, "GET").status for _ in range(20)})
        self.until("ok", lambda: w.ask("edge2", unknown["hls_url"]))
        both = {known["session_id"], unknown["session_id"]}
        self.until(both, lambda: w.ask("edge", known["hls_url"]) == "ok" and set(self.sessions(user)))
        self.assertEqual(w.play(user).status, 429)
        self.assertEqual(w.api(user, "POST", f"/{unknown['session_id']}/terminate", {}).status, 204)
        for edge in ("edge", "edge2"):
            self.until("SESSION_TERMINATED", lambda e=edge: w.ask(e, unknown["hls_url"]))
            self.assertEqual(w.ask(edge, known["hls_url"]), "ok")


class WithControl(Common, unittest.TestCase):
    """Leases in control's memory."""

    def test_outage(self):
        self.outage(lambda: self.weir.kill("control"), lambda: self.weir.start("control"))

    def test_cut(self):
        """What is on its way to a session ends with it, within 2 s, over HTTP/1.1 and HTTP/2; others go on."""
        w, user = self.weir, self.weir.user()
        cut, kept = w.play(user).json(), w.play(user).json()
        def curl(play, *args, out="/dev/null"):
            url = play["hls_url"].replace("master.m3u8", "large.ts")
            return subprocess.Popen(["curl", "-sS", "--cacert", w.settings["ca_file"], "-o", out, "-w", "%{http_code} %{size_download}", *args, url],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        versions = ("--http1.1", "--http2")
        outs = [w.folder / f"cut{version}" for version in versions]
        ended = [curl(cut, "--limit-rate", "4M", version, out=out) for version, out in zip(versions, outs)]
        going = curl(kept, "--http2")
        until(lambda: all(out.exists() and out.stat().st_size > 0 for out in outs))  # in the middle: it takes them 24 s
        for process in ended:
            self.assertIsNone(process.poll())
        self.assertEqual(w.api(user, "POST", f"/{cut['session_id']}/terminate", {}).status, 204)
        for process in ended:
            out, err = process.communicate(timeout=WAIT_S)
            status, size = out.split()
            self.assertEqual(status, "200")
            self.assertNotEqual(process.returncode, 0, err)
            self.assertLess(int(size), LARGE)
        until(lambda: w.metric("edge", "weir_edge_leases_cut_total") >= 2)
        out, err = going.communicate(timeout=60)
        self.assertEqual((going.returncode, out), (0, f"200 {LARGE}"), err)

    def test_internal(self):
        """The edges' calls need their credential, and are read strictly."""
        w = self.weir
        base = w.url("control") + "/api/v1/internal/leases/"
        good = {"Authorization": "Bearer " + (w.folder / "secrets/edge").read_text().strip()}
        for headers, code in (({}, "CREDENTIAL_MISSING"), ({"Authorization": "Bearer " + "x" * 20}, "CREDENTIAL_WRONG")):
            self.assertEqual(w.request("GET", base + "ended", headers=headers).code, code)
            self.assertEqual(w.request("POST", base + "renew", {"sessions": []}, headers).code, code)
        for body in ({}, {"sessions": []}, {"sessions": [7]}, {"sessions": [{"user": "u"}]}, {"sessions": "x"},
                     {"sessions": [{"user": "u", "session": "a\nb"}]}, {"sessions": [{"user": "u", "session": "s" * 300}]},
                     {"sessions": [{"user": "u", "session": "s", "until_ms": -5}]}):
            answer = w.request("POST", base + "renew", body, good)
            self.assertEqual((answer.status, answer.code), (422, "BODY_INVALID"), body)
        answer = w.request("POST", base + "renew", {"sessions": [{"user": "u", "session": "s", "asset": "a", "until_ms": 1}]}, good)
        self.assertEqual(answer.json(), {"states": ["live"]})

    def test_many_at_an_edge(self):
        """More sessions than one call of the edge holds are renewed, and each is its own."""
        w, users = self.weir, []
        for user in [w.user() for _ in range(4)]:
            users += [(user, w.play(user).json()), (user, w.play(user).json())]
        before = w.metric("edge", "weir_edge_leases_asked_total")
        threads = [threading.Thread(target=w.ask, args=("edge", play["hls_url"])) for _, play in users for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(w.metric("edge", "weir_edge_leases_asked_total") - before, 8)
        for user, play in users[::2]:
            self.assertEqual(w.api(user, "DELETE", "/" + play["session_id"]).status, 204)
        for i, (_, play) in enumerate(users):
            self.until("SESSION_TERMINATED" if i % 2 == 0 else "ok", lambda p=play: w.ask("edge", p["hls_url"]))


class WithRedis(Common, unittest.TestCase):
    """Leases in Redis, which control and both edges speak to."""
    with_redis = True

    def test_outage(self):
        w = self.weir
        def kill():
            w.redis.kill()
            answer = w.play(w.user())
            self.assertEqual((answer.status, answer.code), (503, "LEASES_UNAVAILABLE"))
        self.outage(kill, w.redis.start)

    def test_hanging(self):
        """A Redis that takes requests and does not answer: within two seconds each gets its answer by policy."""
        w, user = self.weir, self.weir.user()
        known, unknown = w.play(user).json(), w.play(user).json()
        self.assertEqual(w.ask("edge2", known["hls_url"]), "ok")
        w.redis.process.send_signal(signal.SIGSTOP)
        try:
            self.assertEqual(w.ask("edge2", unknown["hls_url"]), "SESSIONS_UNAVAILABLE")
            self.assertEqual(w.ask("edge", unknown["hls_url"]), "ok")
            self.assertEqual(w.ask("edge2", known["hls_url"]), "ok")
        finally:
            w.redis.process.send_signal(signal.SIGCONT)
        self.until("ok", lambda: w.ask("edge2", unknown["hls_url"]))


class WithCluster(Common, unittest.TestCase):
    """Leases in a Redis Cluster."""
    with_redis = True
    redis = RedisCluster

    def test_outage(self):
        def start():
            for node in range(3):
                self.weir.redis.start_node(node)
        self.outage(self.weir.redis.kill, start)


if __name__ == "__main__":
    unittest.main()
