# SPDX-License-Identifier: Apache-2.0
"""Reads an MPD as a player would: well-formed XML, one SegmentURL for each step of the time line,
links to blobs only, ids that do not repeat. Prints what it found; a fault raises."""
import re
import sys
import xml.etree.ElementTree as ET

NS = "{urn:mpeg:dash:schema:mpd:2011}"
BLOB = re.compile(r"^\.\./\.\./b/[0-9a-f]{32}\.(m4s|mp4|vtt|jpg)$")

mpd = ET.parse(sys.argv[1]).getroot()
assert mpd.tag == NS + "MPD" and mpd.get("type") == "static"
assert re.match(r"^PT\d+\.\d{3}S$", mpd.get("mediaPresentationDuration"))
ids = []
for adaptation in mpd.iter(NS + "AdaptationSet"):
    ids.append(("set", adaptation.get("id")))
    kinds = [child.tag.removeprefix(NS) for child in adaptation]
    order = ["Label", "Role", "SegmentTemplate", "Representation"]  # as the schema wants them
    assert kinds == sorted(kinds, key=order.index), kinds
    for rep in adaptation.iter(NS + "Representation"):
        ids.append(("representation", rep.get("id")))
        assert int(rep.get("bandwidth")) > 0
        segments = rep.find(NS + "SegmentList")
        if adaptation.find(NS + "SegmentTemplate") is not None:
            assert "$Number$" in adaptation.find(NS + "SegmentTemplate").get("media")
            print(adaptation.get("contentType"), rep.get("id"), "template")
            continue
        if segments is None:
            assert BLOB.match(rep.find(NS + "BaseURL").text)
            print(adaptation.get("contentType"), rep.get("id"), "file")
            continue
        assert all(s.get("r") is None for s in segments.iter(NS + "S"))  # dash.js: see dash.c
        steps = list(segments.iter(NS + "S"))
        urls = [u.get("media") for u in segments.iter(NS + "SegmentURL")]
        assert len(urls) == len(steps), (len(urls), len(steps))
        init = segments.find(NS + "Initialization")
        for url in urls + ([init.get("sourceURL")] if init is not None else []):
            assert BLOB.match(url), url
        first = segments.find(NS + "SegmentTimeline/" + NS + "S").get("t")
        offset = segments.get("presentationTimeOffset", "0")
        print(adaptation.get("contentType"), rep.get("id"), len(urls), "from", first, "-", offset)
assert len(set(ids)) == len(ids), ids
for label in mpd.iter(NS + "Label"):
    print("label", ascii(label.text))
