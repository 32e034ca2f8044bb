# SPDX-License-Identifier: Apache-2.0
"""An origin tells its edges which refs move: they see it at once and ask for nothing in between."""
import http.client
import json
import queue
import threading
import time
import unittest
import urllib.parse

from daemon import Edge, until
from faults import NoticeProxy
from weir import Weir, WeirCase, sample

NEVER_MS = 600_000  # far more than any wait here; a notice takes milliseconds


class Watcher(threading.Thread):
    """Reads GET /refs/watch; events come out of .events as (name, id, data)."""

    def __init__(self, url, credential, last_id=None):
        super().__init__(daemon=True)
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        headers = {"Authorization": f"Bearer {credential}", **({"Last-Event-ID": last_id} if last_id else {})}
        self.connection.request("GET", "/refs/watch", headers=headers)
        self.answer = self.connection.getresponse()
        self.events, self.beats = queue.Queue(), 0
        self.start()

    def run(self):
        name = number = None
        try:
            for line in self.answer:
                line = line.decode().rstrip("\n")
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    number = value
                elif field == "data":
                    self.events.put((name, number, json.loads(value)))
                elif line == ":":
                    self.beats += 1
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass
        self.events.put(("end", None, None))

    def next(self):
        return self.events.get(timeout=30)

    def close(self):
        self.answer.close()
        self.connection.close()


