# SPDX-License-Identifier: Apache-2.0
"""Plans, limits, and the choice of an edge, over real daemons; and what becomes of sessions while Redis is away."""
import base64
import datetime
import json
import re
import subprocess
import time
import unittest

import lease_test
import mmdb
from daemon import program, until

WAIT_S = 60
PLANS = ["free", "basic", "premium", "ultimate"]


def claims(url):
    """What the token in a signed URL says."""
    token = re.search(r"URISigningPackage=([^/;]+)", url).group(1)
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Case(unittest.TestCase):
    @classmethod
    def begin(cls, weir):
        cls.weir = weir
        cls.addClassCleanup(weir.close)

    def until(self, wanted, call, seconds=WAIT_S):
        until(lambda: call() == wanted, seconds, lambda: f"{call()} instead of {wanted} for {seconds} s")

    def admin(self, method, path, body=None):
        return self.weir.request(method, self.weir.url("control") + "/api/v1" + path, body,
                                 {"Authorization": "Bearer " + self.weir.secret("admin")})

    def play(self, user, **body):
        answer = self.weir.play(user, **body)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def user_id(self, user):
        answer = self.weir.request("GET", self.weir.url("control") + "/api/v1/users/me", headers={"Cookie": user})
        return answer.json()["user"]["id"]

    def beat(self, user, session):
        return self.weir.api(user, "POST", f"/{session}/heartbeat", {})

    def title(self, asset, **change):
        """A title with what an administrator says of it."""
        film = {"title": asset, "duration_ms": 1000, "height": 1080, "audio": [], "subtitles": []}
        self.assertEqual(self.admin("PUT", f"/admin/assets/{asset}", film).status, 200)
        keeper = self.weir.user()
        self.weir.run("user", "role", self.user_id(keeper), "admin", check=True)
        answer = self.weir.request("PATCH", f"{self.weir.url('control')}/api/v1/videos/{asset}", change, {"Cookie": keeper})
        self.assertEqual(answer.status, 200, answer.body)

    def sessions(self, user):
        return [s["session_id"] for s in self.weir.api(user, "GET").json()["sessions"]]


