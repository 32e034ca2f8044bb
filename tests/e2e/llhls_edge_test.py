# SPDX-License-Identifier: Apache-2.0
"""Low-latency HLS through an http route: blocking reloads and parts that are not there yet are asked for
once, held without polling, and answered when the upstream answers."""
import threading
import time
import unittest

from cache_lab import Client, Edge, Origin, Page
from daemon import until

VIEWERS = 50
PLAYLIST = "/live/index.m3u8"


class Blocking(unittest.TestCase):
    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.edge = Edge(self.origin)
        self.addCleanup(self.edge.close)
        self.gates, self.clients = {}, []

    def tearDown(self):
        for gate in self.gates.values():
            gate.set()
        for client in self.clients:
            client.close()

    def hold(self, target, body, **more):
        """A page that is answered when its gate opens."""
        gate = self.gates[target] = threading.Event()
        self.origin.pages[target] = Page(body, head_gate=gate, **{"cache": "max-age=6", **more})
        return gate

    def ask(self, targets):
        made = [Client(self.edge.port).send(t) for t in targets]
        self.clients += made
        return made

    def test_one_question_for_each_playlist_msn_and_part(self):
        places = [(PLAYLIST, msn, part) for msn in (7, 8) for part in (0, 1)] + [("/live/other.m3u8", 7, 0)]
        targets = [f"{path}?_HLS_msn={msn}&_HLS_part={part}" for path, msn, part in places]
        for target in targets:
            self.hold(target, f"#EXTM3U\n# {target}\n".encode())
        viewers = self.ask(targets[n % len(targets)] for n in range(VIEWERS))
        until(lambda: self.origin.count() == len(targets))
        viewers += self.ask(targets[n % len(targets)] for n in range(VIEWERS))  # later ones join them
        time.sleep(0.3)  # whoever polled would be seen by now
        self.assertEqual({t: self.origin.count(t) for t in targets}, dict.fromkeys(targets, 1))
        for n, target in enumerate(targets):
            self.gates[target].set()
            for client in viewers[n::len(targets)][:VIEWERS // len(targets)]:
                answer = client.answer()
                self.assertEqual((answer.status, answer.body.decode().splitlines()[1]), (200, f"# {target}"))
        self.assertEqual(self.origin.count(), len(targets))
        self.assertTrue(all(a.get("cookie") is None for a in self.origin.asks))

    def test_answered_as_soon_as_the_upstream_answers(self):
        """No polling in between: all have the answer within far less than a part's length."""
        target = f"{PLAYLIST}?_HLS_msn=12&_HLS_part=3"
        gate = self.hold(target, b"#EXTM3U\n")
        viewers = self.ask([target] * VIEWERS)
        until(lambda: self.origin.count(target) == 1)
        gate.set()
        hows = sorted(c.answer().how for c in viewers)
        self.assertEqual(len(hows), VIEWERS)
        self.assertEqual(self.origin.count(target), 1)
        self.assertEqual(self.edge.get(target).how, "hit")
        self.assertEqual(self.origin.count(target), 1)

    def test_what_the_key_is_made_of(self):
        """A delta update (_HLS_skip) is another answer than the whole playlist."""
        full, delta = f"{PLAYLIST}?_HLS_msn=5&_HLS_part=0", f"{PLAYLIST}?_HLS_msn=5&_HLS_part=0&_HLS_skip=YES"
        self.origin.pages[full] = Page(b"full", cache="max-age=6")
        self.origin.pages[delta] = Page(b"delta", cache="max-age=6")
        self.assertEqual((self.edge.get(full).body, self.edge.get(delta).body), (b"full", b"delta"))
        self.assertEqual((self.edge.get(full).how, self.edge.get(delta).how), ("hit", "hit"))

    def test_a_preloaded_part(self):
        """EXT-X-PRELOAD-HINT: the part is asked for before it exists; its bytes come as they are made."""
        target = "/live/7.3.m4s"
        body = bytes(range(256)) * 400
        gate = self.gates[target] = threading.Event()
        head = self.gates["head"] = threading.Event()
        self.origin.pages[target] = Page(body, head_gate=head, gate=gate, before=30_000, chunked=True, cache="max-age=3600")
        viewers = self.ask([target] * VIEWERS)
        until(lambda: self.origin.count(target) == 1)
        head.set()
        first = viewers[0]
        self.assertEqual(first.head()[0], 200)
        seen = b""
        while len(seen) < 30_000:  # what is made of it is read while the rest is not there
            size = int(first.stream.readline(), 16)
            seen += first.stream.read(size)
            first.stream.readline()
        self.assertEqual(seen, body[:len(seen)])
        gate.set()
        for client in viewers[1:]:
            answer = client.answer()
            self.assertEqual((answer.status, answer.body == body), (200, True))
        self.assertEqual(self.origin.count(target), 1)

    def test_who_leaves_does_not_end_it_for_the_others(self):
        target = f"{PLAYLIST}?_HLS_msn=9"
        gate = self.hold(target, b"#EXTM3U\n")
        viewers = self.ask([target] * 10)
        until(lambda: self.origin.count(target) == 1)
        for client in viewers[:5]:
            client.close()
        gate.set()
        self.assertEqual({c.answer().status for c in viewers[5:]}, {200})
        self.assertEqual(self.origin.count(target), 1)


class Patience(unittest.TestCase):
    """An upstream that is silent for longer than stall_ms is away, unless it was asked to hold the answer."""

    def test_a_blocking_reload_may_take_longer_than_a_stall(self):
        origin = Origin()
        edge = Edge(origin, upstream="  stall_ms: 400\n  retries: 0\n")
        gate = threading.Event()
        held, plain = f"{PLAYLIST}?_HLS_msn=3&_HLS_part=1", "/live/plain.m3u8"
        origin.pages[held] = Page(b"#EXTM3U\n", head_gate=gate, cache="max-age=6")
        origin.pages[plain] = Page(b"#EXTM3U\n", head_gate=gate, cache="max-age=6")
        try:
            client = Client(edge.port).send(held)
            self.assertEqual(edge.get(plain).status, 504)  # far longer than the held one has waited by then
            time.sleep(0.5)
            gate.set()
            self.assertEqual(client.answer().status, 200)
            self.assertEqual(origin.count(held), 1)
            client.close()
        finally:
            gate.set()
            edge.close()
            origin.close()


if __name__ == "__main__":
    unittest.main()
