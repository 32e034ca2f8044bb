#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A catalogue that could be one: titles.py [COUNT] [SEED] prints a video a line as JSON.

The same seed gives the same videos on every host: nothing is drawn but from a generator of our own. Words are as unevenly common as
in real catalogues (a few are everywhere, most are in a handful of titles): half of a title's words come from short lists, the names
of people and places are made of syllables, so that there are tens of thousands of them.

Each has what PUT /api/v1/admin/assets/<asset> takes (title, duration_ms, height, audio, subtitles), its "asset", and what PATCH
/api/v1/videos/<asset> adds: summary, kind, tags, categories, language, tier, age."""
import json
import sys

ADJECTIVES = """last first dark silent golden lost hidden broken secret wild cold burning forgotten long little great red white black
blue bitter sweet brave blind crooked distant double eternal fallen false final frozen gentle hollow holy hungry idle iron lonely lucky
mad midnight modern naked new northern old pale perfect quiet restless royal ruined sacred savage sharp sleeping slow small southern
stolen strange sudden tender thin third velvet warm western wicked winter wooden young""".split()
NOUNS = """night day house river heart king queen city garden summer war road island dream winter shadow light train mother father son
daughter brother sister stranger soldier doctor teacher thief hunter dancer singer painter captain prince witch ghost wolf horse lion
tiger crow fox bear bird fish rose tree forest mountain valley desert sea ocean storm rain snow wind fire stone sand glass mirror window
door key letter book song story secret promise lie truth crime murder trial prison escape return journey voyage border bridge tower
castle church school hospital hotel station harbour lighthouse circus theatre orchestra machine engine clock signal code map star moon
sun planet comet orbit dust bread wine salt honey silk paper ink bone blood breath silence echo memory""".split()
VERBS = """loving finding losing chasing leaving saving meeting crossing building breaking waking following forgetting remembering
painting stealing hunting feeding raising burning""".split()
FIRST = """Anna Marie Clara Ada Ines Nora Mila Lena Ruth Vera Olga Greta Elsa Hana Yuki Aiko Mei Lin Amara Zuri Nia Leila Farah Yasmin
Sofia Lucia Carmen Paula Rosa Jonas Emil Otto Karl Hugo Oskar Anton Ivan Boris Sergei Marek Pavel Tomas Luca Marco Diego Mateo Rafael
Omar Tariq Samir Kofi Kwame Jabari Kenji Hiro Wei Jun Arjun Ravi Dev Max Leo Ben Sam Jack Tom Will Frank Henry George Arthur""".split()
STARTS = "b br c ch d dr f fr g gr h j k kl kr l m n p pr qu r s sch sh sk st str t tr v w z".split()
VOWELS = "a e i o u au ei ia ie oa ou ä ö ü é".split()
MIDDLES = "b d g k l ll m n nd ng nn p r rr rt s ss st t tt v z x".split()
ENDS = ["", "", "n", "r", "s", "son", "man", "berg", "ski", "sen", "stein", "ez", "ini", "ov", "ton", "field", "wick", "ano"]
PLACES = ["", "", "", "ville", "burg", "stadt", "dorf", "haven", "port", "mouth", "by", "grad", "ford"]
KINDS = [("film", 30), ("episode", 34), ("clip", 12), ("short", 8), ("talk", 6), ("music", 5), ("sport", 3), ("other", 2)]
TIERS = [("free", 40), ("basic", 25), ("premium", 25), ("ultimate", 10)]
AGES = [(0, 30), (6, 20), (12, 25), (16, 18), (18, 7)]
LANGUAGES = [("en", 45), ("de", 15), ("fr", 10), ("es", 10), ("ja", 6), ("it", 5), ("sv", 3), ("pl", 3), ("ko", 3)]
CATEGORIES = {"film": ["drama", "comedy", "thriller", "crime", "romance", "horror", "western", "adventure", "animation"],
              "knowledge": ["history", "nature", "space", "science", "travel", "food"],
              "stage": ["music", "theatre", "dance"], "sport": ["football", "cycling", "athletics"]}
HEIGHTS = [(480, 15), (720, 25), (1080, 45), (2160, 15)]


class Dice:
    """splitmix64: the same everywhere, whatever Python's own generator does."""

    def __init__(self, seed):
        self.state = seed & (2 ** 64 - 1)

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & (2 ** 64 - 1)
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2 ** 64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2 ** 64 - 1)
        return z ^ (z >> 31)

    def below(self, n):
        return self.next() * n >> 64

    def of(self, items):
        return items[self.below(len(items))]

    def early(self, items):
        """The first ones far more often than the last."""
        return items[self.below(self.below(len(items)) + 1)]

    def weighted(self, items):
        at = self.below(sum(weight for _, weight in items))
        for value, weight in items:
            at -= weight
            if at < 0:
                return value
        raise AssertionError("weights")


