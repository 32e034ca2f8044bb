# SPDX-License-Identifier: Apache-2.0
"""What is somebody else's: two users with one of everything, and every operation of the document asked by the one with the ids
of the other; by users without the role, and by keys without the scope. It is refused, nothing changes, and nothing is told."""
import base64
import json
import re
import unittest

from attack_kit import ApiCase
from daemon import until

# What anybody may do with what others have published, by what it is of. All else that takes an id is its owner's.
OPEN = {
    "video": {"videos_get", "stars_get", "stars_put", "stars_delete", "comments_list", "comments_add", "comments_replies", "favourites_get", "favourites_put",
              "favourites_delete", "history_get", "history_put", "history_delete"},
    "channel": {"channels_get", "subscriptions_get", "subscriptions_put", "subscriptions_delete"},
    "series": {"series_get", "series_episodes"},
    "stream": {"streams_get", "streams_manifest"},
}
# Deleting what is not there is done already; it is keyed by who asks, so it cannot be somebody else's.
MINE = {"favourites_delete", "history_delete", "stars_delete"}


class Person:
    def __init__(self, case, email):
        self.case, self.email, who = case, email, {"email": email, "password": "password1"}
        made = case.weir.request("POST", f"{case.base}/api/v1/auth/signup", who)
        case.assertEqual(made.status, 201, made.body)
        self.id = made.json()["user"]["id"]
        case.operator("PATCH", f"admin/users/{self.id}", {"role": "creator"})
        case.operator("PUT", f"admin/users/{self.id}/plan", {"plan_id": "ultimate"})
        self.token = case.weir.request("POST", f"{case.base}/api/v1/auth/login", {**who, "bearer": True}).json()["access_token"]

    def ask(self, method, path, body=None, *, good=True):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        answer = self.case.weir.request(method, f"{self.case.base}/api/v1/{path}", body if body is not None or method == "GET" else {}, headers)
        if good:
            self.case.assertIn(answer.status, range(200, 300), (method, path, answer.body))
        return answer.json() if answer.body else None

    def upload(self, title):
        """A film that is none: its job, when nothing changes any more."""
        form = "".join(f'--x\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
                       for name, more, value in (("title", "", title), ("file", '; filename="a.mp4"', "no film"))) + "--x--\r\n"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "multipart/form-data; boundary=x"}
        answer = self.case.weir.request("POST", f"{self.case.base}/api/v1/videos/upload", form.encode(), headers)
        self.case.assertEqual(answer.status, 202, answer.body)
        job = answer.json()["job_id"]
        until(lambda: self.ask("GET", f"videos/upload/{job}")["state"] == "failed")
        return job

    def settle(self, name):
        """One of everything: {parameter: (private, published)}; None: there is no such thing."""
        film = {"title": f"{name} film", "duration_ms": 1000, "height": 720, "audio": [], "subtitles": []}
        draft = self.ask("POST", "videos", {"asset": f"{name}-draft", "title": f"{name} draft"})["id"]
        shown = self.ask("POST", "videos", {"asset": f"{name}-shown", "title": f"{name} shown", "publish_when_ready": True})["id"]
        self.case.operator("PUT", f"admin/assets/{shown}", film)
        channel = self.ask("POST", "channels", {"handle": f"{name}_channel", "title": f"{name}'s channel"})["id"]
        series = self.ask("POST", "series", {"channel": channel, "title": f"{name}'s series"})["id"]
        playlist = self.ask("POST", "playlists", {"title": f"{name}'s list"})["id"]
        self.ask("PUT", f"playlists/{playlist}/items/{shown}", {})
        comment = self.ask("POST", f"videos/{shown}/comments", {"text": f"{name} says"})["id"]
        self.ask("PUT", f"users/me/history/{shown}", {"position_ms": 500})
        self.ask("PUT", f"users/me/favourites/{shown}", {})
        profile = self.ask("POST", "users/me/profiles", {"name": f"{name}'s child"})["id"]
        key = self.ask("POST", "users/me/keys", {"name": f"{name}'s key", "scopes": ["streams"], "password": "password1"})
        device = next(d["id"] for d in self.ask("GET", "users/me/devices")["devices"] if not d["current"])
        session = self.ask("POST", "playback", {"asset": shown, "device_name": f"{name}'s television"})["session_id"]
        stream = self.ask("POST", "streams/start", {"title": f"{name} live"})["stream"]["id"]
        self.key = key["key"]
        job = self.upload(f"{name} upload")
        return {"video": (draft, shown), "channel": (None, channel), "series": (None, series), "playlist": (playlist, None), "comment": (None, comment),
                "profile": (profile, None), "device": (device, None), "key": (key["id"], None), "session": (session, None), "stream": (None, stream),
                "job": (job, None)}