class Plans(Case):
    """An installation that sells plans."""

    @classmethod
    def setUpClass(cls):
        class Selling(lease_test.Installation):
            def start(self, *names):
                config = self.folder / "config/control.yaml"
                text = re.sub(r"(?m)^(default_plan|stream_limit): .*\n", "", config.read_text())
                if "sweep_s" not in text:
                    config.write_text(text + "sweep_s: 1\n")
                return super().start(*names)
        cls.begin(Selling(False))

    def give(self, user, plan, **more):
        answer = self.admin("PUT", f"/admin/users/{self.user_id(user)}/plan", {"plan_id": plan, **more})
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def test_limit_and_upgrades(self):
        """429 has exactly the issue's shape, with a way up to each plan that allows more."""
        user = self.weir.user()
        first = self.play(user, device_name="Kitchen")
        self.assertEqual(first["offer"], {"plan_id": "free", "height_max": 480, "ads": True, "downloads": False})
        self.assertEqual(claims(first["hls_url"])["weir_height_max"], 480)
        answer = self.weir.play(user)
        self.assertEqual(answer.status, 429)
        error = answer.json()["error"]
        self.assertEqual(set(answer.json()), {"error"})
        self.assertEqual(set(error), {"code", "message", "details"})
        self.assertEqual(error["code"], "CONCURRENT_LIMIT_EXCEEDED")
        self.assertEqual(set(error["details"]), {"active", "actions"})
        self.assertEqual([set(a) for a in error["details"]["active"]], [{"session_id", "device_name", "asset", "started_at"}])
        actions = error["details"]["actions"]
        self.assertEqual([a["action"] for a in actions], ["terminate_session", "upgrade", "upgrade"])
        self.assertEqual(set(actions[0]), {"action", "session_id", "label"})
        self.assertEqual([set(a) for a in actions[1:]], [{"action", "plan_id", "label"}] * 2)
        self.assertEqual([a["plan_id"] for a in actions[1:]], ["premium", "ultimate"])  # basic has one stream as well
        self.give(user, "premium")
        second = self.play(user)
        self.assertEqual(claims(second["hls_url"])["weir_height_max"], 1080)
        actions = self.weir.play(user).json()["error"]["details"]["actions"]
        self.assertEqual([a.get("plan_id") for a in actions], [None, None, "ultimate"])
        self.give(user, "ultimate", stream_limit=2)
        actions = self.weir.play(user).json()["error"]["details"]["actions"]
        self.assertEqual([a.get("plan_id") for a in actions], [None, None])  # there is nothing above
        self.give(user, "ultimate", stream_limit=None)
        self.play(user)

    def test_downgrade(self):
        """The oldest sessions end at once, the player and the edges hear of it, and the newest goes on."""
        w, user = self.weir, self.weir.user()
        self.give(user, "ultimate")
        plays = [self.play(user) for _ in range(3)]
        self.assertEqual(self.give(user, "basic")["stream_limit"], 1)
        for play in plays[:2]:
            answer = self.beat(user, play["session_id"])
            self.assertEqual((answer.status, answer.code), (410, "SESSION_TERMINATED"))
            details = answer.json()["error"]["details"]
            self.assertEqual((details["reason"], details["plan_id"], details["stream_limit"]), ("PLAN_LIMIT", "basic", 1))
            self.assertEqual([a["plan_id"] for a in details["actions"]], ["premium", "ultimate"])
            for edge in ("edge", "edge2"):
                self.until("SESSION_TERMINATED", lambda e=edge, p=play: w.ask(e, p["hls_url"]), 2)
        self.assertEqual(self.beat(user, plays[2]["session_id"]).status, 200)
        self.assertEqual(w.ask("edge", plays[2]["hls_url"]), "ok")
        self.assertEqual(self.sessions(user), [plays[2]["session_id"]])
        w.api(user, "DELETE", "/" + plays[2]["session_id"])
        answer = self.beat(user, plays[2]["session_id"])
        self.assertEqual(answer.json()["error"]["details"]["reason"], "ENDED")

    def test_deleted(self):
        """An account that is deleted plays nowhere any more; also where its control was killed in the middle of it."""
        w = self.weir
        for kill in (False, True):
            user = w.user()
            self.give(user, "ultimate")
            plays = [self.play(user) for _ in range(3)]
            self.assertEqual([w.ask("edge", p["hls_url"]) for p in plays], ["ok"] * 3)
            self.assertEqual(self.admin("DELETE", f"/admin/users/{self.user_id(user)}").status, 204)
            if kill:
                w.kill("control")
                w.start("control")
            for play in plays:
                for edge in ("edge", "edge2"):
                    self.until("SESSION_TERMINATED", lambda e=edge, p=play: w.ask(e, p["hls_url"]), WAIT_S if kill else 2)
            self.assertEqual(w.api(user, "GET").status, 401)

    def test_runs_out(self):
        """A plan that ends takes its streams with it: by the sweep, and by the token's own end."""
        user = self.weir.user()
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        held = self.give(user, "premium", until=end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")[:-4] + "Z")
        self.assertEqual(held["plan"]["id"], "premium")
        old, new = self.play(user), self.play(user)
        self.assertLessEqual(claims(old["hls_url"])["exp"], end.timestamp() + 1)
        self.until([new["session_id"]], lambda: self.sessions(user))
        answer = self.beat(user, old["session_id"])
        self.assertIn(answer.json()["error"]["details"].get("reason"), ("PLAN_LIMIT", None))
        until(lambda: self.weir.metric("control", "weir_control_playbacks_swept_total") >= 1)
        mine = self.weir.request("GET", self.weir.url("control") + "/api/v1/users/me/plan", headers={"Cookie": user}).json()
        self.assertEqual((mine["plan"]["id"], mine["until"]), ("free", None))

    def test_plans_are_data(self):
        """An administrator changes a plan; who is over it now loses the oldest stream; nonsense is refused."""
        user = self.weir.user()
        self.give(user, "premium")
        old, new = self.play(user), self.play(user)
        before = self.admin("GET", "/plans").json()
        self.assertEqual([p["id"] for p in before["plans"]], PLANS)
        self.assertEqual(self.weir.request("GET", self.weir.url("control") + "/api/v1/plans").status, 200)  # anyone
        try:
            result = self.weir.run("plan", "set", "premium", "--streams", "1", "--price", "999")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.until([new["session_id"]], lambda: self.sessions(user))
            self.assertEqual(self.beat(user, old["session_id"]).json()["error"]["details"]["reason"], "PLAN_LIMIT")
            stale = self.admin("PUT", "/admin/plans", before)
            self.assertEqual((stale.status, stale.code), (412, "PLANS_CHANGED"))
            result = self.weir.run("plan", "set", "basic", "--streams", "7")
            self.assertEqual(result.returncode, 1)
            self.assertIn("fewer streams", result.stderr)
            answer = self.admin("PUT", "/admin/plans", {"plans": before["plans"] + before["plans"][:1]})
            self.assertEqual((answer.status, answer.code), (409, "PLAN_TWICE"))
            answer = self.admin("PUT", "/admin/plans", {"plans": [{**before["plans"][0], "color": "red"}]})
            self.assertEqual(answer.status, 422)
        finally:
            self.assertEqual(self.admin("PUT", "/admin/plans", {"plans": before["plans"]}).status, 200)
        answer = self.weir.request("PUT", self.weir.url("control") + "/api/v1/admin/plans", {"plans": before["plans"]}, {"Cookie": user})
        self.assertIn(answer.status, (401, 403))

    def test_weirctl(self):
        """weirctl plan and session, by address and by id."""
        w, user = self.weir, self.weir.user()
        address, user_id = f"viewer{w.cookies}@example.org", self.user_id(user)
        result = w.run("plan", "list", check=True)
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()[1:]], PLANS)
        self.assertIn("10.99 EUR", result.stdout)
        self.assertIn("Premium, 2 streams", w.run("plan", "give", address, "premium", check=True).stdout)
        self.assertIn("9 streams", w.run("plan", "give", user_id, "premium", "--streams", "9", check=True).stdout)
        self.assertIn("9 streams", w.run("plan", "show", address, check=True).stdout)
        play = self.play(user, device_name="Kitchen")
        self.assertIn("Kitchen", w.run("session", "list", address, check=True).stdout)
        listed = json.loads(w.run("session", "list", user_id, "--json", check=True).stdout)
        self.assertEqual(listed["session_id"], play["session_id"])
        w.run("session", "end", address, play["session_id"], check=True)
        self.until("SESSION_TERMINATED", lambda: w.ask("edge", play["hls_url"]), 2)
        for args, sentence in ((("session", "end", address, play["session_id"]), "no such session"),
                               (("session", "list", "nobody@example.org"), "no such user"),
                               (("plan", "show", "0" * 32), "no such user"),
                               (("plan", "give", address, "gold"), "no such plan"),
                               (("plan", "set", "gold", "--price", "1"), "no plan 'gold'"),
                               (("plan", "set", "basic", "--price", "x"), "not a number")):
            result = w.run(*args)
            self.assertEqual(result.returncode, 1, args)
            self.assertIn(sentence, result.stderr)
        for args in (("plan",), ("plan", "give", address), ("session", "end", address), ("plan", "list", "x")):
            self.assertEqual(w.run(*args).returncode, 2, args)

    def test_grants(self):
        """What was bought is shown in full, whatever the plan."""
        user = self.weir.user()
        path = f"/admin/users/{self.user_id(user)}/grants"
        self.assertEqual(self.admin("POST", path, {"asset": "film", "height_max": 2160}).status, 204)
        play = self.play(user)
        self.assertEqual(play["offer"]["height_max"], 2160)
        self.assertFalse(play["offer"]["ads"])
        self.assertEqual(self.admin("POST", path, {"asset": "../x"}).status, 422)
        self.assertEqual(self.admin("POST", "/admin/users/nobody/grants", {"asset": "film"}).status, 404)

    def start(self, user, asset):
        return self.weir.api(user, "POST", "", {"asset": asset})

    def test_titles_of_plans(self):
        """What a title needs: refused with the ways up, allowed by plan and by grant."""
        user = self.weir.user()
        self.title("premium-film", tier="premium")
        answer = self.start(user, "premium-film")
        self.assertEqual((answer.status, answer.code), (403, "PLAN_NEEDED"))
        details = answer.json()["error"]["details"]
        self.assertEqual((details["plan_id"], details["needed"]), ("free", "premium"))
        self.assertEqual([a["plan_id"] for a in details["actions"]], ["premium", "ultimate"])
        self.assertEqual(self.sessions(user), [])  # nothing was opened
        self.give(user, "basic")
        self.assertEqual(self.start(user, "premium-film").code, "PLAN_NEEDED")
        self.give(user, "ultimate")
        answer = self.start(user, "premium-film")
        self.assertEqual((answer.status, answer.json()["offer"]["height_max"]), (200, 2160))
        other = self.weir.user()
        grant = {"asset": "premium-film", "until": "2020-01-01T00:00:00Z"}
        path = f"/admin/users/{self.user_id(other)}/grants"
        self.assertEqual(self.admin("POST", path, grant).status, 204)
        self.assertEqual(self.start(other, "premium-film").code, "PLAN_NEEDED")  # it has run out
        self.assertEqual(self.admin("POST", path, {"asset": "premium-film"}).status, 204)
        self.assertEqual(self.start(other, "premium-film").status, 200)

    def test_on_air(self):
        """A creator's stream: key, encoder, viewers by the same limits, another encoder, the end."""
        w, base = self.weir, self.weir.url("control") + "/api/v1"
        creator, viewer = w.user(), w.user()
        w.run("user", "role", self.user_id(creator), "creator", check=True)

        def ask(user, method, path, body=None):
            return w.request(method, base + path, body, {"Cookie": user, "Content-Type": "application/json"})
        made = ask(creator, "POST", "/streams/start", {"title": "Talk", "plan_id": "basic"})
        self.assertEqual(made.status, 201, made.body)
        stream, key = made.json()["stream"]["id"], made.json()["key"]
        self.assertEqual(ask(creator, "POST", "/streams/start", {"title": "Talk", "plan_id": "gold"}).code, "PLAN_NOT_FOUND")
        manifest = f"/streams/{stream}/manifest?device=tv&device_name=Kitchen"
        self.assertEqual(ask(viewer, "GET", manifest).code, "STREAM_NOT_LIVE")
        publish = {"key": key, "event": "publish", "encoder": "e1"}
        answer = self.admin("POST", "/admin/streams/authorize", publish)
        self.assertEqual((answer.status, answer.json()["stream"]["state"], answer.json()["beat_s"]), (200, "live", 10))
        self.assertEqual(self.admin("POST", "/admin/streams/authorize", {**publish, "encoder": "e2"}).code, "STREAM_BUSY")
        self.assertEqual(ask(viewer, "GET", f"/streams/{stream}").json()["state"], "live")
        self.assertEqual(ask(viewer, "GET", manifest).code, "PLAN_NEEDED")
        self.give(viewer, "basic")
        play = ask(viewer, "GET", manifest)
        self.assertEqual(play.status, 200, play.body)
        self.assertEqual(play.json()["asset"], f"live-{stream}")
        self.assertIn(f"/v/live-{stream}/master.m3u8", play.json()["hls_url"])
        self.assertEqual(self.start(viewer, "film").code, "CONCURRENT_LIMIT_EXCEEDED")  # one limit for all that plays
        self.assertEqual(ask(viewer, "POST", f"/streams/{stream}/stop", {}).status, 403)
        other = w.user()
        w.run("user", "role", self.user_id(other), "creator", check=True)
        for path in ("stop", "key"):  # another creator's is not there
            self.assertEqual(ask(other, "POST", f"/streams/{stream}/{path}", {}).code, "STREAM_NOT_FOUND")
        fresh = ask(creator, "POST", f"/streams/{stream}/key", {}).json()["key"]
        self.assertEqual(self.admin("POST", "/admin/streams/authorize", publish).code, "STREAM_KEY_WRONG")
        beat = {"key": fresh, "event": "beat", "encoder": "e1"}
        self.assertEqual(self.admin("POST", "/admin/streams/authorize", beat).status, 200)
        self.assertEqual([s["id"] for s in ask(creator, "GET", "/streams").json()["streams"]], [stream])
        self.assertEqual(ask(creator, "POST", f"/streams/{stream}/stop", {}).json()["state"], "ended")
        self.assertEqual(self.admin("POST", "/admin/streams/authorize", beat).code, "STREAM_ENDED")
        self.assertEqual(ask(viewer, "GET", manifest).code, "STREAM_NOT_LIVE")

    def test_profiles(self):
        """What is beyond a profile's limit takes the PIN of somebody who may watch it."""
        me = self.weir.url("control") + "/api/v1/users/me/profiles"
        user, other = self.weir.user(), self.weir.user()
        for asset, age in (("for-6", 6), ("for-12", 12), ("for-16", 16), ("for-nobody", None)):
            self.title(asset, age=age)

        def make(who=user, **body):
            answer = self.weir.request("POST", me, body, {"Cookie": who})
            self.assertEqual(answer.status, 201, answer.body)
            return answer.json()["id"]

        def play(asset, code=None, **body):
            answer = self.weir.api(user, "POST", "", {"asset": asset, **body})
            self.assertEqual((answer.status == 200, answer.code if code else None), (code is None, code), answer.body)
            if code is None:
                self.weir.api(user, "DELETE", "/" + answer.json()["session_id"])
            return answer

        child = make(name="Child", rating_max=6)
        play("for-16")  # as the account
        play("for-16", "PROFILE_NOT_FOUND", profile=make(other, name="Other"))
        play("for-6", profile=child)
        error = play("for-12", "AGE_RESTRICTED", profile=child).json()["error"]
        self.assertEqual(error["details"], {"age": 12, "rating_max": 6, "pin_helps": False})
        play("for-12", "AGE_RESTRICTED", profile=child, pin="1616")  # nobody has a PIN
        youth, parent = make(name="Youth", rating_max=12, pin="1212"), make(name="Parent", pin="4711")
        play("for-6", "PIN_NEEDED", profile=parent)
        play("for-6", "PIN_WRONG", profile=parent, pin="1212")
        play("for-16", profile=parent, pin="4711")
        play("for-16", "PIN_WRONG", profile=youth, pin="1212")  # it opens the profile, not what is beyond its limit
        answer = self.weir.request("POST", f"{me}/{child}/choose", {}, {"Cookie": user})
        self.assertEqual(answer.status, 200, answer.body)
        play("for-6")
        error = play("for-12", "AGE_RESTRICTED").json()["error"]
        self.assertEqual(error["details"], {"age": 12, "rating_max": 6, "pin_helps": True})
        error = play("for-nobody", "AGE_RESTRICTED").json()["error"]
        self.assertEqual(error["details"], {"age": None, "rating_max": 6, "pin_helps": True})
        play("for-12", pin="1212")
        play("for-12", pin="4711")
        play("for-nobody", pin="4711")
        play("for-nobody", "PIN_WRONG", pin="1212")
        shown = self.weir.request("GET", self.weir.url("control") + "/api/v1/videos/for-12", headers={"Cookie": user})
        self.assertEqual(shown.code, "AGE_RESTRICTED")  # once was once
        listed = self.weir.request("GET", self.weir.url("control") + "/api/v1/videos?limit=500", headers={"Cookie": user})
        self.assertEqual({v["id"] for v in listed.json()["videos"]} & {"for-6", "for-12", "for-16", "for-nobody"}, {"for-6"})
        for _ in range(4):
            play("for-16", "PIN_WRONG", pin="0000")
        answer = play("for-16", "TOO_MANY_ATTEMPTS", pin="4711")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        play("for-6")

    def test_machines(self):
        """An API key with the scope for it plays as its owner, under the same limits; one without does not."""
        who = {"email": "machine@example.org", "password": "a long password"}
        base = self.weir.url("control") + "/api/v1"
        self.assertEqual(self.weir.request("POST", base + "/auth/signup", who).status, 201)
        token = self.weir.request("POST", base + "/auth/login", {**who, "bearer": True}).json()["access_token"]

        def key(scope):
            answer = self.weir.request("POST", base + "/users/me/keys", {"name": scope, "scopes": [scope], "password": who["password"]},
                                       {"Authorization": f"Bearer {token}"})
            self.assertEqual(answer.status, 201, answer.body)
            return {"Authorization": f"Bearer {answer.json()['key']}"}
        plays, reads = key("playback"), key("account:read")
        self.title("for-machines", age=16)
        ask = {"asset": "for-machines"}
        self.assertEqual(self.weir.request("POST", base + "/playback", ask, reads).code, "SCOPE_MISSING")
        first = self.weir.request("POST", base + "/playback", ask, plays)
        self.assertEqual(first.status, 200, first.body)
        self.assertEqual(self.weir.request("POST", base + "/playback", ask, plays).code, "CONCURRENT_LIMIT_EXCEEDED")
        path = f"{base}/playback/{first.json()['session_id']}"
        self.assertEqual(self.weir.request("POST", path + "/heartbeat", {}, plays).status, 200)
        self.assertEqual(self.weir.request("DELETE", path, None, plays).status, 204)
        child = self.weir.request("POST", base + "/users/me/profiles", {"name": "Child", "rating_max": 6},
                                  {"Authorization": f"Bearer {token}"}).json()["id"]
        self.assertEqual(self.weir.request("POST", base + "/playback", {**ask, "profile": child}, plays).code, "AGE_RESTRICTED")

    def test_streams(self):
        """A key that is none, a stream that is none, callers who may not."""
        base, user = self.weir.url("control") + "/api/v1", self.weir.user()
        body = {"key": "x" * 43, "event": "publish", "encoder": "e1"}
        answer = self.admin("POST", "/admin/streams/authorize", body)
        self.assertEqual((answer.status, answer.code), (403, "STREAM_KEY_WRONG"))
        self.assertIn(self.weir.request("POST", base + "/admin/streams/authorize", body, {"Cookie": user}).status, (401, 403))
        self.assertEqual(self.weir.request("POST", base + "/streams/start", {"title": "Talk"}, {"Cookie": user}).code, "ROLE_MISSING")
        for path in ("/streams/" + "0" * 32, "/streams/" + "0" * 32 + "/manifest", "/streams/zz"):
            answer = self.weir.request("GET", base + path, headers={"Cookie": user})
            self.assertEqual((answer.status, answer.code), (404, "STREAM_NOT_FOUND"), path)