def name(dice, ends):
    parts = [dice.of(STARTS), dice.early(VOWELS)]
    for _ in range(dice.below(2) + (dice.below(3) == 0)):
        parts += [dice.early(MIDDLES), dice.early(VOWELS)]
    return ("".join(parts) + dice.of(ends)).capitalize()


def title(dice):
    def adjective():
        return dice.early(ADJECTIVES).capitalize()

    def noun():
        return dice.early(NOUNS).capitalize()

    def person():
        return f"{dice.of(FIRST)} {name(dice, ENDS)}"

    def place():
        return name(dice, PLACES)

    form = dice.below(12)
    if form < 3:
        return f"The {adjective()} {noun()}"
    if form == 3:
        return f"{adjective()} {noun()}"
    if form == 4:
        return f"{noun()} of {place()}"
    if form == 5:
        return f"The {noun()} and the {noun()}"
    if form == 6:
        return person()
    if form == 7:
        return f"{dice.of(VERBS).capitalize()} {person()}"
    if form == 8:
        return f"A {noun()} in {place()}"
    if form == 9:
        return f"{place()}: {adjective()} {noun()}"
    if form == 10:
        return f"{noun()} {dice.below(9) + 2}: The {adjective()} {noun()}"
    return f"{person()} and the {noun()} of {place()}"


def video(dice, number):
    kind = dice.weighted(KINDS)
    minutes = {"film": (70, 120), "episode": (20, 50), "talk": (10, 80), "sport": (40, 100)}.get(kind, (1, 14))
    language = dice.weighted(LANGUAGES)
    audio = sorted({language} | {dice.weighted(LANGUAGES) for _ in range(dice.below(3))})
    top = dice.early(list(CATEGORIES))
    text = title(dice)
    return {
        "asset": f"title-{number:06d}",
        "title": text,
        "summary": f"{title(dice)} meets {name(dice, ENDS)}. {dice.of(FIRST)} from {name(dice, PLACES)} tells of "
                   f"the {dice.early(NOUNS)} and the {dice.early(NOUNS)}.",
        "kind": kind,
        "tags": sorted({dice.early(NOUNS) for _ in range(dice.below(5))}),
        "categories": [dice.early(CATEGORIES[top])],
        "language": language,
        "audio": audio,
        "subtitles": sorted({dice.weighted(LANGUAGES) for _ in range(dice.below(4))}),
        "duration_ms": (minutes[0] * 60 + dice.below(minutes[1] * 60)) * 1000 + dice.below(1000),
        "height": dice.weighted(HEIGHTS),
        "tier": dice.weighted(TIERS),
        "age": dice.weighted(AGES),
    }


def titles(count=50000, seed=1):
    """So many videos; the first n are the same however many are asked for."""
    dice = Dice(seed)
    for number in range(count):
        yield video(dice, number)


def misspelt(text, dice):
    """One mistake in one of its words of 4 letters or more: what a hasty viewer types."""
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not long:
        return text
    at = dice.of(long)
    word = words[at]
    i = 1 + dice.below(len(word) - 2)
    how = dice.below(4)
    words[at] = (word[:i] + word[i + 1:] if how == 0 else word[:i] + word[i] + word[i:] if how == 1 else
                 word[:i] + word[i + 1] + word[i] + word[i + 2:] if how == 2 else word[:i] + dice.of("aeinrst") + word[i + 1:])
    return " ".join(words)


def main(argv):
    count = int(argv[1]) if len(argv) > 1 else 50000
    seed = int(argv[2]) if len(argv) > 2 else 1
    for each in titles(count, seed):
        print(json.dumps(each, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv)
