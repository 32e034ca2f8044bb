# SPDX-License-Identifier: Apache-2.0
"""What is playing is fetched ahead, under limits; and caches are warmed from a list."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse

from cache_lab import BlobOrigin
from daemon import Edge, program, until, yaml
from weir import WeirCase, sample

HOST = {"Host": "video.example.org"}


def playlist(names):
    return ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n" + "".join(f"#EXTINF:4,\n{n}\n" for n in names)).encode()


class Prefetch(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.segments = {f"part{c}.ts": bytes([i]) * 30_000 for i, c in enumerate("abcdefghij")}
        self.segments |= {f"chunk-{i:04}.m4s": bytes([i]) * 30_000 for i in range(1, 9)}
        self.segments["index.m3u8"] = playlist([n for n in self.segments if n.startswith("part")])
        self.origin = BlobOrigin(self.segments)
        self.addCleanup(self.origin.close)

    def edge(self, **prefetch):
        edge = Edge(self.folder, yaml(upstreams=[{"name": "o", "kind": "http", "servers": [self.origin.url]}],
                                      routes=[{"upstream": "o"}], prefetch=prefetch))
        self.addCleanup(edge.close)
        return edge

    def get(self, edge, path, **headers):
        answer = edge.get(path, **HOST, **headers)
        self.assertEqual((answer.status, answer.body), (200, self.segments[path.split("?")[0].rsplit("/", 1)[1]]))
        return answer

    def test_by_playlist(self):
        edge = self.edge(segments=2).start()
        self.get(edge, "/hls/index.m3u8")
        self.get(edge, "/hls/parta.ts")
        edge.wait_metric(2, "weir_edge_prefetched_total")
        self.assertEqual([self.origin.count(f"part{c}.ts") for c in "abcd"], [1, 1, 1, 0])
        answer = self.get(edge, "/hls/partb.ts")
        self.assertIn("hit", answer.headers["Cache-Status"])
        edge.wait_metric(1, "weir_edge_prefetched_used_total")
        edge.wait_metric(3, "weir_edge_prefetched_total")  # d; c is there
        self.assertEqual([self.origin.count(f"part{c}.ts") for c in "abcde"], [1, 1, 1, 1, 0])
        self.get(edge, "/hls/parti.ts")
        edge.wait_metric(4, "weir_edge_prefetched_total")  # j, and nothing behind it
        for c in "abcdij":
            self.get(edge, f"/hls/part{c}.ts")
            self.assertEqual(self.origin.count(f"part{c}.ts"), 1)
        self.assertEqual(edge.metric("weir_edge_prefetched_bytes_total") % 30_000, 0)

    def test_by_number_and_at_a_live_end(self):
        """Names that are not there yet are not remembered as absent."""
        edge = self.edge(segments=1, concurrent=1).start()
        self.get(edge, "/dash/chunk-0001.m4s?x=1")
        edge.wait_metric(1, "weir_edge_prefetched_total")
        self.assertEqual(self.origin.count("chunk-0002.m4s?x=1"), 1)
        self.get(edge, "/dash/chunk-0008.m4s")
        edge.wait_metric(1, "weir_edge_prefetch_failures_total")
        self.assertEqual(self.origin.count("chunk-0009.m4s"), 1)
        self.segments["chunk-0009.m4s"] = b"now" * 1000
        self.get(edge, "/dash/chunk-0009.m4s")
        self.assertEqual(self.origin.count("chunk-0010.m4s"), 0)  # numbers led nowhere here a moment ago

    def test_by_the_players_word(self):
        edge = self.edge(segments=1).start()
        self.get(edge, "/hls/index.m3u8")
        self.get(edge, "/hls/parta.ts", CMCD_Request='bl=2000,nor="..%2Fhls%2Fparth.ts"')
        edge.wait_metric(1, "weir_edge_prefetched_total")
        self.assertEqual((self.origin.count("parth.ts"), self.origin.count("partb.ts")), (1, 0))
        self.get(edge, "/hls/partd.ts?CMCD=nor%3D%22parti.ts%22")
        edge.wait_metric(2, "weir_edge_prefetched_total")
        self.assertEqual([a.target for a in self.origin.asks].count("/hls/parti.ts"), 1)
        for evil in ("http%3A%2F%2F127.0.0.1%2Fx.ts", "%2F%2Fevil%2Fx.ts", "..%2F..%2F..%2Fx.ts", "x.ts%0d%0aA%3A b", "secret"):
            self.get(edge, "/hls/partj.ts", CMCD_Request=f'nor="{evil}"')
        asked = [a.target for a in self.origin.asks]
        self.assertFalse(any("x.ts" in target or "secret" in target for target in asked), asked)

    def test_limits(self):
        """A rate of little over one segment a second: the rest is dropped, and viewers do not notice."""
        edge = self.edge(segments=8, rate="20K", concurrent=1).start()
        self.get(edge, "/hls/index.m3u8")
        started = time.monotonic()
        for c in "abcdefghij":
            self.get(edge, f"/hls/part{c}.ts")
        took = time.monotonic() - started
        self.assertLess(took, 10)  # at that rate they would take 15 s
        self.assertLessEqual(edge.metric("weir_edge_prefetched_bytes_total"), 30_000 * 3 + 20_480 * took)

    def test_bad_configuration_is_told(self):
        for bad, key in (({"segments": 17}, "segments"), ({"rate": "fast"}, "rate"), ({"rate": "0"}, "rate")):
            code, text = self.edge(**bad).check()
            self.assertNotEqual(code, 0)
            self.assertIn("prefetch: " + key, text)


class Warm(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.files = {f"{i}.ts": bytes([i]) * 20_000 for i in range(40)}
        self.origin = BlobOrigin(self.files)
        self.addCleanup(self.origin.close)
        (self.folder / "admin").write_text("administer-0123456789\n")
        self.edge = Edge(self.folder, yaml(upstreams=[{"name": "o", "kind": "http", "servers": [self.origin.url]}],
                                           routes=[{"upstream": "o", "host": "video.example.org"}],
                                           admin_credential_file=str(self.folder / "admin")))
        self.addCleanup(self.edge.close)
        self.edge.start()

    def warm(self, text, *args):
        return subprocess.run([program("weirctl"), "edge", "warm", "-", "--url", self.edge.admin_url,
                               "--credential-file", str(self.folder / "admin"), *args],
                              input=text, capture_output=True, text=True, timeout=60)

    def test_from_a_list(self):
        urls = [f"http://video.example.org/a/{n}" for n in self.files]
        result = self.warm("# all\n\n" + "\n".join(urls) + "\n")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout, "40 fetched (800000 bytes), 0 were here, 0 failed, 0 to do\n")
        for n, body in self.files.items():
            answer = self.edge.get(f"/a/{n}", **HOST)
            self.assertEqual(answer.body, body)
            self.assertIn("hit", answer.headers["Cache-Status"])
            self.assertEqual(self.origin.count(f"/a/{n}"), 1)
        result = self.warm("\n".join(urls[:5] + ["http://video.example.org/a/none.ts", "http://other.example/a/1.ts", "asset"]))
        self.assertEqual(result.returncode, 1)
        self.assertIn("0 fetched (0 bytes), 5 were here, 3 failed", result.stdout)
        for bad in ("none.ts", "other.example", "asset"):
            self.assertIn(bad, result.stderr)

    def test_what_the_api_refuses(self):
        api = {"port": self.edge.admin}
        self.assertEqual(self.edge.get("/warm", **api).status, 401)
        bearer = {"Authorization": "Bearer administer-0123456789"}
        for bad in ("", "[]", "{}", '{"urls": 1}', '{"urls": [1]}', '{"urls": [""]}', '{"urls": [], "concurrent": 0}',
                    '{"urls": [], "concurrent": 65}'):
            self.assertEqual(self.edge.request("POST", "/warm", bad, bearer, **api).status, 400, bad)
        self.assertEqual(self.edge.get("/warm", **api, **bearer).json()["failed"], 0)
        self.origin.mode = "hang"
        body = json.dumps({"urls": [f"/a/{i}" for i in range(100)] + [f"http://video.example.org/b/{i}" for i in range(300)],
                           "concurrent": 2})
        self.assertEqual(self.edge.request("POST", "/warm", body, bearer, **api).status, 202)
        now = lambda: self.edge.get("/warm", **api, **bearer).json()
        until(lambda: [now()[k] for k in ("failed", "running", "queued")] == [100, 2, 298], tell=lambda: str(now()))
        self.assertEqual(self.edge.request("DELETE", "/warm", None, bearer, **api).json()["queued"], 0)
        self.origin.mode = None


class PrefetchOfTitles(WeirCase):
    def test_the_next_blobs_of_a_track(self):
        weir = self.weir
        config = weir.folder / "config/edge.yaml"
        config.write_text(config.read_text() + "prefetch:\n  segments: 3\n")
        weir.start()
        weir.publish(sample(self.path / "film.mkv", 24, "320x180"), "film", "--ladder", "copy")
        playlists, _ = weir.signed_paths("film")
        video = next(p for p in playlists if "/v" in p.rsplit("/v/", 1)[1])
        names = [n for n in weir.links(video) if n.endswith(".m4s")]
        urls = [urllib.parse.urljoin(video, n) for n in names]
        self.assertGreaterEqual(len(urls), 5)

        wait = weir.daemons["edge"].wait_metric
        self.assertEqual(weir.get(urls[0]).status, 200)
        wait(3, "weir_edge_prefetched_total")
        self.assertIn("hit", weir.get(urls[1]).headers["Cache-Status"])
        wait(4, "weir_edge_prefetched_total")
        wait(1, "weir_edge_prefetched_used_total")
        # All of the title, by the name of the asset, and by a signed URL.
        for line in ("film", weir.sign("film")):
            result = weir.run("edge", "warm", "-", input=line + "\n")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(result.stdout.startswith("0 fetched (0 bytes), "), result.stdout)
        weir.kill("origin")
        _, blobs = weir.signed_paths("film")
        for blob in blobs:
            self.assertEqual(weir.get(blob).status, 200)


if __name__ == "__main__":
    unittest.main()
