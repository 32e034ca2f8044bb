# SPDX-License-Identifier: Apache-2.0
"""Two weir-controls over one database and one Redis, or a Redis Cluster: what one of them counts, ends or opens holds at
the other; and what each does while Redis is away."""
import http.client
import re
import time
import unittest
import urllib.parse

import lease_test
from daemon import free_port, until
from people import Person
from redis_cluster import RedisCluster
from weir import Weir

TOLD_S = 2  # what one control ends the other refuses within that
KNOWN_S = 3  # ... and within that when nobody can tell it: docs/accounts.md
RATE_USER, RATE_ADDRESS = 100, 1000
SLACK = 20  # requests that come before the others' counts do, and that the fading minute lets in
BOTH = ("control", "control2")


class TwoControls(Weir):
    def __init__(self, redis, rates=(1000000, 1000000)):
        super().__init__()
        self.redis = redis(self.folder)
        config = self.folder / "config"
        first = re.sub(r"(?m)^api:\n(  .*\n)+", "", (config / "control.yaml").read_text())
        first += f"redis: {self.redis.url}\napi:\n  rate_user: {rates[0]}\n  rate_address: {rates[1]}\n"
        (config / "control.yaml").write_text(first)
        second = first
        for name in ("control", "control_admin"):
            port = free_port()
            second = second.replace(f"port: {urllib.parse.urlsplit(self.url(name)).port}\n", f"port: {port}\n")
            self.settings[name.replace("control", "control2") + "_url"] = f"{'http' if 'admin' in name else 'https'}://localhost:{port}"
        (config / "control2.yaml").write_text(second)
        self.add("control2", "weir-control", self.url("control2_admin"))
        try:
            self.redis.start()
            self.start("control")
            self.start("control2")
            self.film()
        except BaseException:
            self.close()
            raise
        self.people = 0

    def film(self):
        film = {"title": "Film", "duration_ms": 1000, "height": 1080, "audio": [], "subtitles": []}
        answer = self.admin("PUT", "assets/film", film)
        assert answer.status in (200, 201, 204), answer.body

    def admin(self, method, path, body=None):
        return self.request(method, f"{self.url('control')}/api/v1/admin/{path}", body,
                            {"Authorization": "Bearer " + self.secret("admin")})

    def person(self):
        """Somebody new, logged in."""
        self.people += 1
        who = Viewer(self)
        who.id = who.sign_up(f"viewer{self.people}@example.org")["id"]
        return who

    def close(self):
        try:
            super().close()
        finally:
            self.redis.kill()


class Viewer(Person):
    def at(self, control):
        self.base = self.weir.url(control)
        return self

    def me(self, control):
        return self.at(control).api("GET", "users/me")

    def play(self, control, device):
        return self.at(control).api("POST", "playback", {"asset": "film", "device": device})

    def sessions(self, control):
        answer = self.at(control).api("GET", "playback")
        return {s["session_id"] for s in answer.json()["sessions"]} if answer.status == 200 else answer.status


