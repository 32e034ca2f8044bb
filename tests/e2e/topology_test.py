# SPDX-License-Identifier: Apache-2.0
"""Edges beside and above each other, and several servers behind them: who asks whom, and what happens when
somebody dies."""
import concurrent.futures
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from cache_lab import BlobOrigin
from daemon import Edge, certificate, digests, free_port, stop_all, until, yaml

CREDENTIAL = "between-edges-0123456789"


class Topology(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(4)
        blobs = [rng.randbytes(20_000 + i) for i in range(60)]
        cls.names = digests(blobs)
        cls.blobs = dict(zip(cls.names, blobs))

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        (self.folder / "peer").write_text(CREDENTIAL + "\n")
        self.origin = self.another_origin(free_port())  # one test starts it again
        self.running = []
        self.addCleanup(stop_all, self.running)

    def another_origin(self, port=0):
        origin = BlobOrigin(self.blobs, port)
        self.addCleanup(origin.close)
        return origin

    def edge(self, name, port=None, start=True, /, **upstream):
        upstream = {"name": "origin", "servers": [self.origin.url],
                    "peer_credential_file": str(self.folder / "peer"), **upstream}
        body = yaml(upstreams=[{k: v for k, v in upstream.items() if v is not None}], routes=[{"upstream": "origin"}])
        e = Edge(self.folder, body, name, port)
        self.running.append(e)
        return e.start(wait=False) if start else e

    def tier(self, count, **upstream):
        ports = [free_port() for _ in range(count)]
        urls = [f"http://127.0.0.1:{p}" for p in ports]
        edges = [self.edge(f"edge{i}", ports[i], siblings=urls, self=urls[i],
                           health={"interval_ms": 200, "timeout_ms": 5000, "successes": 1}, **upstream)
                 for i in range(count)]
        for e in edges:
            e.wait_ready()
        for e in edges:  # whoever was checked before it listened is seen again
            for url in urls:
                if url != e.url:
                    e.wait_metric(1, "weir_edge_upstream_healthy", server=url)
        return edges

    def fetch(self, edge, name):
        answer = edge.get(f"/b/{name}.m4s")
        self.assertEqual(answer.status, 200, (name, answer.body[:200], edge.log()[-2000:]))
        self.assertEqual(answer.body, self.blobs[name])
        return answer

    def test_siblings_share_one_request(self):
        """Three edges are asked for the same blobs, at once: the origin is asked once for each."""
        edges = self.tier(3)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            for f in [pool.submit(self.fetch, e, n) for n in self.names for e in edges for _ in range(2)]:
                f.result()
        for n in self.names:
            self.assertEqual(self.origin.count(n), 1)
        shares = lambda: [e.metric("weir_edge_upstream_requests_total", server=self.origin.url) for e in edges]
        until(lambda: sum(shares()) == len(self.names), tell=lambda: str(shares()))
        shares = shares()
        self.assertTrue(all(s > 5 for s in shares), shares)
        self.assertTrue(all(e.metric("weir_edge_peer_requests_total") > 0 for e in edges))
        loops = [a.get("cdn-loop") for a in self.origin.asks]
        self.assertTrue(all(l.startswith("weir-") for l in loops), loops[:3])
        self.assertTrue(any("," in l for l in loops))  # through a sibling

    def test_siblings_of_an_http_route(self):
        """Any origin: one request for all; what a viewer's credential opened is shared with nobody; no credential of
        ours reaches the origin."""
        edges = self.tier(3, kind="http")
        host = {"Host": "video.example.org"}

        def get(edge, name):
            answer = edge.get(f"/vod/{name}?b=2&a=1", **host)
            self.assertEqual((answer.status, answer.body), (200, self.blobs[name]))
            return answer
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            for f in [pool.submit(get, e, n) for n in self.names for e in edges for _ in range(2)]:
                f.result()
        for n in self.names:
            self.assertEqual(self.origin.count(n), 1)
        self.assertFalse(any(CREDENTIAL in str(a.fields) for a in self.origin.asks))
        self.assertTrue(any("," in a.get("cdn-loop") for a in self.origin.asks))
        self.origin.asks.clear()
        for e in edges:
            answer = e.get(f"/own/{self.names[0]}", Authorization="Basic eDp5", **host)
            self.assertEqual(answer.status, 200)
        self.assertEqual([a.get("authorization") for a in self.origin.asks], ["Basic eDp5"] * 3)
        self.assertFalse(any("," in a.get("cdn-loop") for a in self.origin.asks))  # past the siblings

    def test_a_sibling_dies(self):
        """No request fails, and only its share goes elsewhere; when it is back it has its share again."""
        edges = self.tier(3)
        first, dead = edges[0], edges[2]
        for n in self.names[:30]:
            self.fetch(first, n)
        share = first.metric("weir_edge_upstream_requests_total", server=dead.url)
        other = first.metric("weir_edge_upstream_requests_total", server=edges[1].url)
        self.assertTrue(share > 0 and other > 0)
        dead.kill()
        for n in self.names[30:45]:
            self.fetch(first, n)
        first.wait_metric(0, "weir_edge_upstream_healthy", server=dead.url)
        before = first.metric("weir_edge_upstream_requests_total", server=dead.url)
        for n in self.names[45:]:
            self.fetch(first, n)
        self.assertEqual(first.metric("weir_edge_upstream_requests_total", server=dead.url), before)
        for n in self.names[30:]:
            self.assertEqual(self.origin.count(n), 1)
        dead.start()
        first.wait_metric(1, "weir_edge_upstream_healthy", server=dead.url)

    def test_a_shield_and_its_death(self):
        parents = [self.edge(f"shield{i}") for i in range(2)]
        for p in parents:
            p.wait_ready()
        edge = self.edge("edge", parents=[p.url for p in parents])
        edge.wait_ready()
        for n in self.names[:40]:  # ports differ, and with them who is asked for what: so many that each has some
            self.fetch(edge, n)
        self.assertEqual(edge.metric("weir_edge_upstream_requests_total", server=self.origin.url), 0)
        for p in parents:
            self.assertGreater(p.metric("weir_edge_upstream_requests_total", server=self.origin.url), 2)
        parents[0].kill()
        for n in self.names[40:50]:
            self.fetch(edge, n)
        self.assertEqual(edge.metric("weir_edge_upstream_requests_total", server=self.origin.url), 0)
        parents[1].kill()
        for n in self.names[50:]:
            self.fetch(edge, n)
        self.assertEqual(edge.metric("weir_edge_upstream_requests_total", server=self.origin.url), 10)

    def test_servers_fail_over_and_come_back(self):
        """By checks: a server that says it is not well is not asked, though it would answer."""
        second = self.another_origin()
        edge = self.edge("edge", servers=[self.origin.url, second.url],
                         health={"path": "/alive", "interval_ms": 100, "failures": 2, "successes": 2})
        edge.wait_ready()
        self.fetch(edge, self.names[0])
        self.assertEqual((self.origin.count(self.names[0]), second.count(self.names[0])), (1, 0))
        self.origin.mode, self.origin.alive = 503, True  # no check shall be quicker than the request
        self.fetch(edge, self.names[1])  # passed over within the request
        self.assertEqual(second.count(self.names[1]), 1)
        self.origin.alive = False
        edge.wait_metric(0, "weir_edge_upstream_healthy", server=self.origin.url)
        self.fetch(edge, self.names[2])
        self.assertEqual((self.origin.count(self.names[2]), second.count(self.names[2])), (0, 1))
        self.assertGreater(edge.metric("weir_edge_upstream_retries_total", upstream="origin"), 0)
        self.origin.mode, self.origin.alive = None, True
        edge.wait_metric(1, "weir_edge_upstream_healthy", server=self.origin.url)
        self.fetch(edge, self.names[3])
        self.assertEqual((self.origin.count(self.names[3]), second.count(self.names[3])), (1, 0))
        port = self.origin.port
        self.origin.close()
        for n in self.names[4:10]:
            self.fetch(edge, n)
        self.origin = self.another_origin(port)
        edge.wait_metric(1, "weir_edge_upstream_healthy", server=self.origin.url)

    def test_servers_by_key(self):
        others = [self.another_origin() for _ in range(2)]
        edge = self.edge("edge", servers=[self.origin.url] + [o.url for o in others], balance="hash")
        edge.wait_ready()
        for n in self.names:
            self.fetch(edge, n)
        counts = [len(o.asks) for o in [self.origin] + others]
        self.assertEqual(sum(counts), len(self.names))
        self.assertTrue(all(c > 5 for c in counts), counts)

    def test_edges_as_servers_and_in_a_circle(self):
        """An edge is another one's origin by its credential; two that are each other's say so, and nobody hangs."""
        first = self.edge("first")
        first.wait_ready()
        second = self.edge("second", servers=[first.url], credential_file=str(self.folder / "peer"))
        second.wait_ready()
        self.fetch(second, self.names[0])
        self.assertEqual(self.origin.count(self.names[0]), 1)
        self.assertEqual(second.get("/b/" + "0" * 32 + ".m4s").status, 404)
        self.assertEqual(first.get("/blob/" + self.names[0]).status, 404)  # not for viewers
        self.assertEqual(first.get("/blob/" + self.names[0], Authorization="Bearer wrong-0123456789abcdef").status, 404)
        bearer = {"Authorization": "Bearer " + CREDENTIAL}
        self.assertEqual(first.get("/blob/", **bearer).status, 204)
        self.assertEqual(first.get(f"/blob/{self.names[0]}?upstream=other", **bearer).status, 421)
        self.assertEqual(first.get("/blob/nothing", **bearer).status, 404)
        self.assertEqual(first.get(f"/blob/{self.names[0]}?upstream=origin", **bearer).body, self.blobs[self.names[0]])
        a, b = free_port(), free_port()
        circle = [self.edge(f"circle{i}", port, servers=[f"http://127.0.0.1:{other}"],
                            credential_file=str(self.folder / "peer")) for i, (port, other) in enumerate([(a, b), (b, a)])]
        for e in circle:
            e.wait_ready()
        started = time.monotonic()
        self.assertIn(circle[0].get(f"/b/{self.names[1]}.m4s").status, (502, 503))
        self.assertLess(time.monotonic() - started, 8)

    def nginx(self, cert, key, client_ca):
        """A real origin over TLS that lets in nobody without a certificate; its log tells the protocol."""
        root, port = self.folder / "nginx", free_port()
        (root / "www/blob").mkdir(parents=True)
        for n in self.names:
            (root / "www/blob" / n).write_bytes(self.blobs[n])
        (root / "nginx.conf").write_text(f"""
            daemon off; pid {root}/pid; error_log {root}/error.log; worker_processes 1; user root;
            events {{ worker_connections 256; }}
            http {{
                log_format t '$server_protocol $connection $ssl_client_verify $ssl_client_s_dn $status $request_uri';
                access_log {root}/access.log t;
                client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;
                uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
                server {{
                    listen 127.0.0.1:{port} ssl http2;
                    ssl_certificate {cert}; ssl_certificate_key {key};
                    ssl_client_certificate {client_ca}; ssl_verify_client on;
                    root {root}/www;
                }}
            }}""")
        process = subprocess.Popen(["nginx", "-p", str(root), "-e", str(root / "error.log"), "-c", str(root / "nginx.conf")],
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        until(listens)
        return port, root / "access.log"

    def test_mutual_tls_and_http2_to_a_real_origin(self):
        (cert, key), (mine, mine_key), (other, other_key) = (
            [str(path) for path in certificate(self.folder, name)] for name in ("server", "edge7", "stranger"))
        port, log = self.nginx(cert, key, mine)
        server = {"servers": [f"https://127.0.0.1:{port}"], "ca_file": cert, "retries": 0}
        with_mine = {"cert_file": mine, "key_file": mine_key}
        edges = [self.edge("h2", **server, **with_mine, http2=True), self.edge("h1", **server, **with_mine),
                 self.edge("stranger", **server, cert_file=other, key_file=other_key), self.edge("nobody", **server)]
        for e in edges:
            e.wait_ready()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for f in [pool.submit(self.fetch, edges[0], n) for n in self.names]:
                f.result()

        def lines_of_log(count):  # nginx writes a line once the answer is out
            def lines():
                lines = [line.split(" ") for line in log.read_text().splitlines()]
                return [line for line in lines if line[-1] != "/refs/watch"]  # notices, on a connection of their own
            until(lambda: len(lines()) >= count)
            return lines()
        lines = lines_of_log(len(self.names))
        self.assertEqual({(l[0], l[2], l[3]) for l in lines}, {("HTTP/2.0", "SUCCESS", "CN=edge7")})
        self.assertEqual(len(lines), len(self.names))
        self.assertLessEqual(len({l[1] for l in lines}), 4)  # two workers; many streams on a connection each
        self.fetch(edges[1], self.names[0])
        self.assertEqual(lines_of_log(len(self.names) + 1)[-1][0], "HTTP/1.1")
        for e in edges[2:]:  # nothing is to be had
            self.assertEqual(e.get(f"/b/{self.names[1]}.m4s").status, 502)
        self.assertNotIn("stranger", "".join(l for l in log.read_text().splitlines(True) if " 200 " in l))

    def test_bad_configuration_is_told(self):
        for bad, key in (({"siblings": ["http://a"]}, "self"), ({"parents": ["http://a/b"]}, "parents"),
                         ({"cert_file": "/x"}, "key_file"), ({"name": "a b"}, "name"), ({"retries": 11}, "retries"),
                         ({"health": {"path": "alive"}}, "path"), ({"balance": "random"}, "balance"),
                         ({"servers": ["http://a", "http://a"]}, "servers"), ({"self": "x"}, "self"),
                         ({"parents": ["http://a"], "peer_credential_file": "/nowhere"}, "/nowhere")):
            code, text = self.edge("bad", None, False, **bad).check()
            self.assertNotEqual(code, 0, bad)
            self.assertIn(key, text)
        code, text = self.edge("bad", None, False, parents=["http://a"], peer_credential_file=None).check()
        self.assertNotEqual(code, 0)
        self.assertIn("peer_credential_file", text)


if __name__ == "__main__":
    unittest.main()