class Nowhere(Case):
    """An installation that has no file of countries: nobody's is known."""

    @classmethod
    def setUpClass(cls):
        cls.begin(lease_test.Installation(False))

    def test_countries(self):
        """Such a viewer is in no list, wherever it is asked: fit for what is blocked somewhere, not for what is allowed somewhere."""
        user = self.weir.user()
        titles = {"anywhere": ({}, 200), "fr-only": ({"countries_allow": ["FR"]}, 451), "not-fr": ({"countries_deny": ["FR"]}, 200),
                  "some": ({"countries_allow": ["FR", "DE"], "countries_deny": ["FR"]}, 451)}
        for asset, (change, status) in titles.items():
            self.title(asset, title=f"wherever {asset}", **change)
            answer = self.weir.api(user, "POST", "", {"asset": asset})
            self.assertEqual(answer.status, status, answer.body)
            if status == 200:
                self.weir.api(user, "DELETE", "/" + answer.json()["session_id"])

        def get(path):
            return self.weir.request("GET", self.weir.url("control") + "/api/v1/videos" + path, headers={"Cookie": user})
        for asset, (_, status) in titles.items():
            self.assertEqual(get("/" + asset).status, status)
        seen = {asset for asset, (_, status) in titles.items() if status == 200}
        for path in ("?limit=500", "/search?q=wherever"):
            self.assertEqual({v["id"] for v in get(path).json()["videos"]} & set(titles), seen, path)
        self.assertEqual(set(get("/suggest?q=wherever").json()["suggestions"]), {f"wherever {a}" for a in seen})