def rest_of_minute(seconds):
    """What is counted in a minute is told in it: waits for the next one if this is nearly over."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left)


class Case(unittest.TestCase):
    rates = (1000000, 1000000)
    redis = lease_test.Redis

    @classmethod
    def setUpClass(cls):
        cls.weir = TwoControls(cls.redis, cls.rates)
        cls.addClassCleanup(cls.weir.close)

    def until(self, wanted, call, seconds=lease_test.WAIT_S):
        until(lambda: call() == wanted, seconds, lambda: f"{call()} instead of {wanted} for {seconds} s")

    def refused_within(self, who, control, seconds):
        """who was known there just now, and is so no more."""
        began = time.monotonic()
        self.until(401, lambda: who.me(control).status, seconds)
        return time.monotonic() - began

    def log_out(self):
        """Somebody logs out at the first; how long the second, which has just seen them, let them in."""
        who = self.weir.person()
        for control in BOTH:
            self.assertEqual(who.me(control).status, 200)
        cookies = dict(who.jar)
        self.assertEqual(who.at("control").api("POST", "auth/logout").status, 204)
        who.jar = cookies  # as a thief has them
        self.assertEqual(who.me("control").status, 401)
        return self.refused_within(who, "control2", lease_test.WAIT_S)

    def both_tell(self):
        """Until what ends at the one is heard of at the other: each comes back to Redis in its own time."""
        self.until(True, lambda: self.log_out() < KNOWN_S / 2)


class Ends(Case):
    def test_log_out(self):
        """A log-in that ends at one control is refused at the other within two seconds."""
        for _ in range(3):
            self.assertLess(self.log_out(), TOLD_S)

    def test_disabled(self):
        """So is a user whom the operator locks out."""
        who = self.weir.person()
        for control in BOTH:
            self.assertEqual(who.me(control).status, 200)
        answer = self.weir.admin("PATCH", f"users/{who.id}", {"disabled": True})
        self.assertEqual(answer.status, 200, answer.body)
        began = time.monotonic()
        until(lambda: who.me("control2").status in (401, 403), TOLD_S)
        self.assertLess(time.monotonic() - began, TOLD_S)

    def test_sessions(self):
        """The limit counts what was opened at either; what one ends the other knows as ended."""
        who = self.weir.person()
        first, second = who.play("control", "a"), who.play("control2", "b")
        self.assertEqual((first.status, second.status), (200, 200))
        for control in BOTH:
            self.assertEqual(who.play(control, "c").status, 429)
        session = first.json()["session_id"]
        self.assertEqual(who.at("control2").api("DELETE", f"playback/{session}").status, 204)
        answer = who.at("control").api("POST", f"playback/{session}/heartbeat")
        self.assertEqual((answer.status, answer.code), (410, "SESSION_TERMINATED"))
        self.assertEqual(who.play("control", "c").status, 200)


class Rates(Case):
    """The limits of the issue: 100 a minute for a user, 1,000 for an address, over both."""
    rates = (RATE_USER, RATE_ADDRESS)

    def left(self, who, control):
        """(what is let in, how many more there could be)"""
        answer = who.me(control)
        if answer.status == 429:
            self.assertEqual(answer.code, "RATE_LIMITED")
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        else:
            self.assertEqual(answer.status, 200, answer.body)
        return answer.status == 200, int(answer.headers["RateLimit-Remaining"])

    def spend(self, who, control, count):
        for _ in range(count):
            self.assertTrue(self.left(who, control)[0])

    def knows_of(self, who, control, others):
        """Asks until it counts what was asked elsewhere; how many it let in meanwhile."""
        good = 0
        def known():
            nonlocal good
            let_in, rest = self.left(who, control)
            good += let_in
            time.sleep(0.1)  # it is told of every half second: not to use all up meanwhile
            return rest <= RATE_USER - others - good
        until(known)
        return good

    def drain(self, who, control):
        good = 0
        while self.left(who, control)[0]:
            good += 1
        return good

    def test_a_user(self):
        rest_of_minute(20)
        who = self.weir.person()
        self.spend(who, "control", 60)
        total = 60 + self.knows_of(who, "control2", 60)
        total += self.drain(who, "control2")
        def full():  # the first hears of it with the next that it counts itself
            nonlocal total
            let_in, _ = self.left(who, "control")
            total += let_in
            time.sleep(0.1)
            return not let_in
        until(full)
        self.assertGreaterEqual(total, RATE_USER)
        self.assertLessEqual(total, RATE_USER + SLACK)
        self.assertTrue(self.left(self.weir.person(), "control2")[0])  # others are not concerned

    def test_redis_away(self):
        """Each holds the limit for itself; when Redis is back each hears of what the other counted meanwhile."""
        rest_of_minute(45)
        who, later = self.weir.person(), self.weir.person()
        self.weir.redis.kill()
        try:
            for control in BOTH:
                good = self.drain(who, control)
                self.assertTrue(RATE_USER - SLACK <= good <= RATE_USER + SLACK, good)
            self.spend(later, "control", 50)
        finally:
            self.weir.redis.start()
        self.knows_of(later, "control2", 50)

    def test_z_address(self):
        """Last: it uses up what everybody from here may ask."""
        rest_of_minute(20)
        paths = {c: urllib.parse.urlsplit(self.weir.url(c)) for c in BOTH}
        lines = {c: http.client.HTTPSConnection(p.hostname, p.port, context=self.weir.tls, timeout=60) for c, p in paths.items()}

        def ask(control):
            lines[control].request("GET", "/api/v1/plans")
            answer = lines[control].getresponse()
            body = answer.read()
            self.assertIn(answer.status, (200, 429), body)
            return answer.status == 200, int(answer.headers["RateLimit-Remaining"])
        try:
            first = sum(ask("control")[0] for _ in range(RATE_ADDRESS * 6 // 10))
            good = 0
            def known():
                nonlocal good
                let_in, rest = ask("control2")
                good += let_in
                time.sleep(0.1)
                return rest <= RATE_ADDRESS - first - good
            until(known)
            while ask("control2")[0]:
                good += 1
            # Some of it was used by what went before; the rest is that of the minute before, fading.
            self.assertLess(first + good, RATE_ADDRESS * 12 // 10)
            def full():
                let_in, _ = ask("control")
                time.sleep(0.1)
                return not let_in
            until(full)
        finally:
            for line in lines.values():
                line.close()


class Outage(Case):
    def test_outage(self):
        """Redis is killed: log-ins end a little later at the other, sessions are in the database, with the limit; then it is as before."""
        w, who = self.weir, self.weir.person()
        self.assertLess(self.log_out(), TOLD_S)
        one = who.play("control", "a")
        self.assertEqual(one.status, 200)
        w.redis.kill()
        self.log_out()  # by then it has to look again
        two = who.play("control", "b")
        self.assertEqual(two.status, 200, two.body)
        for control in BOTH:
            answer = who.play(control, "c")
            self.assertEqual((answer.status, answer.code), (429, "CONCURRENT_LIMIT_EXCEEDED"))
        other = w.person()
        three = other.play("control2", "d")
        self.assertEqual(three.status, 200)
        w.redis.start()
        playing = {one.json()["session_id"], two.json()["session_id"]}
        for control in BOTH:
            self.until(playing, lambda c=control: who.sessions(c))
            self.until({three.json()["session_id"]}, lambda c=control: other.sessions(c))
            self.assertEqual(who.play(control, "c").status, 429)
        self.both_tell()


class OverACluster(Case):
    """The same over a Redis Cluster."""
    redis = RedisCluster
    rates = (RATE_USER, RATE_ADDRESS)

    left, spend, knows_of = Rates.left, Rates.spend, Rates.knows_of
    test_sessions = Ends.test_sessions

    def test_all(self):
        """Rates, log-outs and sessions; a node dies, nobody's film ends, and all is well when it is back."""
        w = self.weir
        self.assertLess(self.log_out(), TOLD_S)
        rest_of_minute(20)
        who = w.person()
        self.spend(who, "control", 40)
        self.knows_of(who, "control2", 40)
        viewers, playing = [], {}
        while len(viewers) < 6 or any(w.redis.say(node, "dbsize") == "0" for node in range(3)):  # on all nodes
            viewer = w.person()
            answer = viewer.play(BOTH[len(viewers) % 2], "a")
            self.assertEqual(answer.status, 200, answer.body)
            viewers.append(viewer)
            playing[viewer] = answer.json()["session_id"]
            self.assertLess(len(viewers), 60)
        w.redis.kill_node(1)
        for n, viewer in enumerate(viewers):
            self.assertEqual(viewer.at(BOTH[n % 2]).api("POST", f"playback/{playing[viewer]}/heartbeat").status, 200)
        w.redis.start_node(1)
        w.redis.wait()
        for viewer in viewers:
            for control in BOTH:
                self.until({playing[viewer]}, lambda v=viewer, c=control: v.sessions(c))
        self.both_tell()


if __name__ == "__main__":
    unittest.main()
