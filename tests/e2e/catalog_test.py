# SPDX-License-Identifier: Apache-2.0
"""The catalogue of a running weir-control: made, published, looked for, talked about; and by whom not."""
import datetime
import json
import pathlib
import sys
import time
import unittest
import urllib.parse

from daemon import until
from people import Person, bearer
from weir import Weir

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import titles  # noqa: E402  (found by the path above)


def moment(seconds):
    """So many seconds from now, as the API writes times."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        cls.addClassCleanup(cls.weir.close)
        cls.weir.start("control")
        cls.viewer = cls.person("viewer@example.org")
        cls.other = cls.person("other@example.org")
        cls.creator = cls.person("creator@example.org")
        answer = cls.operator("PATCH", f"users/{cls.creator.user['id']}", {"role": "creator"})
        assert answer.status == 200, answer.body

    @classmethod
    def person(cls, email):
        person = Person(cls.weir)
        person.user = person.sign_up(email)
        return person

    @classmethod
    def operator(cls, method, path, body=None):
        return Person(cls.weir).call(method, "/api/v1/admin/" + path, body, bearer(cls.weir.secret("admin")))

    def good(self, answer, status=200):
        self.assertEqual(answer.status, status, answer.body)
        return answer.json() if answer.body else None

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.body and answer.code), (status, code), answer.body)

    @classmethod
    def film(cls, asset, title=None, **more):
        """What ingest tells when a film is at the origin."""
        film = {"title": title or asset, "duration_ms": 600000, "height": 1080, "audio": ["en"], "subtitles": [], **more}
        answer = cls.operator("PUT", f"assets/{asset}", film)
        assert answer.status == 200, answer.body
        return answer.json()

    def ids(self, person, path, name="videos"):
        """All pages."""
        found, cursor = [], ""
        while True:
            page = self.good(person.api("GET", path + cursor))
            found += [item["id"] for item in page[name]]
            if page["next"] is None:
                return found
            cursor = ("&" if "?" in path else "?") + "cursor=" + urllib.parse.quote(page["next"])
            self.assertLess(len(found), 1000)


class Videos(Base):
    def test_life(self):
        """A draft, its film, published, changed, withdrawn, gone; each state is seen by those who may."""
        ask = {"asset": "life", "title": "The Life", "kind": "film", "tags": ["long"], "tier": "premium", "language": "de"}
        self.refused(self.viewer.api("POST", "videos", ask), 403, "ROLE_MISSING")
        video = self.good(self.creator.api("POST", "videos", ask), 201)
        self.assertEqual((video["state"], video["owner"], video["poster_url"]), ("draft", self.creator.user["id"], None))
        self.refused(self.creator.api("POST", "videos", ask), 409, "ASSET_TAKEN")
        self.refused(self.viewer.api("GET", "videos/life"), 404, "VIDEO_NOT_FOUND")
        self.refused(self.creator.api("PATCH", "videos/life", {"state": "published"}), 409, "STATE_CONFLICT")
        self.film("life", "a file's name")
        answer = self.creator.api("GET", "videos/life")
        self.assertEqual((self.good(answer)["state"], answer.json()["title"]), ("ready", "The Life"))
        tag = answer.headers["etag"]
        self.assertNotIn("life", self.ids(self.viewer, "videos"))
        changed = self.creator.api("PATCH", "videos/life", {"state": "published", "summary": "All of it"}, If_Match=tag)
        self.assertEqual(self.good(changed)["state"], "published")
        self.assertNotEqual(changed.headers["etag"], tag)
        self.refused(self.creator.api("PATCH", "videos/life", {"summary": "Late"}, If_Match=tag), 412, "REVISION_STALE")
        seen = self.good(self.viewer.api("GET", "videos/life"))
        self.assertEqual((seen["summary"], seen["tier"], seen["length"]), ("All of it", "premium", "short"))
        self.assertTrue(seen["poster_url"].endswith("/v/life/poster.jpg"))
        self.assertNotIn("owner", seen)
        self.assertIn("life", self.ids(self.viewer, "videos"))
        self.refused(self.viewer.api("PATCH", "videos/life", {"title": "Mine"}), 403, "NOT_YOURS")
        self.refused(self.viewer.api("DELETE", "videos/life"), 403, "NOT_YOURS")
        self.assertEqual(self.good(self.operator("GET", "videos?state=published&limit=1"))["videos"][0]["id"], "life")
        self.good(self.creator.api("PATCH", "videos/life", {"state": "withdrawn"}))
        self.refused(self.viewer.api("GET", "videos/life"), 404, "VIDEO_NOT_FOUND")
        self.assertIn("life", self.ids(self.creator, "users/me/videos?state=withdrawn"))
        self.good(self.creator.api("DELETE", "videos/life"), 204)
        self.refused(self.creator.api("GET", "videos/life"), 404, "VIDEO_NOT_FOUND")

    def test_conditions(self):
        """Whoever has a thing is told so without getting it again; a count that moves is news, but stands in no change's way."""
        self.film("tagged")
        channel = self.good(self.creator.api("POST", "channels", {"title": "T", "handle": "tagged"}), 201)["id"]
        series = self.good(self.creator.api("POST", "series", {"title": "T"}), 201)["id"]
        playlist = self.good(self.viewer.api("POST", "playlists", {"title": "T"}), 201)["id"]
        self.good(self.viewer.api("PUT", "users/me/favourites/tagged", {}), 201)
        self.good(self.viewer.api("PUT", "users/me/history/tagged", {"position_ms": 5}))
        self.good(self.viewer.api("PUT", f"subscriptions/{channel}", {}), 201)
        self.good(self.viewer.api("PUT", "videos/tagged/stars", {"stars": 3}))
        for path in ("videos/tagged", f"channels/{channel}", f"series/{series}", f"playlists/{playlist}", "users/me", "users/me/plan",
                     "users/me/favourites/tagged", "users/me/history/tagged", f"subscriptions/{channel}", "videos/tagged/stars",
                     "plans", "categories", "users/me/profiles"):
            tag = self.viewer.api("GET", path).headers["etag"]
            self.assertRegex(tag, r'^"[0-9a-f-]+(\+[a-z]+)?"$', path)
            answer = self.viewer.api("GET", path, If_None_Match=tag)
            self.assertEqual((answer.status, answer.body, answer.headers["etag"]), (304, b"", tag), path)
            self.assertEqual(self.viewer.api("GET", path, If_None_Match='"1", ' + tag).status, 304)
            self.assertEqual(self.viewer.api("GET", path, If_None_Match="*").status, 304)
            for other in ('"1"', '"x"', tag.replace('"', ""), tag[:-1] + 'x"'):
                self.assertEqual(self.viewer.api("GET", path, If_None_Match=other).status, 200, (path, other))
        old = self.viewer.api("GET", "videos/tagged").headers["etag"]
        self.good(self.other.api("PUT", "videos/tagged/stars", {"stars": 5}))
        answer = self.viewer.api("GET", "videos/tagged", If_None_Match=old)
        self.assertEqual((answer.status, answer.json()["stars"]["count"]), (200, 2))
        self.assertEqual(self.viewer.api("GET", "videos/tagged?fields=title", If_None_Match=answer.headers["etag"]).status, 200)
        tag = self.creator.api("GET", f"channels/{channel}").headers["etag"]
        self.good(self.other.api("PUT", f"subscriptions/{channel}", {}), 201)
        changed = self.creator.api("PATCH", f"channels/{channel}", {"title": "U"}, If_Match=tag)
        self.assertEqual(self.good(changed)["title"], "U")
        self.refused(self.creator.api("PATCH", f"channels/{channel}", {"title": "V"}, If_Match=tag), 412, "REVISION_STALE")
        self.good(self.creator.api("PATCH", f"channels/{channel}", {"title": "V"}, If_Match=changed.headers["etag"]))
        for wrong in ('"x"', '"-1"', 'W/"1"', '"1'):
            self.refused(self.creator.api("PATCH", f"channels/{channel}", {"title": "V"}, If_Match=wrong), 412, "REVISION_STALE")

    def test_refused(self):
        """What the document forbids, and what it cannot say."""
        for body, code in (({"title": "X", "nonsense": 1}, "BODY_INVALID"), ({"title": {"$gt": ""}}, "BODY_INVALID"),
                           ({"title": "X", "asset": "../x"}, "ASSET_INVALID"),
                           ({"title": "X", "categories": ["none"]}, "CATEGORY_UNKNOWN"),
                           ({"title": "X", "channel": "0" * 32}, "CHANNEL_UNKNOWN"), ({"title": "X", "age": 99}, "BODY_INVALID"),
                           ({"title": "X", "countries_deny": ["QQ"]}, "COUNTRY_INVALID"), ({"title": "X", "countries_deny": ["de"]}, "BODY_INVALID"),
                           ({"title": "X", "state": "scheduled"}, "STATE_CONFLICT"),
                           ({"title": "X", "publish_at": "2030-02-30T00:00:00Z"}, "BODY_INVALID")):
            answer = self.creator.api("POST", "videos", body)
            self.assertIn(answer.status, (409, 422), (body, answer.body))
            self.assertEqual(answer.code, code, (body, answer.body))
        self.refused(self.creator.api("POST", "videos", {"title": "a\u0000b"}), 400, "JSON_INVALID")
        for path in ("videos/%00", "videos/a%2fb", "videos/" + "x" * 200):
            self.assertIn(self.viewer.api("GET", path).status, (400, 404, 422), path)
        self.refused(self.viewer.api("GET", "videos?cursor=bm9uc2Vuc2U"), 422, "CURSOR_INVALID")
        self.refused(self.viewer.api("GET", "videos/search?q=lion&cursor=e30"), 422, "CURSOR_INVALID")
        self.refused(self.viewer.api("GET", "videos/search?q=%21"), 422, "QUERY_EMPTY")
        self.refused(Person(self.weir).api("GET", "videos"), 401, "NOT_LOGGED_IN")

    def test_schedule(self):
        """Published and withdrawn by the clock; also what became due while control was not there."""
        self.good(self.creator.api("POST", "videos", {"asset": "soon", "title": "Soon", "publish_at": moment(4),
                                                      "withdraw_at": moment(9)}), 201)
        self.film("soon")
        self.assertEqual(self.good(self.creator.api("GET", "videos/soon"))["state"], "scheduled")
        self.refused(self.viewer.api("GET", "videos/soon"), 404, "VIDEO_NOT_FOUND")
        until(lambda: self.viewer.api("GET", "videos/soon").status == 200, 30)
        until(lambda: self.viewer.api("GET", "videos/soon").status == 404, 30)
        self.assertEqual(self.good(self.creator.api("GET", "videos/soon"))["state"], "withdrawn")
        self.good(self.creator.api("POST", "videos", {"asset": "later", "title": "Later"}), 201)
        self.film("later")
        due = time.time() + 2
        self.good(self.creator.api("PATCH", "videos/later", {"state": "scheduled", "publish_at": moment(2)}))
        self.weir.kill("control")
        until(lambda: time.time() > due, 30)
        self.weir.start("control")
        until(lambda: self.viewer.api("GET", "videos/later").status == 200, 30)

    def test_lists(self):
        """Pages, conditions, chosen members."""
        root = {"id": "nature", "name": "Nature"}
        self.good(self.operator("POST", "categories", root), 201)
        self.good(self.operator("POST", "categories", {"id": "birds", "name": "Birds", "parent": "nature"}), 201)
        for number in range(7):
            asset = f"list-{number}"
            self.good(self.creator.api("POST", "videos", {
                "asset": asset, "title": f"Listed {number}", "kind": "clip" if number % 2 else "film",
                "categories": ["birds"] if number < 3 else [], "publish_when_ready": True, "tier": "basic"}), 201)
            self.film(asset, duration_ms=(number + 1) * 10 * 60000, audio=["de", "en"] if number == 5 else ["en"])
        own = [f"list-{n}" for n in range(6, -1, -1)]
        self.assertEqual(self.ids(self.viewer, "videos?limit=2&tier=basic"), own)
        self.assertEqual(self.ids(self.viewer, "videos?category=nature"), ["list-2", "list-1", "list-0"])
        self.assertEqual(self.ids(self.viewer, "videos?kind=clip&tier=basic"), ["list-5", "list-3", "list-1"])
        self.assertEqual(self.ids(self.viewer, "videos?language=de&tier=basic"), ["list-5"])
        self.assertEqual(self.ids(self.viewer, "videos?length=short&length=long&tier=basic"), ["list-6", "list-5", "list-0"])
        self.assertEqual(self.ids(self.viewer, "videos?duration_min=2400000&duration_max=3000000&tier=basic"),
                         ["list-4", "list-3"])
        self.assertEqual(self.ids(self.viewer, "videos?published_below=2020-01-01T00:00:00Z"), [])
        chosen = self.good(self.viewer.api("GET", "videos?tier=basic&limit=1&fields=id,title"))
        self.assertEqual(chosen["videos"], [{"id": "list-6", "title": "Listed 6"}])
        tree = self.good(self.viewer.api("GET", "categories"))["categories"]
        nature = next(c for c in tree if c["id"] == "nature")
        self.assertEqual([c["id"] for c in nature["children"]], ["birds"])
        self.refused(self.operator("DELETE", "categories/nature"), 409, "CATEGORY_HAS_CHILDREN")
        self.good(self.operator("PATCH", "categories/birds", {"parent": None}))
        until(lambda: self.ids(self.viewer, "videos?category=nature") == [], 30)
        self.good(self.operator("DELETE", "categories/birds"), 204)
        until(lambda: self.good(self.viewer.api("GET", "videos/list-0"))["categories"] == [], 30)

    def test_profiles(self):
        """A child's profile sees what is for its age, and nothing that nobody has rated."""
        parent = self.person("parent@example.org")
        for asset, age in (("for-all", 0), ("for-12", 12), ("unrated", None)):
            self.good(self.creator.api("POST", "videos", {"asset": asset, "title": asset, "age": age, "kind": "talk",
                                                          "publish_when_ready": True}), 201)
            self.film(asset)
        self.assertEqual(len(self.ids(parent, "videos?kind=talk")), 3)
        child = self.good(parent.api("POST", "users/me/profiles", {"name": "Child", "rating_max": 6}), 201)
        child = child.get("profile", child)
        self.assertIn(parent.api("POST", f"users/me/profiles/{child['id']}/choose").status, (200, 204))
        self.assertEqual(self.ids(parent, "videos?kind=talk"), ["for-all"])
        self.refused(parent.api("GET", "videos/for-12"), 403, "AGE_RESTRICTED")
        self.refused(parent.api("PUT", "users/me/history/unrated", {"position_ms": 1}), 403, "AGE_RESTRICTED")
        found = self.good(parent.api("GET", "videos/search?q=for"))["videos"]
        self.assertEqual([v["id"] for v in found], ["for-all"])