class Edges(Case):
    """Two edges: one for everybody, one for Germany."""

    @classmethod
    def setUpClass(cls):
        class Two(lease_test.Installation):
            def start(self, *names):
                config = self.folder / "config/control.yaml"
                text = config.read_text()
                if "edges:" not in text:
                    geo = self.folder / "geo.mmdb"
                    mmdb.write(geo, {"127.0.0.0/8": mmdb.place("DE", "EU", position=(52.5, 13.4)),
                                     "::1/128": mmdb.place("DE", "EU", position=(52.5, 13.4))})
                    text = re.sub(r"(?m)^edge_url: .*\n", "", text) + (
                        f"geo_file: {geo}\nedges:\n"
                        f"- {{url: '{self.url('edge')}', status_url: '{self.url('edge_admin')}', weight: 1, capacity_mbps: 1000}}\n"
                        f"- {{url: '{self.url('edge2')}', status_url: '{self.url('edge2_admin')}', weight: 3, countries: [DE]}}\n")
                    config.write_text(text)
                return super().start(*names)
        cls.begin(Two(False))

    def edge_of(self):
        user = self.weir.user()
        url = self.play(user)["hls_url"]
        return "edge2" if url.startswith(self.weir.url("edge2") + "/") else "edge"

    def test_choice(self):
        """The country's edge; within a few seconds of its end the other; and back; a page may load from both."""
        w = self.weir
        self.until("edge2", self.edge_of)  # control may have looked at one before the other was there
        self.assertEqual({self.edge_of() for _ in range(4)}, {"edge2"})
        page = w.get(w.url("control") + "/")
        for edge in ("edge", "edge2"):
            self.assertIn(w.url(edge), page.headers["Content-Security-Policy"])
        w.kill("edge2")
        self.until("edge", self.edge_of, 8)
        self.assertEqual({self.edge_of() for _ in range(4)}, {"edge"})
        w.start("edge2")
        self.until("edge2", self.edge_of, 8)
        w.kill("edge2")
        w.kill("edge")
        began = time.monotonic()
        while time.monotonic() < began + 4:  # also once both are known to be down somebody is named
            self.assertIn(self.edge_of(), ("edge", "edge2"))
        w.start("edge")
        w.start("edge2")

    def test_countries(self):
        """A title that is not for the viewer's country, as the geo file tells it, is refused and not shown."""
        user = self.weir.user()
        for asset, change, status in (("fr-only", {"countries_allow": ["FR"]}, 451),
                                      ("not-de", {"countries_deny": ["DE"]}, 451),
                                      ("de-only", {"countries_allow": ["DE"]}, 200)):
            self.title(asset, **change)
            answer = self.weir.api(user, "POST", "", {"asset": asset})
            self.assertEqual(answer.status, status, answer.body)
            shown = self.weir.request("GET", self.weir.url("control") + f"/api/v1/videos/{asset}", headers={"Cookie": user})
            self.assertEqual(shown.status, status)

    def test_check(self):
        """--check names what is wrong with an edge."""
        config = self.weir.folder / "config/control.yaml"
        text = config.read_text()
        broken = self.weir.folder / "config/broken.yaml"
        for wrong, sentence in ((text.replace("countries: [DE]", "countries: [de]"), "two capital letters"),
                                (text.replace("weight: 1,", "position: {latitude: 91, longitude: 0},"), "nowhere on earth"),
                                (re.sub(r"status_url: '[^']*'", "status_url: 'ftp://x'", text), "status_url"),
                                (re.sub(r"(?ms)^edges:.*", "", text), "edge_url or edges"),
                                (text.replace("geo.mmdb", "none.mmdb"), "geo_file")):
            broken.write_text(wrong)
            result = subprocess.run([program("weir-control"), "--config", str(broken), "--check"], capture_output=True, text=True)
            self.assertNotEqual(result.returncode, 0, sentence)
            self.assertIn(sentence, result.stderr)


