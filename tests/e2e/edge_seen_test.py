# SPDX-License-Identifier: Apache-2.0
"""What an edge tells of itself: metrics, access log, Server-Timing, `weirctl edge`."""
import json
import os
import pty
import re
import select
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from cache_lab import Client, Edge, Origin, Page, noise
from daemon import certificate, free_port, program, until

SEGMENT = noise(100_000)


class SeenEdge(Edge):
    """With TLS on a second port, and a route that has a name."""

    def __init__(self, origin, tls, log="json"):
        self.tls_port = free_port()
        super().__init__(origin, route="  name: films\n", more=(
            f"- upstream: origin\n  prefix: /other\naccess_log: {log}\nalso_listen:\n"
            f"- {{address: 127.0.0.1, port: {self.tls_port}, cert_file: {tls[0]}, key_file: {tls[1]}}}\n"))

    def lines(self, path):
        """The log's request lines of a path that begins so."""
        found = []
        for line in self.log().rpartition("\n")[0].splitlines():  # the last may be half
            entry = json.loads(line)
            if entry["msg"] == "request" and entry["path"].startswith(path):
                found.append(entry)
        return found


def promtool(text, *args):
    return subprocess.run(["promtool", "check", "metrics", *args], input=text, capture_output=True, text=True, timeout=60)


def labels(text):
    return dict(re.findall(r'(\w+)="([^"]*)"', text))


def samples(text, name):
    """{labels as a frozenset of pairs: value}"""
    found = {}
    for line in text.splitlines():
        if line.startswith(name) and line[len(name)] in "{ ":
            found[frozenset(labels(line).items())] = float(line.rsplit(" ", 1)[1])
    return found