class Search(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = list(titles.titles(300, 11))
        for video in cls.made:
            cls.film(video["asset"], video["title"], audio=video["audio"], duration_ms=video["duration_ms"])
        cls.film("casablanca", "Casablanca", audio=["en", "fr"])
        cls.film("hidden", "Casablanca Secrets")
        answer = cls.operator("GET", "videos?limit=1")
        assert answer.status == 200
        cls.weir.stop("control")
        cls.weir.start("control")  # reads the words of all titles at its start
        cls.titles = {video["asset"]: video["title"] for video in cls.made}

    def search(self, text, more=""):
        return self.good(self.viewer.api("GET", "videos/search?q=" + urllib.parse.quote(text) + more))

    def test_typos(self):
        until(lambda: self.search("casblanca ")["videos"], 30)  # the words are read by now
        for text in ("casablanca ", "CASABLANCA ", "Cásablancä ", "csablanca ", "cassablanca ", "casabalnca ", "kasablanka "):
            self.assertIn("casablanca", [v["id"] for v in self.search(text)["videos"]], text)
        self.assertEqual(self.search("casblanca ")["corrected"], ["casablanca"])
        self.assertEqual(self.search('"casblanca" ')["videos"], [])
        self.assertEqual(self.search("casablanca ")["corrected"], [])
        dice, found = titles.Dice(5), 0
        for video in self.made[:60]:
            wrong = titles.misspelt(video["title"], dice)
            found += video["asset"] in [v["id"] for v in self.search(wrong + " ", "&limit=100")["videos"]]
        self.assertGreater(found, 45, "most titles are found with one mistake in them")

    def test_whole(self):
        for video in self.made[:60]:
            page = self.search(video["title"] + " ", "&limit=500")
            self.assertIn(video["asset"], [v["id"] for v in page["videos"]], video["title"])

    def test_pages_and_facets(self):
        whole = self.search("the ", "&limit=500&facets=true")
        expected = sum("the" in title.lower().replace(":", " ").split() for title in self.titles.values())
        self.assertEqual((len(whole["videos"]), whole["total"]), (expected, expected))
        self.assertEqual(sum(whole["facets"]["length"].values()), expected)
        self.assertEqual(self.ids(self.viewer, "videos/search?q=the%20&limit=7"), [v["id"] for v in whole["videos"]])
        english = self.search("the ", "&limit=500&language=en&facets=true")
        self.assertEqual(english["total"], whole["facets"]["language"]["en"])
        self.assertTrue(all("en" in v["audio"] for v in english["videos"]))

    def test_suggest(self):
        suggest = lambda text: self.good(self.viewer.api("GET", "videos/suggest?q=" + urllib.parse.quote(text)))["suggestions"]
        self.assertIn("Casablanca", suggest("casab"))
        self.assertEqual(self.good(self.viewer.api("GET", "videos/suggest?q=the&limit=3"))["suggestions"].__len__(), 3)
        self.assertEqual(suggest("%"), [])


class Social(Base):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        answer = cls.creator.api("POST", "videos", {"asset": "film", "title": "Film", "publish_when_ready": True})
        assert answer.status == 201, answer.body
        cls.film("film")
        cls.film("second")

    def test_stars(self):
        self.assertEqual(self.good(self.viewer.api("GET", "videos/film/stars")), {"stars": None, "count": 0, "average": None})
        self.good(self.viewer.api("PUT", "videos/film/stars", {"stars": 5}))
        self.good(self.other.api("PUT", "videos/film/stars", {"stars": 2}))
        self.assertEqual(self.good(self.viewer.api("PUT", "videos/film/stars", {"stars": 4})),
                         {"stars": 4, "count": 2, "average": 3.0})
        self.assertEqual(self.good(self.viewer.api("GET", "videos/film"))["stars"], {"count": 2, "average": 3.0})
        self.good(self.other.api("DELETE", "videos/film/stars"), 204)
        self.good(self.other.api("DELETE", "videos/film/stars"), 204)
        self.assertEqual(self.good(self.viewer.api("GET", "videos/film"))["stars"], {"count": 1, "average": 4.0})
        for stars in (0, 6, 2.5, "3", None):
            self.refused(self.viewer.api("PUT", "videos/film/stars", {"stars": stars}), 422, "BODY_INVALID")
        self.refused(self.viewer.api("PUT", "videos/none/stars", {"stars": 3}), 404, "VIDEO_NOT_FOUND")

    def test_comments(self):
        path = "videos/film/comments"
        first = self.good(self.viewer.api("POST", path, {"text": "First!\nReally."}), 201)
        reply = self.good(self.other.api("POST", path, {"text": "So?", "parent": first["id"]}), 201)
        self.good(self.viewer.api("POST", path, {"text": "So!", "parent": reply["id"]}), 201)
        second = self.good(self.other.api("POST", path, {"text": "Second"}), 201)
        self.assertEqual(self.ids(self.viewer, path + "?limit=1", "comments"), [second["id"], first["id"]])
        replies = self.good(self.viewer.api("GET", f"{path}/{first['id']}/replies"))["comments"]
        self.assertEqual([r["text"] for r in replies], ["So?", "So!"])
        self.assertEqual(self.good(self.viewer.api("GET", "videos/film"))["comments"], 4)
        self.refused(self.viewer.api("PATCH", f"{path}/{second['id']}", {"text": "mine"}), 403, "NOT_YOURS")
        self.refused(self.viewer.api("DELETE", f"{path}/{second['id']}"), 403, "NOT_YOURS")
        self.assertEqual(self.good(self.other.api("PATCH", f"{path}/{second['id']}", {"text": "2nd"}))["text"], "2nd")
        self.good(self.creator.api("DELETE", f"{path}/{second['id']}"), 204)  # it is their video
        self.refused(self.other.api("DELETE", f"{path}/{second['id']}"), 404, "COMMENT_NOT_FOUND")
        self.good(self.viewer.api("DELETE", f"{path}/{first['id']}"), 204)
        left = self.good(self.viewer.api("GET", path))["comments"]
        self.assertEqual([(c["deleted"], c["text"], c["user"], c["replies"]) for c in left], [(True, None, None, 2)])
        self.assertEqual(self.good(self.viewer.api("GET", "videos/film"))["comments"], 2)
        self.refused(self.viewer.api("POST", "videos/second/comments", {"text": "x", "parent": reply["id"]}), 404,
                     "COMMENT_NOT_FOUND")
        for text in ("", "x" * 4001, "a\u0001b", 7):
            self.refused(self.viewer.api("POST", path, {"text": text}), 422, "BODY_INVALID")

    def test_history(self):
        self.refused(self.viewer.api("GET", "users/me/history/film"), 404, "HISTORY_NOT_FOUND")
        self.good(self.viewer.api("PUT", "users/me/history/film", {"position_ms": 1000}))
        self.good(self.viewer.api("PUT", "users/me/history/second", {"position_ms": 590000}))
        entry = self.good(self.viewer.api("PUT", "users/me/history/film", {"position_ms": 2000}))
        self.assertEqual((entry["position_ms"], entry["title"], entry["done"]), (2000, "Film", False))
        seen = self.good(self.viewer.api("GET", "users/me/history"))["history"]
        self.assertEqual([(s["video"], s["done"]) for s in seen], [("film", False), ("second", True)])
        self.assertEqual(self.good(self.other.api("GET", "users/me/history"))["history"], [])
        self.good(self.viewer.api("DELETE", "users/me/history/film"), 204)
        self.assertEqual(len(self.good(self.viewer.api("GET", "users/me/history"))["history"]), 1)
        self.good(self.viewer.api("DELETE", "users/me/history"), 204)
        self.assertEqual(self.good(self.viewer.api("GET", "users/me/history"))["history"], [])
        self.refused(self.viewer.api("GET", "users/me/history?cursor=AAAA"), 422, "CURSOR_INVALID")

    def test_history_of_users(self):
        """What an operator sees of it: weirctl history."""
        def weirctl(*args, code=0):
            result = self.weir.run("history", *args)
            self.assertEqual(result.returncode, code, result.stderr)
            return result.stdout
        ann = self.person("watches@example.org")
        self.good(ann.api("PUT", "users/me/history/film", {"position_ms": 61000}))
        profile = self.good(ann.api("POST", "users/me/profiles", {"name": "P"}), 201)["id"]
        self.good(ann.api("POST", f"users/me/profiles/{profile}/choose"))
        self.good(ann.api("PUT", "users/me/history/second", {"position_ms": 590000}))
        shown = weirctl("show", "watches@example.org").splitlines()
        self.assertEqual([line.split()[1:] for line in shown],
                         [["0:09:50", "done", "second", profile], ["0:01:01", "film", ann.user["id"]]])
        lines = [json.loads(line) for line in weirctl("export", ann.user["id"]).splitlines()]
        self.assertEqual([(e["video"], e["viewer"], e["position_ms"]) for e in lines],
                         [("second", profile, 590000), ("film", ann.user["id"], 61000)])
        status = json.loads(weirctl("status", "--json"))
        self.assertGreaterEqual(status["hot"], 2)
        self.assertEqual((status["warm"], status["warm_oldest"], status["archive"]), (0, None, None))
        self.assertIn("archive: none", weirctl("status"))
        self.assertEqual(weirctl("clear", "watches@example.org"), "")
        self.assertEqual(weirctl("show", "watches@example.org"), "")
        self.assertEqual(self.good(ann.api("GET", "users/me/history"))["history"], [])
        weirctl("show", "nobody@example.org", code=1)
        for wrong in ((), ("show",), ("status", "x"), ("show", "a", "--json"), ("forget", "a")):
            weirctl(*wrong, code=2)
        self.refused(ann.api("GET", f"admin/users/{ann.user['id']}/history"), 403, "ROLE_MISSING")
        acts = [a["operation"] for a in self.good(self.operator("GET", "audit?limit=100"))["acts"]]
        self.assertIn("history_list_of", acts)  # who looks is written down
        self.assertIn("history_clear_of", acts)

    def test_favourites(self):
        self.good(self.viewer.api("PUT", "users/me/favourites/film", {}), 201)
        self.good(self.viewer.api("PUT", "users/me/favourites/film", {}), 200)
        self.good(self.viewer.api("PUT", "users/me/favourites/second", {}), 201)
        listed = self.good(self.viewer.api("GET", "users/me/favourites"))["favourites"]
        self.assertEqual([f["video"] for f in listed], ["second", "film"])
        self.refused(self.other.api("GET", "users/me/favourites/film"), 404, "FAVOURITE_NOT_FOUND")
        self.good(self.viewer.api("DELETE", "users/me/favourites/film"), 204)
        self.assertEqual(len(self.good(self.viewer.api("GET", "users/me/favourites"))["favourites"]), 1)

    def test_channels(self):
        self.refused(self.viewer.api("POST", "channels", {"handle": "mine", "title": "Mine"}), 403, "ROLE_MISSING")
        channel = self.good(self.creator.api("POST", "channels", {"handle": "ours", "title": "Ours"}), 201)
        self.refused(self.creator.api("POST", "channels", {"handle": "ours", "title": "Again"}), 409, "HANDLE_TAKEN")
        path = f"subscriptions/{channel['id']}"
        self.good(self.viewer.api("PUT", path, {}), 201)
        self.good(self.viewer.api("PUT", path, {}), 200)
        self.good(self.other.api("PUT", path, {}), 201)
        self.assertEqual(self.good(self.viewer.api("GET", "channels/@ours"))["followers"], 2)
        self.good(self.other.api("DELETE", path), 204)
        self.assertEqual(self.good(self.viewer.api("GET", f"channels/{channel['id']}"))["followers"], 1)
        self.assertEqual(self.good(self.viewer.api("GET", "subscriptions"))["subscriptions"][0]["channel"], channel["id"])
        self.refused(self.viewer.api("PATCH", f"channels/{channel['id']}", {"title": "Mine"}), 403, "NOT_YOURS")
        self.good(self.creator.api("PATCH", "videos/film", {"channel": channel["id"]}))
        self.assertEqual(self.ids(self.viewer, f"videos?channel={channel['id']}"), ["film"])
        self.good(self.creator.api("DELETE", f"channels/{channel['id']}"), 204)
        until(lambda: self.good(self.viewer.api("GET", "subscriptions"))["subscriptions"] == [], 30)
        until(lambda: self.good(self.viewer.api("GET", "videos/film"))["channel"] is None, 30)

    def test_series(self):
        ask = {"title": "The Series", "seasons": [{"number": 1, "title": "One"}, {"number": 2}]}
        series = self.good(self.creator.api("POST", "series", ask), 201)
        for number, (season, episode) in enumerate(((2, 1), (1, 2), (1, 1))):
            self.good(self.creator.api("POST", "videos", {
                "asset": f"episode-{number}", "title": f"E{number}", "kind": "episode", "series": series["id"], "season": season,
                "episode": episode, "publish_when_ready": True}), 201)
            self.film(f"episode-{number}")
        path = f"series/{series['id']}/episodes"
        self.assertEqual(self.ids(self.viewer, path + "?limit=2"), ["episode-2", "episode-1", "episode-0"])
        self.assertEqual(self.ids(self.viewer, path + "?season=1"), ["episode-2", "episode-1"])
        self.good(self.creator.api("DELETE", f"series/{series['id']}"), 204)
        self.refused(self.viewer.api("GET", path), 404, "SERIES_NOT_FOUND")
        until(lambda: self.good(self.viewer.api("GET", "videos/episode-0"))["series"] is None, 30)

    def test_playlists(self):
        mine = self.good(self.viewer.api("POST", "playlists", {"title": "Mine"}), 201)
        path = f"playlists/{mine['id']}"
        self.assertEqual(mine["access"], "private")
        self.good(self.viewer.api("PUT", path + "/items/film", {}))
        answer = self.viewer.api("PUT", path + "/items/second", {"position": 0})
        self.assertEqual([i["video"] for i in self.good(answer)["items"]], ["second", "film"])
        self.refused(self.viewer.api("PUT", path + "/items/none", {}), 404, "VIDEO_NOT_FOUND")
        self.refused(self.viewer.api("PUT", path + "/order", {"videos": ["film"]}), 422, "ORDER_INVALID")
        tag = answer.headers["etag"]
        ordered = self.good(self.viewer.api("PUT", path + "/order", {"videos": ["film", "second"]}, If_Match=tag))
        self.assertEqual([i["title"] for i in ordered["items"]], ["Film", "second"])
        self.refused(self.viewer.api("DELETE", path + "/items/film", If_Match=tag), 412, "REVISION_STALE")
        self.refused(self.other.api("GET", path), 404, "PLAYLIST_NOT_FOUND")
        self.good(self.viewer.api("PATCH", path, {"access": "unlisted"}))
        self.assertEqual(self.good(self.other.api("GET", path))["count"], 2)
        self.refused(self.other.api("DELETE", path), 403, "NOT_YOURS")
        self.assertEqual(self.ids(self.other, "playlists?public=true", "playlists"), [])
        self.good(self.viewer.api("PATCH", path, {"access": "public"}))
        self.assertEqual(self.ids(self.other, "playlists?public=true", "playlists"), [mine["id"]])
        self.good(self.viewer.api("DELETE", path), 204)
        self.refused(self.viewer.api("GET", path), 404, "PLAYLIST_NOT_FOUND")


if __name__ == "__main__":
    unittest.main()