class Fallback(Case):
    """Redis goes and comes while people watch: sessions are in the database meanwhile."""

    @classmethod
    def setUpClass(cls):
        cls.begin(lease_test.Installation(True, leases_fail="database"))

    def test_outage(self):
        w, user, other = self.weir, self.weir.user(), self.weir.user()
        first, second = self.play(user), self.play(user)
        w.redis.kill()
        self.assertEqual(w.play(user).status, 429)  # what Redis knew counts
        self.assertEqual(len(self.sessions(user)), 2)
        self.assertEqual(self.beat(user, first["session_id"]).status, 200)
        w.api(user, "DELETE", "/" + second["session_id"])
        third = self.play(user)
        self.assertEqual(w.play(user).status, 429)
        theirs = self.play(other)
        self.assertEqual(w.ask("edge", third["hls_url"]), "ok")  # fail: open
        w.redis.start()
        self.until("ok", lambda: w.ask("edge2", third["hls_url"]))  # fail: closed: it is known in Redis
        self.until("SESSION_TERMINATED", lambda: w.ask("edge2", second["hls_url"]))
        self.assertEqual(set(self.sessions(user)), {first["session_id"], third["session_id"]})
        self.assertEqual(self.sessions(other), [theirs["session_id"]])
        self.assertEqual(w.play(user).status, 429)
        w.redis.kill()
        self.assertEqual(w.play(user).status, 429)
        # Control is killed as well: the database has what its heartbeats bring, and the next start returns it.
        self.assertEqual(self.beat(user, first["session_id"]).status, 200)
        self.assertEqual(self.beat(user, third["session_id"]).status, 200)
        w.kill("control")
        w.start("control")
        self.assertEqual(w.play(user).status, 429)
        w.redis.start()
        self.until({first["session_id"], third["session_id"]}, lambda: set(self.sessions(user)))
        self.assertEqual(w.play(user).status, 429)


del Case  # abstract: unittest must not run it


if __name__ == "__main__":
    unittest.main()