class Notices(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start("origin", "ingest", "control")
        film = sample(cls.path / "film.mkv", 4, "320x180")
        cls.weir.publish(film, "film", "--ladder", "copy")
        publish = {"Authorization": "Bearer " + cls.weir.secret("publish")}
        cls.publish = publish
        origin = cls.weir.url("origin")
        cls.film = cls.weir.request("GET", f"{origin}/ref/film", headers=publish).json()["presentation"]
        # A second edition, of the same blobs: only its title differs.
        cls.weir.publish(film, "film", "--ladder", "copy", "--title", "Another title")
        cls.other = cls.weir.request("GET", f"{origin}/ref/film", headers=publish).json()["presentation"]
        assert cls.film != cls.other
        cls.proxy = NoticeProxy(("127.0.0.1", urllib.parse.urlsplit(origin).port))
        cls.addClassCleanup(cls.proxy.close)

    def setUp(self):
        self.proxy.shut = False
        self.move(self.film)

    def edge(self, name, server=None, ttl_ms=NEVER_MS):
        """One that gets notices."""
        edge = Edge(self.path, f"upstreams:\n- name: origin\n  servers: ['{server or self.weir.url('origin')}']\n"
                    f"  credential_file: {self.weir.folder}/secrets/read\n  ref_ttl_ms: {ttl_ms}\n"
                    f"routes:\n- upstream: origin\n", name)
        self.addCleanup(edge.close)
        edge.start().wait_metric(1, "weir_edge_notices_live")
        return edge

    def move(self, presentation, asset="film"):
        answer = self.weir.request("PUT", f"{self.weir.url('origin')}/ref/{asset}", {"presentation": presentation}, self.publish)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def remove(self, asset):
        self.assertEqual(self.weir.request("DELETE", f"{self.weir.url('origin')}/ref/{asset}", headers=self.publish).status, 204)

    def title(self, edge, asset="film"):
        answer = edge.get(f"/v/{asset}/presentation.json")
        return answer.json()["title"] if answer.status == 200 else answer.status

    def reads(self):
        return self.weir.metric("origin", "weir_origin_ref_reads_total")

    def watch(self, last_id=None):
        watcher = Watcher(self.weir.url("origin"), self.weir.secret("publish"), last_id)
        self.assertEqual(watcher.answer.status, 200)
        return watcher

    # --- the edge ----------------------------------------------------------------------------------

    def test_a_move_is_seen_at_once_and_nothing_is_asked_between(self):
        """With a ref_ttl_ms of ten minutes: only a notice can have told."""
        edge = self.edge("told")
        titles = {self.film: self.title(edge), self.other: "Another title"}
        self.assertNotEqual(titles[self.film], titles[self.other])
        for _ in range(40):  # both workers know it now
            self.title(edge)
        before = self.reads()
        for n in range(6):
            presentation = self.other if n % 2 == 0 else self.film
            self.move(presentation)
            until(lambda: all(self.title(edge) == titles[presentation] for _ in range(8)))
            for _ in range(50):
                self.assertEqual(self.title(edge), titles[presentation])
        self.assertLessEqual(self.reads() - before, 2, "the edge asked for refs, though it was told")
        until(lambda: edge.metric("weir_edge_notices_total") >= 6)
        answer = edge.get("/v/film/master.m3u8")
        self.assertIn("max-age=2,", answer.headers["Cache-Control"])
        self.assertEqual(answer.headers["Age"], "0")

    def test_an_asset_that_comes_and_goes(self):
        """Also that there is none is remembered until a notice says otherwise."""
        edge = self.edge("gone")
        text = self.weir.request("GET", f"{self.weir.url('origin')}/blob/{self.film}", headers=self.publish).body
        for _ in range(40):
            self.assertEqual(self.title(edge, "nobody"), 404)
        before = self.reads()
        for _ in range(40):
            self.assertEqual(self.title(edge, "nobody"), 404)
        self.assertLessEqual(self.reads() - before, 2)
        self.move(self.film)
        until(lambda: self.title(edge) != 404)
        self.remove("film")
        until(lambda: {self.title(edge) for _ in range(8)} == {404})
        self.move(self.film)
        until(lambda: 404 not in {self.title(edge) for _ in range(8)})
        self.assertIn(b'"asset":"film"', text)

    def test_a_broken_stream_falls_back_to_the_short_time(self):
        edge = self.edge("broken", f"http://127.0.0.1:{self.proxy.port}", ttl_ms=300)
        first = self.title(edge)
        self.proxy.drop()
        edge.wait_metric(0, "weir_edge_notices_live")
        self.move(self.other)
        until(lambda: all(self.title(edge) == "Another title" for _ in range(8)))
        before = self.reads()
        until(lambda: self.title(edge) and self.reads() - before >= 2, tell=lambda: "without notices it has to ask")
        self.proxy.shut = False
        edge.wait_metric(1, "weir_edge_notices_live")
        self.move(self.film)
        until(lambda: all(self.title(edge) == first for _ in range(8)))
        self.assertEqual(edge.metric("weir_edge_notice_breaks_total"), 1)

    def test_what_was_missed_is_made_up_for(self):
        """Moved while the stream was down: seen when it is back, though the edge never asks by itself."""
        edge = self.edge("missed", f"http://127.0.0.1:{self.proxy.port}")
        for _ in range(40):  # both workers know it now
            self.title(edge)
        self.proxy.drop()
        edge.wait_metric(0, "weir_edge_notices_live")
        self.move(self.other)
        self.assertNotIn("Another title", {self.title(edge) for _ in range(8)}, "who told it?")
        self.proxy.shut = False
        until(lambda: all(self.title(edge) == "Another title" for _ in range(8)))

    # --- the origin --------------------------------------------------------------------------------

    def test_stream_of_moves(self):
        watcher = self.watch()
        try:
            self.assertEqual(watcher.answer.headers["Content-Type"].split(";")[0], "text/event-stream")
            self.assertEqual(watcher.answer.headers["Cache-Control"], "no-store")
            name, _, data = watcher.next()
            self.assertEqual((name, data), ("live", {"resumed": False}))
            last = None
            for presentation in (self.other, self.film):
                moved = self.move(presentation)
                name, last, data = watcher.next()
                self.assertEqual((name, data), ("ref", {k: moved[k] for k in ("asset", "presentation", "generation")}))
            self.remove("film")
            name, last, data = watcher.next()
            self.assertEqual((name, data), ("ref", {"asset": "film", "presentation": None, "generation": None}))
            until(lambda: watcher.beats >= 1)
        finally:
            watcher.close()
        self.move(self.other)
        self.move(self.film)
        again = self.watch(last)
        try:
            seen = [again.next() for _ in range(3)]
            self.assertEqual([e[0] for e in seen], ["ref", "ref", "live"])
            self.assertEqual(seen[2][2], {"resumed": True})
            self.assertEqual({e[2]["presentation"] for e in seen[:2]}, {self.film}, "what is, not what was")
        finally:
            again.close()
        for odd in ("00000000-1", "nonsense", last.split("-")[0] + "-999999999", last.split("-")[0] + "-x"):
            watcher = self.watch(odd)
            self.assertEqual(watcher.next()[2], {"resumed": False}, odd)
            watcher.close()

    def test_who_may_watch(self):
        origin = self.weir.url("origin")
        for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}):
            self.assertEqual(self.weir.request("GET", f"{origin}/refs/watch", headers=headers).status, 401)

    def test_the_origin_stops_at_once(self):
        """A stream that never ends does not hold it up."""
        weir = Weir()
        try:
            weir.start("origin")
            watcher = Watcher(weir.url("origin"), weir.secret("publish"))
            self.assertEqual(watcher.next()[0], "live")
            begun = time.monotonic()
            weir.stop("origin")
            self.assertLess(time.monotonic() - begun, 8, "it waited for the stream to end")
            self.assertEqual(watcher.next()[0], "end")
        finally:
            weir.close()


if __name__ == "__main__":
    unittest.main()