class Owners(ApiCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start("ingest")  # for uploads
        self = cls("test_roles")  # to ask with
        cls.ada, cls.bob = Person(self, "ada@example.org"), Person(self, "bob@example.org")
        cls.adas, cls.bobs = cls.ada.settle("ada"), cls.bob.settle("bob")

    def setUp(self):
        super().setUp()
        self.ada.ask("POST", f"playback/{self.adas['session'][0]}/heartbeat")  # her player goes on, however long all this takes

    def operator(self, method, path, body):
        answer = self.weir.request(method, f"{self.base}/api/v1/{path}", body, {"Authorization": f"Bearer {self.admin}"})
        self.assertIn(answer.status, range(200, 300), answer.body)

    def of_users(self):
        for path, method, operation in self.document.operations():
            if operation["x-weir-auth"] == "user":
                names = [p["name"] for p in self.document.parameters(operation, "path")]
                yield path, method, operation, names

    def ids(self, names, world):
        """Ada's, of the private or the published ones, whichever there is."""
        return {name: self.adas[name][world] or self.adas[name][1 - world] for name in names}

    def good(self, operation):
        schema = self.document.body(operation)[0]
        return json.dumps(self.document.example(schema)).encode() if schema else None

    def test_ids_in_paths(self):
        """A new parameter has to say here whose it is: KeyError otherwise."""
        sent = 0
        for world in (0, 1):
            for path, method, operation, names in self.of_users():
                what = (operation["operationId"], world)
                ids = self.ids(names, world)
                is_open = all(operation["operationId"] in OPEN.get(name, ()) for name in names if name != "comment")
                shown = all(value == self.adas[name][1] for name, value in ids.items())
                if not names or (is_open and shown) or operation["operationId"] in MINE:
                    continue
                with self.nothing_changes():
                    answer = self.send(path, method, operation, self.good(operation), values=ids, token=self.bob.token)
                    self.refused(answer, what, 403, 404)
                    sent += 1
                if method == "get" and not shown:  # a private thing is as absent as one that never was
                    self.assertEqual(answer.status, 404, what)
        self.assertGreater(sent, 40)
        playing = [s["session_id"] for s in self.ada.ask("GET", "playback")["sessions"]]  # kept outside the database
        self.assertEqual(playing, [self.adas["session"][0]])

    def test_both_worlds_stand(self):
        """What Ada has is there for Ada: the refusals above were not for want of it."""
        for path, method, operation, names in self.of_users():
            if method == "get" and names and operation["operationId"] != "streams_manifest":
                for world in (0, 1):
                    if operation["operationId"] in ("stars_get", "history_get", "favourites_get", "subscriptions_get"):
                        continue  # she may have none of those
                    if "comment" in names and world == 0:
                        continue  # nobody comments on drafts
                    answer = self.send(path, method, operation, values=self.ids(names, world), token=self.ada.token)
                    self.assertEqual(answer.status, 200, (path, world, answer.body))

    def test_ids_in_bodies(self):
        """Ada's things named by Bob inside what is his own."""
        own = {name: one or two for name, (one, two) in self.bobs.items()}
        draft, shown = self.adas["video"]
        cases = [("POST", "videos", {"title": "x", "channel": self.adas["channel"][1]}), ("POST", "videos", {"title": "x", "series": self.adas["series"][1]}),
                 ("PATCH", f"videos/{own['video']}", {"channel": self.adas["channel"][1]}), ("PATCH", f"videos/{own['video']}", {"series": self.adas["series"][1]}),
                 ("POST", "videos", {"title": "x", "asset": draft}), ("POST", "videos", {"title": "x", "asset": shown}),
                 ("POST", "series", {"channel": self.adas["channel"][1], "title": "x"}), ("PUT", f"playlists/{own['playlist']}/items/{draft}", {}),
                 ("PUT", f"playlists/{own['playlist']}/order", {"videos": [draft]}), ("POST", "playback", {"asset": draft}),
                 ("POST", f"videos/{self.bobs['video'][1]}/comments", {"text": "x", "parent": self.adas["comment"][1]}),
                 ("PATCH", f"videos/{self.bobs['video'][1]}/comments/{self.adas['comment'][1]}", {"text": "x"}),
                 ("DELETE", f"videos/{self.bobs['video'][1]}/comments/{self.adas['comment'][1]}", None)]
        for method, path, body in cases:
            with self.nothing_changes():
                answer = self.weir.request(method, f"{self.base}/api/v1/{path}", body, {"Authorization": f"Bearer {self.bob.token}"})
                self.refused(answer, (method, path, body), 403, 404, 409, 422)
                self.assertNotIn(answer.code, ("BODY_INVALID", "PARAMETER_INVALID"), (method, path, body, answer.body))  # it was understood

    def test_lists(self):
        """No list that Bob may read has anything private of Ada's in it, nor her address."""
        private = {one for one, _ in self.adas.values() if one} | {"ada@example.org", "ada draft", "ada's list", "ada's child", "ada's television"}
        asked = 0
        for path, method, operation, names in self.of_users():
            if method != "get" or names:
                continue
            queries = {"", "?limit=100"} & ({""} | {f"?{p['name']}=100" for p in self.document.parameters(operation, "query")})
            queries |= {f"?{p['name']}=ada" for p in self.document.parameters(operation, "query") if p["name"] == "q"}
            queries |= {f"?owner={self.ada.id}" for p in self.document.parameters(operation, "query") if p["name"] == "owner"}
            for query in queries:
                answer = self.send(path, method, operation, query=query, token=self.bob.token)
                self.assertIn(answer.status, (200, 422), (path, query, answer.body))
                for text in private:
                    self.assertNotIn(text, answer.body.decode(), (path, query))
                asked += 1
        self.assertGreater(asked, 15)

    def test_members_of_the_house(self):
        """Members that only the service may set are no members for anybody."""
        for method, path, body in (("PATCH", "users/me", {"role": "admin"}), ("PATCH", "users/me", {"id": self.ada.id}), ("PATCH", "users/me", {"verified_ms": 1}),
                                   ("PATCH", f"videos/{self.bobs['video'][0]}", {"owner": self.ada.id}), ("POST", "videos", {"title": "x", "owner": self.ada.id}),
                                   ("PATCH", f"channels/{self.bobs['channel'][1]}", {"owner": self.ada.id}), ("POST", "playlists", {"title": "x", "owner": self.ada.id}),
                                   ("POST", "playback", {"asset": "ada-shown", "user": self.ada.id}), ("POST", "playback", {"asset": "ada-shown", "plan_id": "ultimate"})):
            with self.nothing_changes():
                answer = self.weir.request(method, f"{self.base}/api/v1/{path}", body, {"Authorization": f"Bearer {self.bob.token}"})
                self.assertEqual((answer.status, answer.code), (422, "BODY_INVALID"), (method, path, body))

    def test_roles(self):
        """What is an administrator's by somebody who is none: 403, nothing done, and one line that says who tried; so for guesses."""
        audited = 0
        for path, method, operation in self.document.operations():
            if operation["x-weir-auth"] != "admin":
                continue
            before = len(self.weir.log("control"))
            with self.nothing_changes():
                answer = self.send(path, method, operation, self.good(operation), token=self.bob.token, values={"user": self.ada.id})
                self.assertEqual((answer.status, answer.code), (403, "ROLE_MISSING"), operation["operationId"])
            lines = [line for line in self.weir.log("control")[before:].splitlines() if f'"operation":"{operation["operationId"]}"' in line]
            self.assertEqual(len(lines), 1, (operation["operationId"], lines))
            for line in lines:
                said = json.loads(line)
                self.assertEqual((said["actor"], said["status"], said["code"]), (self.bob.id, 403, "ROLE_MISSING"))
                audited += 1
            before = len(self.weir.log("control"))
            answer = self.send(path, method, operation, self.good(operation), token="a guess at the credential")
            self.assertEqual((answer.status, answer.code), (401, "CREDENTIAL_WRONG"), operation["operationId"])
            lines = [json.loads(line) for line in self.weir.log("control")[before:].splitlines() if '"msg":"audit"' in line]
            self.assertEqual([(s["operation"], s["actor_kind"], s["code"]) for s in lines], [(operation["operationId"], "nobody", "CREDENTIAL_WRONG")])
        self.assertGreater(audited, 20)
        self.assertNotIn("a guess at the credential", self.weir.log("control"))

    def test_scopes(self):
        """A key may what its scope says, and its owner's secrets never."""
        for path, method, operation in self.document.operations():
            if operation["x-weir-auth"] == "none" or operation.get("x-weir-scope") == "streams":
                continue
            with self.nothing_changes("api_keys"):  # when it was used last
                answer = self.send(path, method, operation, self.good(operation), token=self.ada.key)
                self.refused(answer, operation["operationId"], 403)
                self.assertIn(answer.code, ("SCOPE_MISSING", "ROLE_MISSING"), operation["operationId"])
        answer = self.weir.request("GET", f"{self.base}/api/v1/streams", None, {"Authorization": f"Bearer {self.ada.key}"})
        self.assertEqual(answer.status, 200)

    def test_cursors(self):
        """A cursor is the client's to send back, and to change: it leads nowhere else, whatever is put into it."""
        self.ada.ask("PUT", f"users/me/history/{self.bobs['video'][1]}", {"position_ms": 1})
        for i in range(2):
            self.ada.ask("POST", "playlists", {"title": f"ada's list {i}"})
            self.ada.ask("POST", f"videos/{self.adas['video'][1]}/comments", {"text": f"ada says {i}"})
        hers, mended = {one for pair in self.adas.values() for one in pair if one}, 0
        for path, method, operation, names in self.of_users():
            if method != "get" or "cursor" not in {p["name"] for p in self.document.parameters(operation, "query")}:
                continue
            query = f"?limit=1{'&q=ada' if 'q' in {p['name'] for p in self.document.parameters(operation, 'query')} else ''}"
            ask = lambda more, who, path=path, operation=operation, names=names, query=query: self.send(  # noqa: E731
                path, "get", operation, query=query + more, values=self.ids(names, 1), token=who.token)
            answer = ask("", self.ada)
            cursor = answer.json().get("next") if answer.status == 200 else None
            for bad in ("", "A", "%00", "x" * 3000, "AAAA", "e30", "W10", "bnVsbA"):
                self.refused(ask(f"&cursor={bad}", self.ada), (path, bad), 400, 422)
            if cursor is None:
                continue
            if "/me/" in path or path.endswith("/playlists"):  # of Bob's own, whatever Ada's cursor says
                told = ask(f"&cursor={cursor}", self.bob).body.decode()
                self.assertEqual([one for one in hers if one in told], [], path)
            for text in self.bent(cursor):
                answer = ask(f"&cursor={text}", self.ada)
                self.assertIn(answer.status, (200, 422), (path, text, answer.body))
                mended += 1
        self.assertGreater(mended, 100)

    @staticmethod
    def bent(cursor):
        """The cursor with each of its parts replaced by what it is not."""
        def code(data):
            return base64.urlsafe_b64encode(data).decode().rstrip("=")

        plain, around = base64.urlsafe_b64decode(cursor + "==="), code
        if plain[:1] == b"h":  # the history's, which goes on in months
            yield from (code(text) for text in (b"h", b"w", b"h[]", b"wx", b"w2026-13", b"w2026-02", b"w" + b"9" * 60, b"w\x00", b"x"))
            plain, around = base64.urlsafe_b64decode(plain[1:] + b"==="), lambda data: code(b"h" + code(data).encode())
        whole = json.loads(plain)

        def inside(node):
            for value in (None, True, -1, 1 << 62, 1.5, "", "x", "x" * 500, "\u0000", [], {}, {"$gt": ""}, ["$where", "1"], [[[]]]):
                yield value
            if isinstance(node, (list, dict)):
                for at in range(len(node)) if isinstance(node, list) else list(node):
                    for value in inside(node[at]):
                        copy = list(node) if isinstance(node, list) else dict(node)
                        copy[at] = value
                        yield copy
                yield node + node[-1:] if isinstance(node, list) else {**node, "more": 1}

        for one in inside(whole):
            yield around(json.dumps(one).encode())

    def test_nothing_else_is_told(self):
        """The refusal of what is hers says the same as that of what never was."""
        for path, method, operation, names in self.of_users():
            if not names or any(self.adas[name][0] is None for name in names):
                continue
            good = self.good(operation)
            hers = self.send(path, method, operation, good, values=self.ids(names, 0), token=self.bob.token)
            nobodys = self.send(path, method, operation, good, values={n: re.sub("[0-9a-z]", "0", self.ids(names, 0)[n]) for n in names}, token=self.bob.token)
            self.assertEqual((hers.status, hers.body), (nobodys.status, nobodys.body), operation["operationId"])


if __name__ == "__main__":
    unittest.main()
