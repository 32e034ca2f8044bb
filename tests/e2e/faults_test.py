# SPDX-License-Identifier: Apache-2.0
"""An origin that breaks off, lies or hangs: the edge never delivers a whole blob that is not the blob,
and recovers as soon as the origin does."""
import http.client
import random
import socket
import threading
import unittest
import urllib.parse

from faults import FaultProxy
from weir import WeirCase, sample


class Faults(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        origin = urllib.parse.urlsplit(cls.weir.url("origin"))
        cls.proxy = FaultProxy(("127.0.0.1", origin.port))
        cls.addClassCleanup(cls.proxy.close)
        config = cls.weir.folder / "config/edge.yaml"
        config.write_text(config.read_text().replace(f"http://127.0.0.1:{origin.port}",
                                                     f"http://127.0.0.1:{cls.proxy.port}"))
        cls.weir.start()
        cls.weir.publish(sample(cls.path / "film.mkv", 24, "640x360"), "film", "--ladder", "copy")
        _, blobs = cls.weir.signed_paths("film")
        cls.media = [b for b in blobs if b.endswith(".m4s")]
        cls.truth = {}
        publish = {"Authorization": "Bearer " + cls.weir.secret("publish")}
        for url in cls.media:
            name = url.rsplit("/b/", 1)[1]
            cls.truth[url] = cls.weir.request("GET", f"{cls.weir.url('origin')}/b/{name}", headers=publish).body
        cls.media = sorted((u for u in cls.media if len(cls.truth[u]) > 100_000), key=lambda u: -len(cls.truth[u]))
        assert len(cls.media) >= 4

    def tearDown(self):
        self.proxy.mode = None

    def attempt(self, url):
        """("whole", bytes), ("error", status) or ("broken", None) as a client sees it."""
        try:
            answer = self.weir.get(url)
        except (http.client.IncompleteRead, http.client.HTTPException, ConnectionError, socket.timeout, OSError):
            return "broken", None
        if answer.status != 200:
            return "error", answer.status
        return "whole", answer.body

    def check_broken_then_mended(self, url, mode):
        self.proxy.mode = mode
        what, detail = self.attempt(url)
        self.assertIn(what, ("error", "broken"), f"{mode}: delivered as {what}")
        if what == "error":
            self.assertEqual(detail, 502)
        self.proxy.mode = None
        for _ in range(40):
            what, detail = self.attempt(url)
            if what == "whole":
                break
            threading.Event().wait(0.1)  # the circuit may be open for a second
        self.assertEqual((what, detail == self.truth[url]), ("whole", True), f"after {mode}")

    def test_cut_in_the_middle(self):
        self.check_broken_then_mended(self.media[0], ("cut", 70_000))

    def test_cut_before_the_last_byte(self):
        self.check_broken_then_mended(self.media[1], ("cut", len(self.truth[self.media[1]]) - 1))

    def test_a_changed_byte(self):
        seed = 7
        where = random.Random(seed).randrange(100_000)
        self.check_broken_then_mended(self.media[2], ("flip", where))
        self.check_broken_then_mended(self.media[3], ("flip", len(self.truth[self.media[3]]) - 1))

    def test_slow_client_does_not_hold_the_others(self):
        """One client reads nothing of a large blob; others get it whole meanwhile."""
        url = self.media[0]
        parts = urllib.parse.urlsplit(url)
        raw = socket.create_connection((parts.hostname, parts.port))
        slow = self.weir.tls.wrap_socket(raw, server_hostname=parts.hostname)
        slow.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        try:
            for _ in range(3):
                self.assertEqual(self.attempt(url), ("whole", self.truth[url]))
        finally:
            slow.close()


if __name__ == "__main__":
    unittest.main()