class EdgeSeen(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        cls.addClassCleanup(folder.cleanup)
        cls.tls = certificate(folder.name)
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        for n in range(4):
            cls.origin.pages[f"/film/s{n}.m4s"] = Page(SEGMENT, etag=f'"s{n}"')
        cls.origin.pages["/other/a.m4s"] = Page(b"other", etag='"o"')
        cls.origin.pages["/film/none.m4s"] = Page(b"fresh each time", cache="no-store")
        cls.edge = SeenEdge(cls.origin, cls.tls)
        cls.addClassCleanup(cls.edge.close)

    def count(self, name, **want):
        return samples(self.edge.metrics(), name).get(frozenset(want.items()), 0)

    def context(self, version=None):
        context = ssl.create_default_context(cafile=str(self.tls[0]))
        if version:
            context.maximum_version = version
        return context

    def ask_tls(self, context, path, session=None, times=1):
        """(session, whether it was resumed)"""
        with socket.create_connection(("127.0.0.1", self.edge.tls_port), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost", session=session) as s:
                stream = s.makefile("rb")
                for _ in range(times):
                    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    size = 0
                    while (line := stream.readline().strip()):
                        if line.lower().startswith(b"content-length:"):
                            size = int(line.split(b":")[1])
                    stream.read(size)
                return s.session, s.session_reused

    def ctl(self, *args, **more):
        return subprocess.run([program("weirctl"), "edge", *args], capture_output=True, text=True, timeout=60, **more)

    def requests(self):
        return self.edge.metric("weir_edge_requests_total")

    def warm(self):
        """All segments are in RAM, and the answers are counted."""
        before = self.requests()
        for n in range(4):
            self.edge.get(f"/film/s{n}.m4s")
        until(lambda: self.requests() >= before + 4)

    def test_metrics_are_clean(self):
        self.warm()
        text = self.edge.metrics()
        result = promtool(text)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))
        extended = promtool(text, "--extended")
        self.assertEqual(extended.returncode, 0, extended.stdout + extended.stderr)
        self.assertIn("weir_edge_requests_total", extended.stdout)

    def test_answers_count_by_tier_and_route(self):
        name = "weir_edge_requests_total"
        self.warm()
        before = self.count(name, route="films", tier="ram")
        bytes_before = self.count("weir_edge_sent_bytes_total", route="films", tier="ram")
        first = self.count("weir_edge_first_byte_seconds_count", tier="ram")
        other = self.count(name, route="/other", tier="miss")
        total = self.requests()
        for _ in range(3):
            self.assertEqual(self.edge.get("/film/s0.m4s").body, SEGMENT)
        self.edge.get("/other/a.m4s")
        self.edge.get("/film/none.m4s")
        until(lambda: self.requests() == total + 5)  # counted behind the answers
        self.assertEqual(self.count(name, route="films", tier="ram") - before, 3)
        self.assertEqual(self.count("weir_edge_sent_bytes_total", route="films", tier="ram") - bytes_before, 3 * len(SEGMENT))
        self.assertEqual(self.count("weir_edge_first_byte_seconds_count", tier="ram") - first, 3)
        self.assertEqual(self.count(name, route="/other", tier="miss") - other, 1)
        self.assertGreaterEqual(self.count(name, route="films", tier="pass"), 1)
        self.assertGreaterEqual(self.count("weir_edge_http_first_byte_seconds_count"), 5)
        self.assertGreaterEqual(self.count(name, route="films", tier="miss"), 4)

    def test_fills_are_timed(self):
        before = self.count("weir_edge_fill_seconds_count")
        self.origin.pages["/timed/a.m4s"] = Page(b"timed", etag='"t"')
        for _ in range(3):
            self.assertEqual(self.edge.get("/timed/a.m4s").body, b"timed")
        until(lambda: self.count("weir_edge_fill_seconds_count") == before + 1)  # it ends behind the answer

    def test_server_timing_says_tier_and_time(self):
        self.origin.pages["/timing/a.m4s"] = Page(b"timing", head_gate=None, etag='"t"')
        miss = self.edge.get("/timing/a.m4s").get("server-timing")
        self.assertRegex(miss, r"^cache;desc=miss, upstream;dur=\d+\.\d$")
        self.assertEqual(self.edge.get("/timing/a.m4s").get("server-timing"), "cache;desc=ram")
        self.assertRegex(self.edge.get("/film/none.m4s").get("server-timing"), r"^cache;desc=pass, upstream;dur=\d+\.\d$")

    def test_handshakes_count_by_version_and_resumption(self):
        name = "weir_edge_tls_handshakes_total"
        before = samples(self.edge.metrics(), name)
        context = self.context()
        tls_lines = lambda: [x for x in self.edge.lines("/film/") if "tls" in x]
        earlier = len(tls_lines())
        session, resumed = self.ask_tls(context, "/film/s0.m4s")
        self.assertFalse(resumed)
        until(lambda: len(tls_lines()) == earlier + 1)  # the next one may be another worker's, which would come before
        _, resumed = self.ask_tls(context, "/film/s1.m4s", session, times=2)
        self.assertTrue(resumed)
        until(lambda: len(tls_lines()) == earlier + 3)
        self.ask_tls(self.context(ssl.TLSVersion.TLSv1_2), "/film/s2.m4s")

        def grown():
            now = samples(self.edge.metrics(), name)
            return {(dict(k)["version"], dict(k)["resumed"]): now[k] - before[k] for k in now if now[k] != before[k]}
        until(lambda: sum(grown().values()) >= 3)
        self.assertEqual(grown(), {("TLSv1.3", "false"): 1, ("TLSv1.3", "true"): 1, ("TLSv1.2", "false"): 1})
        failed = self.count("weir_edge_tls_handshakes_failed_total")
        with socket.create_connection(("127.0.0.1", self.edge.tls_port), timeout=30) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")  # not TLS
            while plain.recv(4096):
                pass
        until(lambda: self.count("weir_edge_tls_handshakes_failed_total") == failed + 1)
        until(lambda: len(tls_lines()) == earlier + 4)
        logged = tls_lines()[-4:]
        self.assertEqual([(x["tls"], x["resumed"], x.get("reused", False)) for x in logged],
                         [("TLSv1.3", False, False), ("TLSv1.3", True, False), ("TLSv1.3", True, True), ("TLSv1.2", False, False)])
        self.assertTrue(all("GCM" in x["cipher"] for x in logged), logged)

    def test_log_lines_tell_all(self):
        target = ("/log/a.m4s?x=1&CMCD=br%3D3200%2Cot%3Dv%2Csid%3D%22s-1%22%2Ccom.example-x%3D5"
                  "%2Cnor%3D%22b.m4s%253FURISigningPackage%253Dsecret%22")
        self.origin.pages[target] = Page(SEGMENT, etag='"l"', ranges=True)
        fields = {"Referer": "https://page.example/?URISigningPackage=secret", "Range": "bytes=0-9", "User-Agent": "player/1",
                  "CMCD-Request": "bl=21300,su,dl=bad", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        client = Client(self.edge.port)
        self.assertEqual(client.send(target, fields).answer().status, 206)
        self.assertEqual(client.send(target, fields).answer().status, 206)
        client.close()
        until(lambda: len(self.edge.lines("/log/")) == 2)
        miss, hit = self.edge.lines("/log/")
        self.assertEqual(miss["host"], "edge.example")
        self.assertEqual(miss["referer"], "https://page.example/?URISigningPackage=redacted")
        self.assertEqual((miss["range"], miss["status"], miss["bytes"]), ("bytes=0-9", 206, 10))
        self.assertEqual(miss["request_id"], "0af7651916cd43dd8448eb211c80319c")
        self.assertEqual(miss["cmcd"], {"bl": 21300, "su": True, "br": 3200, "ot": "v", "sid": "s-1", "com.example-x": "5",
                                        "nor": "b.m4s%3FURISigningPackage%3Dredacted"})
        self.assertIn("fwd=uri-miss", miss["cache_status"])
        self.assertIn("hit", hit["cache_status"])
        self.assertNotIn("reused", miss)
        self.assertTrue(hit["reused"])
        self.assertNotIn("tls", hit)
        for line in (miss, hit):
            self.assertLessEqual(line["ttfb_ms"], line["duration_ms"])
        self.assertNotIn("secret", self.edge.log())

    def test_combined_log_and_its_key(self):
        edge = SeenEdge(self.origin, self.tls, log="combined")
        try:
            edge.get("/film/s0.m4s?URISigningPackage=secret", {"User-Agent": 'a "b"', "Referer": "https://r.example/"})
            until(lambda: "GET /film" in edge.log())
            line = next(x for x in edge.log().splitlines() if "GET /film" in x)
            self.assertRegex(line, r'^127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /film/s0\.m4s\?'
                                   r'URISigningPackage=redacted HTTP/1\.1" \d{3} \d+ "https://r\.example/" "a \\x22b\\x22"$')
            text = edge.path.read_text()
            for value, good in (("true", True), ("false", True), ("off", True), ("json", True), ("loud", False), ("1", False)):
                edge.path.write_text(text.replace("access_log: combined", f"access_log: {value}"))
                code, said = edge.check()
                self.assertEqual(code == 0, good, (value, said))
                if not good:
                    self.assertIn("access_log", said)
        finally:
            edge.close()

    def test_two_routes_of_one_name_are_refused(self):
        self.edge.path.write_text(self.edge.path.read_text().replace("prefix: /other", "prefix: /other\n  name: films"))
        self.addCleanup(self.edge.write)
        code, said = self.edge.check()
        self.assertEqual(code, 1)
        self.assertIn("routes: name", said)

    def test_weirctl_stat(self):
        self.warm()
        self.warm()
        root = json.loads(self.ctl("stat", "--url", self.edge.admin_url, "--json").stdout)
        self.assertGreaterEqual(root["tiers"]["ram"]["requests"], 4)
        self.assertGreater(root["hit_ratio"], 0)
        self.assertGreater(root["store"]["ram_bytes"], len(SEGMENT))
        self.assertGreater(root["uptime_s"], 0)
        self.assertEqual({r["route"] for r in root["routes"]}, {"films", "/other"})
        self.assertEqual(sum(r["requests"] for r in root["routes"]), root["requests"])
        self.assertEqual(sum(t["bytes"] for t in root["tiers"].values()), root["bytes"])
        plain = self.ctl("stat", "--url", self.edge.admin_url + "/")
        self.assertEqual(plain.returncode, 0, plain.stderr)
        self.assertRegex(plain.stdout, r"(?m)^weir-edge \S+, up 0 h 0\d min \d\d s$")
        self.assertRegex(plain.stdout, r"(?m)^films +\d+ +\d+ +[\d.]+%  origin$")
        self.assertRegex(plain.stdout, r"(?m)^ram +\d+ +\d+$")

    def test_weirctl_top_and_hot(self):
        for _ in range(30):
            self.edge.get("/hottest/a.m4s")  # 404: kept by nobody, yet asked for
            self.edge.get("/film/s3.m4s")
        self.edge.get("/film/s2.m4s")
        top = json.loads(self.ctl("top", "--json", "--url", self.edge.admin_url).stdout)
        film = next(a for a in top["assets"] if a["name"].endswith("/film/"))
        self.assertEqual(film["route"], "films")
        self.assertGreater(film["requests_per_s"], 1)
        self.assertGreater(film["bytes_per_s"], len(SEGMENT))
        self.assertGreater(film["hit_ratio"], 0.5)
        self.assertIn("edge.example/film/", film["name"])
        rates = [a["requests_per_s"] for a in top["assets"]]
        self.assertEqual(rates, sorted(rates, reverse=True))
        once = self.ctl("top", "--once", "--rows", "1", "--url", self.edge.admin_url)
        self.assertEqual(once.returncode, 0, once.stderr)
        self.assertEqual(len(once.stdout.splitlines()), 2, once.stdout)
        self.assertRegex(once.stdout.splitlines()[0], r"REQUESTS/S +BYTES/S +HITS +ROUTE +ASSET")
        hot = json.loads(self.ctl("hot", "--json", "--url", self.edge.admin_url).stdout)["urls"]
        self.assertEqual(hot[0]["name"], "edge.example/film/s3.m4s")
        self.assertTrue(all(u["hit_ratio"] == 1 for u in hot), hot)
        plain = self.ctl("hot", "--rows", "1", "--url", self.edge.admin_url)
        self.assertRegex(plain.stdout, r"(?s)URL\n.*edge\.example/film/s3\.m4s\n$")

    def test_weirctl_top_live(self):
        self.warm()
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(program("weirctl"), ["weirctl", "edge", "top", "--url", self.edge.admin_url])
        seen, end = b"", time.monotonic() + 30
        while seen.count(b"REQUESTS/S") < 2 and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 65536)
        os.write(terminal, b"q")
        while True:  # to its end, so that it is not stopped by a full terminal
            try:
                more = os.read(terminal, 65536)
            except OSError:
                break
            if not more:
                break
            seen += more
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)
        self.assertGreaterEqual(seen.count(b"REQUESTS/S"), 2, seen[-2000:])
        self.assertIn(b"/film/", seen)
        self.assertIn(b"since start:", seen)
        self.assertTrue(seen.rstrip().endswith(b"\x1b[?25h"), "the cursor is shown again")

    def test_weirctl_says_what_is_wrong(self):
        gone = self.ctl("stat", "--url", f"http://127.0.0.1:{free_port()}")
        self.assertEqual(gone.returncode, 1)
        self.assertEqual(len(gone.stderr.splitlines()), 1, gone.stderr)
        other = self.ctl("stat", "--url", self.edge.url)
        self.assertEqual(other.returncode, 1)
        self.assertIn("404", other.stderr)
        for args in ((), ("what",), ("top", "--rows", "0"), ("top", "--rows", "1001"), ("hot", "--once"), ("stat", "more")):
            self.assertEqual(self.ctl(*args).returncode, 2, args)
        self.assertEqual(self.ctl("--help").returncode, 0)
        for query in ("n=0", "n=x", "n=1001", "n="):
            self.assertEqual(self.edge.get(f"/edge/top?{query}", port=self.edge.admin).status, 400, query)
        self.assertEqual(self.edge.get("/edge/top?n=1000", port=self.edge.admin).status, 200)

    def test_disk_hits_after_a_restart(self):
        edge = SeenEdge(self.origin, self.tls)
        try:
            edge.get("/film/s1.m4s")
            edge.stop()
            edge.start()
            answer = edge.get("/film/s1.m4s")
            self.assertEqual(answer.body, SEGMENT)
            self.assertRegex(answer.get("server-timing"), r"^cache;desc=disk;dur=\d+\.\d$")
            edge.wait_metric(1, "weir_edge_requests_total", route="films", tier="disk")
            self.assertEqual(promtool(edge.metrics()).stdout, "")
        finally:
            edge.close()


if __name__ == "__main__":
    unittest.main()
