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

from edges import Edge, Origin
from weir import ROOT, Weir, program

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
        self.origin = Origin(self.segments)
        self.addCleanup(self.origin.stop)

    def edge(self, **prefetch):
        e = Edge(self.folder / "edge", [{"name": "o", "kind": "http", "servers": [self.origin.url]}], [{"upstream": "o"}],
                 prefetch=prefetch)
        self.addCleanup(e.stop)
        return e.start()

    def get(self, edge, path, **headers):
        answer = edge.get(path, **HOST, **headers)
        self.assertEqual((answer.status, answer.body), (200, self.segments[path.split("?")[0].rsplit("/", 1)[1]]))
        return answer

    def test_by_playlist(self):
        edge = self.edge(segments=2)
        self.get(edge, "/hls/index.m3u8")
        self.get(edge, "/hls/parta.ts")
        edge.wait_metric(2, "weir_edge_prefetched_total")
        self.assertEqual([self.origin.count(f"part{c}.ts") for c in "abcd"], [1, 1, 1, 0])
        answer = self.get(edge, "/hls/partb.ts")
        self.assertIn("hit", answer.headers["Cache-Status"])
        self.assertEqual(edge.metric("weir_edge_prefetched_used_total"), 1)
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
        edge = self.edge(segments=1, concurrent=1)
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
        edge = self.edge(segments=1)
        self.get(edge, "/hls/index.m3u8")
        self.get(edge, "/hls/parta.ts", CMCD_Request='bl=2000,nor="..%2Fhls%2Fparth.ts"')
        edge.wait_metric(1, "weir_edge_prefetched_total")
        self.assertEqual((self.origin.count("parth.ts"), self.origin.count("partb.ts")), (1, 0))
        self.get(edge, "/hls/partd.ts?CMCD=nor%3D%22parti.ts%22")
        edge.wait_metric(2, "weir_edge_prefetched_total")
        self.assertEqual(self.origin.asked.count("/hls/parti.ts"), 1)
        for evil in ("http%3A%2F%2F127.0.0.1%2Fx.ts", "%2F%2Fevil%2Fx.ts", "..%2F..%2F..%2Fx.ts", "x.ts%0d%0aA%3A b", "secret"):
            self.get(edge, "/hls/partj.ts", CMCD_Request=f'nor="{evil}"')
        self.assertFalse(any("x.ts" in p or "secret" in p for p in self.origin.asked), self.origin.asked)

    def test_limits(self):
        """A rate of little over one segment a second: the rest is dropped, and viewers do not notice."""
        edge = self.edge(segments=8, rate="20K", concurrent=1)
        self.get(edge, "/hls/index.m3u8")
        started = time.monotonic()
        for c in "abcdefghij":
            self.get(edge, f"/hls/part{c}.ts")
        self.assertLess(time.monotonic() - started, 3)
        self.assertLessEqual(edge.metric("weir_edge_prefetched_bytes_total"), 30_000 * 3)

    def test_bad_configuration_is_told(self):
        for bad, key in (({"segments": 17}, "segments"), ({"rate": "fast"}, "rate"), ({"rate": "0"}, "rate")):
            e = Edge(self.folder / "bad", [{"name": "o", "kind": "http", "servers": [self.origin.url]}], [{"upstream": "o"}],
                     prefetch=bad)
            code, text = e.check()
            self.assertNotEqual(code, 0)
            self.assertIn("prefetch: " + key, text)


class PrefetchOfTitles(unittest.TestCase):
    def test_the_next_blobs_of_a_track(self):
        with tempfile.TemporaryDirectory(prefix="weir-e2e-") as folder:
            film = pathlib.Path(folder) / "film.mkv"
            subprocess.run([ROOT / "tools/sample", film, "24", "320x180"], check=True)
            weir = Weir(folder)
            self.addCleanup(weir.close)
            config = weir.folder / "config/edge.yaml"
            config.write_text(config.read_text() + "prefetch:\n  segments: 3\n")
            weir.start()
            weir.publish(film, "film", "--ladder", "copy")
            playlists, _ = weir.signed_paths("film")
            video = next(p for p in playlists if "/v" in p.rsplit("/v/", 1)[1])
            names = [n for n in weir.links(video) if n.endswith(".m4s")]
            urls = [urllib.parse.urljoin(video, n) for n in names]
            self.assertGreaterEqual(len(urls), 5)

            def fetched():
                return weir.metric("edge", "weir_edge_prefetched_total")

            def wait(count):
                until = time.monotonic() + 20
                while fetched() != count and time.monotonic() < until:
                    time.sleep(0.02)
                self.assertEqual(fetched(), count)
            self.assertEqual(weir.get(urls[0]).status, 200)
            wait(3)
            self.assertIn("hit", weir.get(urls[1]).headers["Cache-Status"])
            wait(4)
            self.assertEqual(weir.metric("edge", "weir_edge_prefetched_used_total"), 1)


if __name__ == "__main__":
    unittest.main()
