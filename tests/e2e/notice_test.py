# SPDX-License-Identifier: Apache-2.0
"""An origin tells its edges which refs move: they see it at once and ask for nothing in between."""
import http.client
import json
import pathlib
import queue
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from lone_edge import LoneEdge
from weir import ROOT, Weir

SOON_S = 10  # a bound, far below any ref_ttl_ms here; a notice takes milliseconds
NEVER_MS = 600_000


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


class Proxy:
    """Passes all on but, while shut, what asks for the stream of notices; drop() breaks these off."""

    def __init__(self, target):
        self.target, self.shut, self.watchers = target, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            first = client.recv(65536)
            if b"/refs/watch" in first:
                if self.shut:
                    client.close()
                    return
                self.watchers.append(client)
            upstream = socket.create_connection(self.target)
            upstream.sendall(first)
            threading.Thread(target=self.pump, args=(client, upstream), daemon=True).start()
            self.pump(upstream, client)
        except OSError:
            client.close()

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def drop(self):
        self.shut = True
        for s in self.watchers:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.watchers = []

    def close(self):
        self.listener.close()


class Notices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        cls.path = pathlib.Path(cls.folder.name)
        cls.weir = Weir(cls.folder.name).start("origin", "ingest", "control")
        film = cls.path / "film.mkv"
        subprocess.run([ROOT / "tools/sample", film, "4", "320x180"], check=True)
        cls.weir.publish(film, "film", "--ladder", "copy")
        publish = {"Authorization": "Bearer " + cls.weir.secret("publish")}
        cls.publish = publish
        origin = cls.weir.url("origin")
        cls.film = cls.weir.request("GET", f"{origin}/ref/film", headers=publish).json()["presentation"]
        # A second edition, of the same blobs: only its title differs.
        cls.weir.publish(film, "film", "--ladder", "copy", "--title", "Another title")
        cls.other = cls.weir.request("GET", f"{origin}/ref/film", headers=publish).json()["presentation"]
        assert cls.film != cls.other
        cls.proxy = Proxy(("127.0.0.1", urllib.parse.urlsplit(origin).port))

    @classmethod
    def tearDownClass(cls):
        cls.proxy.close()
        cls.weir.close()
        cls.folder.cleanup()

    def edge(self, name, server=None, ttl_ms=NEVER_MS):
        return LoneEdge(self.path, f"upstreams:\n- name: origin\n  servers: ['{server or self.weir.url('origin')}']\n"
                        f"  credential_file: {self.weir.folder}/secrets/read\n  ref_ttl_ms: {ttl_ms}\n"
                        f"routes:\n- upstream: origin\n", name)

    def move(self, presentation, asset="film"):
        answer = self.weir.request("PUT", f"{self.weir.url('origin')}/ref/{asset}", {"presentation": presentation}, self.publish)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def remove(self, asset):
        self.assertEqual(self.weir.request("DELETE", f"{self.weir.url('origin')}/ref/{asset}", headers=self.publish).status, 204)

    def title(self, edge, asset="film"):
        answer = edge.get(f"/v/{asset}/presentation.json")
        return answer.json()["title"] if answer.status == 200 else answer.status

    def wait(self, what, until_s=SOON_S):
        until = time.monotonic() + until_s
        while not what():
            self.assertLess(time.monotonic(), until, "not within a moment")
            time.sleep(0.01)

    def reads(self):
        return self.weir.metric("origin", "weir_origin_ref_reads_total")

    def watch(self, last_id=None):
        watcher = Watcher(self.weir.url("origin"), self.weir.secret("publish"), last_id)
        self.assertEqual(watcher.answer.status, 200)
        return watcher

    # --- the edge ----------------------------------------------------------------------------------

    def test_a_move_is_seen_at_once_and_nothing_is_asked_between(self):
        """With a ref_ttl_ms of ten minutes: only a notice can have told."""
        self.move(self.film)
        edge = self.edge("told")
        try:
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 1)
            titles = {self.film: self.title(edge), self.other: "Another title"}
            self.assertNotEqual(titles[self.film], titles[self.other])
            for _ in range(40):  # both workers know it now
                self.title(edge)
            before = self.reads()
            for n in range(6):
                presentation = self.other if n % 2 == 0 else self.film
                self.move(presentation)
                self.wait(lambda: all(self.title(edge) == titles[presentation] for _ in range(8)))
                for _ in range(50):
                    self.assertEqual(self.title(edge), titles[presentation])
            self.assertLessEqual(self.reads() - before, 2, "the edge asked for refs, though it was told")
            self.assertGreaterEqual(edge.metric("weir_edge_notices_total"), 6)
            answer = edge.get("/v/film/master.m3u8")
            self.assertIn("max-age=2,", answer.headers["Cache-Control"])
            self.assertEqual(answer.headers["Age"], "0")
        finally:
            self.assertEqual(edge.stop(), 0)

    def test_an_asset_that_comes_and_goes(self):
        """Also that there is none is remembered until a notice says otherwise."""
        edge = self.edge("gone")
        text = self.weir.request("GET", f"{self.weir.url('origin')}/blob/{self.film}", headers=self.publish).body
        try:
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 1)
            for _ in range(40):
                self.assertEqual(self.title(edge, "nobody"), 404)
            before = self.reads()
            for _ in range(40):
                self.assertEqual(self.title(edge, "nobody"), 404)
            self.assertLessEqual(self.reads() - before, 2)
            self.move(self.film)
            self.wait(lambda: self.title(edge) != 404)
            self.remove("film")
            self.wait(lambda: {self.title(edge) for _ in range(8)} == {404})
            self.move(self.film)
            self.wait(lambda: 404 not in {self.title(edge) for _ in range(8)})
            self.assertIn(b'"asset":"film"', text)
        finally:
            self.assertEqual(edge.stop(), 0)

    def test_a_broken_stream_falls_back_to_the_short_time(self):
        self.move(self.film)
        self.proxy.shut = False
        edge = self.edge("broken", f"http://127.0.0.1:{self.proxy.port}", ttl_ms=300)
        try:
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 1)
            first = self.title(edge)
            self.proxy.drop()
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 0)
            self.move(self.other)
            self.wait(lambda: all(self.title(edge) == "Another title" for _ in range(8)))
            before = self.reads()
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                self.title(edge)
                time.sleep(0.05)
            self.assertGreaterEqual(self.reads() - before, 2, "without notices it has to ask")
            self.proxy.shut = False
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 1)
            self.move(self.film)
            self.wait(lambda: all(self.title(edge) == first for _ in range(8)))
            self.assertEqual(edge.metric("weir_edge_notice_breaks_total"), 1)
        finally:
            self.proxy.shut = False
            self.assertEqual(edge.stop(), 0)

    def test_what_was_missed_is_made_up_for(self):
        """Moved while the stream was down: seen when it is back, though the edge never asks by itself."""
        self.move(self.film)
        self.proxy.shut = False
        edge = self.edge("missed", f"http://127.0.0.1:{self.proxy.port}")
        try:
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 1)
            for _ in range(40):  # both workers know it now
                self.title(edge)
            self.proxy.drop()
            self.wait(lambda: edge.metric("weir_edge_notices_live") == 0)
            self.move(self.other)
            self.assertNotIn("Another title", {self.title(edge) for _ in range(8)}, "who told it?")
            self.proxy.shut = False
            self.wait(lambda: all(self.title(edge) == "Another title" for _ in range(8)), 30)
        finally:
            self.proxy.shut = False
            self.assertEqual(edge.stop(), 0)

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
            self.wait(lambda: watcher.beats >= 1, 30)
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
            self.assertEqual(weir.kill("origin", 15), 0)
            self.assertLess(time.monotonic() - begun, 8, "it waited for the stream to end")
            self.assertEqual(watcher.next()[0], "end")
        finally:
            weir.close()


if __name__ == "__main__":
    unittest.main()
