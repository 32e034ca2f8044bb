# SPDX-License-Identifier: Apache-2.0
"""What the control benchmark puts into a database before it asks: users, log-ins, videos, as weir-control stores them; and what
viewers type when they look for something."""
import json
import time

import titles

LENGTHS = ((4 * 60_000, "short"), (20 * 60_000, "medium"))


def video(of, number, now_ms):
    """titles.py's as a document of the collection videos, published."""
    at = now_ms - number * 60_000
    length = next((name for below, name in LENGTHS if of["duration_ms"] < below), "long")
    doc = {"id": of["asset"], "title": of["title"], "named": True, "path": of["categories"], "length": length, "state": "published",
           "countries": ["*"], "published_ms": at, "created_ms": at, "updated_ms": at, "rev": 1}
    doc.update({k: of[k] for k in ("summary", "kind", "categories", "tags", "language", "audio", "subtitles", "duration_ms",
                                   "height", "tier")})
    if of["age"] is not None:
        doc["age"] = of["age"]
    return doc


def lines(videos, users, logins):
    """COLLECTION TAB JSON, for control-fill."""
    now_ms = int(time.time() * 1000)
    for number, of in enumerate(videos):
        yield "videos\t" + json.dumps(video(of, number, now_ms), ensure_ascii=False)
    for i in range(users):
        yield "users\t" + json.dumps({"id": f"user-{i}", "email": f"viewer{i}@example.org", "role": "premium", "created_ms": now_ms,
                                      "verified_ms": now_ms, "name": f"Viewer {i}"})
    for i in range(logins):
        yield "sessions\t" + json.dumps({"id": f"login-{i}", "user": f"user-{i}", "device": "bench", "address": "127.0.0.1",
                                         "family": "0" * 64, "refresh": "0" * 64, "created_ms": now_ms, "seen_ms": now_ms,
                                         "expires_ms": now_ms + 7 * 86_400_000})


STOP = ("the", "of", "and", "in", "a", "from", "tells", "meets")


class Queries:
    """What is typed, of each kind; drawn so that no two runs of a kind ask the same in the same order."""

    def __init__(self, videos):
        self.videos = videos
        self.dice = titles.Dice(4711)
        self.categories = sorted({c for v in videos[:2000] for c in v["categories"]})

    def words(self, count=1):
        while True:
            found = [w.strip(":,") for w in self.dice.of(self.videos)["title"].split() if w.lower() not in STOP and len(w) > 2]
            if len(found) >= count:
                return found[:count]

    def one(self, kind):
        """(path below /api/v1/videos/, query)"""
        dice = self.dice
        if kind == "one word":
            return "search", {"q": self.words()[0] + " "}
        if kind == "two words":
            return "search", {"q": " ".join(self.words(2)) + " "}
        if kind == "a typing error":
            return "search", {"q": titles.misspelt(" ".join(self.words(2)), dice) + " "}
        if kind == "suggestions as one types":
            word = self.words()[0]
            return "suggest", {"q": word[:2 + dice.below(max(len(word) - 2, 1))]}
        if kind == "a word in a category":
            return "search", {"q": self.words()[0] + " ", "category": dice.of(self.categories)}
        if kind == "stop words":
            return "search", {"q": f"{dice.of(STOP)} {dice.of(STOP)} {self.words()[0][:3]}"}
        if kind == "one to three letters":
            return "search", {"q": self.words()[0][:1 + dice.below(3)], "duration_min": dice.below(60_000)}
        assert kind == "a word with facets"
        return "search", {"q": self.words()[0] + " ", "facets": "true", "duration_min": dice.below(60_000)}


KINDS = ("one word", "two words", "a typing error", "suggestions as one types", "a word in a category", "stop words",
         "one to three letters", "a word with facets")
