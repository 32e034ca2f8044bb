#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The catalogue that bench/titles.py makes: the same each time, and like a catalogue."""
import collections
import hashlib
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "bench"))
import titles  # noqa: E402  (found by the path above)


class Titles(unittest.TestCase):
    def test_same(self):
        """A seed's videos are the same on every host and in every version: figures can be compared."""
        def digest(count, seed):
            return hashlib.sha256(json.dumps(list(titles.titles(count, seed)), sort_keys=True).encode()).hexdigest()
        self.assertEqual(digest(500, 1), DIGEST)
        self.assertNotEqual(digest(500, 2), DIGEST)
        self.assertEqual(list(titles.titles(10, 1)), list(titles.titles(20, 1))[:10])

    def test_fits(self):
        """Each is what the API takes."""
        for video in titles.titles(2000, 7):
            self.assertRegex(video["asset"], r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z")
            self.assertTrue(1 <= len(video["title"]) <= 300)
            self.assertTrue(1 <= len(video["summary"]) <= 5000)
            self.assertGreater(video["duration_ms"], 0)
            self.assertIn(video["language"], video["audio"])
            self.assertTrue(all(re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", c) for c in video["categories"]))

    def test_like_a_catalogue(self):
        """Few words are everywhere, most are rare; titles seldom repeat."""
        words = collections.Counter()
        seen = collections.Counter()
        for video in titles.titles(20000, 3):
            words.update(re.findall(r"\w+", video["title"].lower()))
            seen[video["title"]] += 1
        self.assertGreater(len(words), 8000)
        self.assertGreater(sum(1 for n in words.values() if n == 1), len(words) // 3)
        self.assertGreater(words["the"], 5000)
        self.assertGreater(len(seen), 14000)

    def test_misspelt(self):
        dice = titles.Dice(1)
        changed = 0
        for video in titles.titles(500, 5):
            wrong = titles.misspelt(video["title"], dice)
            self.assertLessEqual(abs(len(wrong) - len(video["title"])), 1)
            changed += wrong != video["title"]
        self.assertGreater(changed, 400)


DIGEST = "9c19a0e7ca680a1f04d45ad4230654e71a5838d486999e9ab2443e917a100439"

if __name__ == "__main__":
    unittest.main()
