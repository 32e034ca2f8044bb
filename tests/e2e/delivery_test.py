# SPDX-License-Identifier: Apache-2.0
"""From a published film to bytes at the edge: every rendition whole, tokens enforced, failures borne."""
import json
import os
import re
import subprocess
import threading
import unittest
import urllib.parse

from api_user import creator
from daemon import until
from weir import Weir, WeirCase, ffprobe_frames, sample

SECONDS, RATE = 24, 25


class Delivery(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start()
        cls.film = sample(cls.path / "film.mkv", SECONDS, "640x480")
        cls.weir.publish(cls.film, "film")
        cls.weir.publish(cls.film, "other", "--ladder", "copy")

    def presentation(self, asset):
        return self.weir.get(self.weir.sign(asset, "--view", "presentation.json")).json()

    def track_url(self, asset, track):
        return self.weir.sign(asset, "--view", f"{track}/index.m3u8")

    def test_every_rendition_decodes_whole(self):
        for asset, renditions in (("film", 3), ("other", 1)):
            video = [t for t in self.presentation(asset)["tracks"] if t["kind"] == "video"]
            self.assertEqual(len(video), renditions, [t["id"] for t in video])
            for track in video:
                frames, complaints = ffprobe_frames(self.track_url(asset, track["id"]), self.weir)
                self.assertEqual(frames, SECONDS * RATE, f"{asset} {track['id']}: {complaints}")
                self.assertEqual(complaints, "", f"{asset} {track['id']}")

    def test_audio_and_subtitles_of_every_language(self):
        tracks = self.presentation("film")["tracks"]
        audio = [t for t in tracks if t["kind"] == "audio"]
        text = [t for t in tracks if t["kind"] == "text"]
        self.assertEqual({t["language"] for t in audio}, {"en", "de"})
        self.assertEqual({t["language"] for t in text}, {"en", "de"})
        for track in audio:
            frames, complaints = ffprobe_frames(self.track_url("film", track["id"]), self.weir, "a:0")
            self.assertAlmostEqual(frames * 1024 / track["sample_rate"], SECONDS, delta=0.1)
            self.assertEqual(complaints, "")
        for track in text:
            playlist = self.track_url("film", track["id"])
            vtt = self.weir.get(urllib.parse.urljoin(playlist, self.weir.links(playlist)[0]))
            self.assertTrue(vtt.body.startswith(b"WEBVTT"), vtt.body[:80])
            self.assertEqual(vtt.body.count(b" --> "), (SECONDS + 4) // 5)
            self.assertEqual(vtt.headers["Content-Type"].split(";")[0], "text/vtt")

    def test_key_frames_are_aligned(self):
        video = [t for t in self.presentation("film")["tracks"] if t["kind"] == "video"]
        shapes = {json.dumps([s[2] / t["timescale"] for s in t["segments"]]) for t in video}
        self.assertEqual(len(shapes), 1, shapes)
        self.assertTrue(all(s[3] > 0 for t in video for s in t["segments"]), "a segment without a key frame first")

    def test_every_rendition_decodes_whole_by_dash(self):
        """One stream at a time: FFmpeg's DASH reader ends all of them at the first that ends."""
        url = self.weir.sign("film", "--view", "manifest.mpd")
        for n in range(3):
            result = subprocess.run(["ffmpeg", "-nostdin", "-v", "warning", "-progress", "-", "-ca_file", self.weir.settings["ca_file"],
                                     "-tls_verify", "1", "-i", url, "-map", f"0:v:{n}", "-fps_mode", "passthrough", "-f", "null", "-"],
                                    capture_output=True, text=True, timeout=300)
            frames = int(re.findall(r"frame=\s*(\d+)", result.stdout)[-1])
            self.assertEqual((frames, result.returncode), (SECONDS * RATE, 0), result.stderr)

    def test_dash_manifest_is_sound(self):
        url = self.weir.sign("film", "--view", "manifest.mpd")
        self.assertEqual(self.weir.get(url).headers["Content-Type"].split(";")[0], "application/dash+xml")
        check = subprocess.run(["xmllint", "--noout", "-"], input=self.weir.get(url).body, capture_output=True)
        self.assertEqual(check.returncode, 0, check.stderr)
        text = self.weir.get(url).body.decode()
        self.assertIn("SegmentTimeline", text)
        self.assertEqual(len(re.findall(r'contentType="text"', text)), 2)

    def test_iframe_playlist_points_at_key_frames(self):
        track = [t for t in self.presentation("film")["tracks"] if t["kind"] == "video"][0]
        playlist = self.weir.sign("film", "--view", f"{track['id']}/iframes.m3u8")
        text = self.weir.get(playlist).body.decode()
        self.assertIn("#EXT-X-I-FRAMES-ONLY", text)
        ranges = re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(\S+)", text)
        self.assertEqual(len(ranges), len(track["segments"]))
        size, offset, link = ranges[0]
        blob = urllib.parse.urljoin(playlist, link)
        part = self.weir.get(blob, Range=f"bytes={offset}-{int(offset) + int(size) - 1}")
        self.assertEqual((part.status, len(part.body)), (206, int(size)))
        init = self.weir.get(urllib.parse.urljoin(playlist, re.search(r'EXT-X-MAP:URI="([^"]+)"', text)[1]))
        picture = self.path / "iframe.mp4"
        picture.write_bytes(init.body + part.body)
        frames, _ = ffprobe_frames(picture)
        self.assertEqual(frames, 1)

    def test_poster_and_thumbnails(self):
        poster = self.weir.get(self.weir.sign("film", "--view", "poster.jpg"))
        self.assertEqual((poster.status, poster.headers["Content-Type"]), (200, "image/jpeg"))
        self.assertEqual(poster.body[:2], b"\xff\xd8")
        sheet = self.weir.sign("film", "--view", "thumbnails.vtt")
        vtt = self.weir.get(sheet)
        link = re.search(r"(\S+\.jpg)#xywh=(\d+),(\d+),(\d+),(\d+)", vtt.body.decode())
        picture = self.weir.get(urllib.parse.urljoin(sheet, link[1]))
        self.assertEqual((picture.status, picture.body[:2]), (200, b"\xff\xd8"))

    def test_a_poster_opens_no_film(self):
        """What the catalogue shows of a title to anybody is no way round its plan and its sessions."""
        session = {"Authorization": f"Bearer {creator(self.weir)}"}
        videos = self.weir.request("GET", self.weir.url("control") + "/api/v1/videos", None, session).json()["videos"]
        poster = next(v["poster_url"] for v in videos if v["asset"] == "film")
        answer = self.weir.get(poster)
        self.assertEqual((answer.status, answer.body[:2]), (200, b"\xff\xd8"))
        links = self.weir.links(self.track_url("film", self.presentation("film")["tracks"][0]["id"]))
        blob = "/b/" + links[0].rsplit("/b/", 1)[1]
        for path in ("/v/film/master.m3u8", "/v/film/manifest.mpd", "/v/film/presentation.json", "/v/other/poster.jpg", blob):
            answer = self.weir.get(poster.replace("/v/film/poster.jpg", path))
            self.assertEqual((answer.status, answer.code), (403, "TOKEN_SCOPE"), path)

    def test_ranges_and_conditions_at_origin_and_edge(self):
        _, blobs = self.weir.signed_paths("film")
        media = [b for b in blobs if b.endswith(".m4s")][0]
        name = media.rsplit("/b/", 1)[1]
        read = {"Authorization": "Bearer " + self.weir.secret("publish")}
        for url, extra in ((media, {}), (f"{self.weir.url('origin')}/b/{name}", read)):
            whole = self.weir.request("GET", url, headers=extra)
            self.assertEqual(whole.status, 200)
            self.assertEqual(whole.headers["ETag"], f'"{name.split(".")[0]}"')
            self.assertIn("immutable", whole.headers["Cache-Control"])
            size = len(whole.body)
            rows = [("bytes=0-", 206, whole.body), ("bytes=0-9", 206, whole.body[:10]),
                    ("bytes=-7", 206, whole.body[-7:]), (f"bytes={size - 1}-{size + 99}", 206, whole.body[-1:]),
                    (f"bytes={size}-", 416, None), ("lines=1-2", 200, whole.body)]
            for value, status, body in rows:
                part = self.weir.request("GET", url, headers={**extra, "Range": value})
                self.assertEqual(part.status, status, value)
                if body is not None:
                    self.assertEqual(part.body, body, value)
            self.assertEqual(self.weir.request("GET", url, headers={**extra, "If-None-Match": whole.headers["ETag"]}).status, 304)
            stale = {**extra, "Range": "bytes=0-9", "If-Range": '"other"'}
            self.assertEqual(len(self.weir.request("GET", url, headers=stale).body), size)
            head = self.weir.request("HEAD", url, headers=extra)
            self.assertEqual((head.status, head.headers["Content-Length"], head.body), (200, str(size), b""))

    def test_tokens(self):
        playlists, blobs = self.weir.signed_paths("film")
        _, foreign = self.weir.signed_paths("other")
        edge = self.weir.url("edge")
        token = re.search(r"URISigningPackage=([^/]+)", playlists[0])[1]
        package = f"{edge}/;URISigningPackage={token}"
        strip = lambda url: edge + url[len(package):]
        refused = [(strip(playlists[0]), "TOKEN_MISSING"), (strip(blobs[0]), "TOKEN_MISSING"),
                   (package + "/v/other/master.m3u8", "TOKEN_SCOPE"),
                   (package + "/v/film/../other/master.m3u8", "TOKEN_SCOPE"),
                   (package + "/b/" + [b for b in foreign if b.rsplit("/", 1)[1] not in {x.rsplit("/", 1)[1] for x in blobs}][0].rsplit("/", 1)[1], "TOKEN_SCOPE")]
        expired = self.weir.sign("film", "--seconds", "0")
        refused.append((expired, "TOKEN_EXPIRED"))
        for position in range(0, len(token), 7):
            changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1:]
            refused.append((f"{edge}/;URISigningPackage={changed}/v/film/master.m3u8", "TOKEN_INVALID"))
            refused.append((f"{edge}/;URISigningPackage={changed}/b/{blobs[0].rsplit('/', 1)[1]}", "TOKEN_INVALID"))
        for url, code in refused:
            answer = self.weir.get(url)
            if code == "TOKEN_SCOPE" and ".." in url:
                self.assertIn(answer.status, (403, 404), url)
                continue
            self.assertEqual((answer.status, answer.headers["Cache-Control"]), (403, "no-store"), url)
            if code != "TOKEN_INVALID":
                self.assertEqual(answer.code, code, url)
        for how in ({"url": strip(playlists[0]) + f"?URISigningPackage={token}"},
                    {"url": strip(playlists[0]), "Cookie": f"a=b; URISigningPackage={token}"}):
            answer = self.weir.get(how.pop("url"), **how)
            self.assertEqual((answer.status, answer.headers["Cache-Control"].split(",")[0]), (200, "private" if how else "public"))
        by_cookie = self.weir.get(strip(blobs[0]), Cookie=f"URISigningPackage={token}")
        self.assertEqual((by_cookie.status, by_cookie.headers["Cache-Control"].split(",")[0]), (200, "private"))
        self.assertNotIn(token, self.weir.log("edge"))
        self.assertNotIn(token, self.weir.log("origin"))

    def test_published_again_and_again(self):
        """Who plays an older edition goes on with it, also over a restart of the edge; nobody gets more."""
        weir = Weir()
        try:
            weir.start()
            editions = []
            for n in range(4):
                film = self.path / f"edition-{n}.mkv"
                subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=320x{180 + 2 * n}:rate=25:duration=4",
                                "-c:v", "libx264", "-preset", "ultrafast", film], check=True)
                weir.publish(film, "film", "--ladder", "copy")
                url = weir.sign("film", "--view", "presentation.json")
                knows = lambda: f"v{180 + 2 * n}" in weir.get(url).body.decode()
                until(knows, tell=lambda: "the edge does not notice the new edition")
                # Every worker asks by itself; one that is behind learns by a view that it lacks.
                variant = weir.sign("film", "--view", f"v{180 + 2 * n}/index.m3u8")
                self.assertEqual({weir.get(variant).status for _ in range(20)}, {200})
                until(lambda: all(knows() for _ in range(20)), tell=lambda: "a worker does not notice the new edition")
                editions.append(weir.signed_paths("film")[1])
            weir.publish(self.film, "other", "--ladder", "copy")
            foreign = [b.rsplit("/", 1)[1] for b in weir.signed_paths("other")[1]]

            def check():
                for blobs in editions:
                    self.assertEqual({weir.get(b).status for b in blobs}, {200})
                base = editions[0][0].rsplit("/", 1)[0]
                for name in foreign:
                    answer = weir.get(f"{base}/{name}")
                    self.assertEqual((answer.status, answer.code, answer.headers["Cache-Control"]), (403, "TOKEN_SCOPE", "no-store"))
            check()
            weir.kill("edge")
            weir.start("edge")
            check()
            weir.run("remove", "film", check=True)
            until(lambda: weir.get(editions[0][0]).status == 404, tell=lambda: "a removed film is still served")
        finally:
            weir.close()

    def test_views_are_rendered_once(self):
        weir = self.weir
        url = weir.sign("film", "--view", "manifest.mpd")
        first = weir.get(url)
        before = weir.metric("edge", "weir_edge_views_total")
        for _ in range(40):
            again = weir.get(url)
            self.assertEqual((again.body, again.headers["ETag"]), (first.body, first.headers["ETag"]))
        cores = len(os.sched_getaffinity(0))
        self.assertLess(weir.metric("edge", "weir_edge_views_total") - before, cores, "at most once in each worker")
        capped = weir.get(weir.sign("film", "--height-max", "360", "--view", "manifest.mpd"))
        self.assertNotEqual(capped.body, first.body)

    def test_height_cap(self):
        capped = self.weir.sign("film", "--height-max", "360")
        heights = re.findall(r"RESOLUTION=\d+x(\d+)", self.weir.get(capped).body.decode())
        self.assertTrue(heights and max(map(int, heights)) <= 360, heights)
        highest = max((t for t in self.presentation("film")["tracks"] if t["kind"] == "video"), key=lambda t: t["height"])
        blob = f"{capped.split('/v/')[0]}/b/{highest['segments'][0][0]}.m4s"
        self.assertEqual(self.weir.get(blob).code, "TOKEN_SCOPE")

    def test_credentials(self):
        origin, ingest = self.weir.url("origin"), self.weir.url("ingest")
        for method, url in (("PUT", f"{origin}/blob/{'0' * 32}"), ("PUT", f"{origin}/ref/film"), ("DELETE", f"{origin}/ref/film"),
                            ("POST", f"{origin}/missing"), ("POST", f"{ingest}/jobs"), ("GET", f"{ingest}/jobs")):
            for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong-wrong"}):
                self.assertEqual(self.weir.request(method, url, body="x", headers=headers).status, 401, f"{method} {url}")
        publish = {"Authorization": "Bearer " + self.weir.secret("publish")}
        self.assertEqual(self.weir.request("PUT", f"{origin}/blob/{'0' * 32}", "x", publish).code, "DIGEST_MISMATCH")
        body = {"presentation": "0" * 32}
        self.assertEqual(self.weir.request("PUT", f"{origin}/ref/film", body, publish).code, "PRESENTATION_INVALID")

    def test_one_fetch_for_all_who_wait(self):
        """Sixteen viewers ask a cold edge for the same segment: the origin is asked once."""
        weir = Weir()
        try:
            weir.start()
            weir.publish(self.film, "film", "--ladder", "copy")
            _, blobs = weir.signed_paths("film")
            media = [b for b in blobs if b.endswith(".m4s")]
            before = weir.metric("edge", "weir_edge_misses_total")
            bodies = []
            for url in media[:3]:
                threads = [threading.Thread(target=lambda: bodies.append(weir.get(url).body)) for _ in range(16)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self.assertEqual(len(bodies), 48)
            self.assertEqual(len(set(bodies)), 3)
            self.assertEqual(weir.metric("edge", "weir_edge_misses_total") - before, 3)
        finally:
            weir.close()

    def test_origin_killed_edge_killed(self):
        """What the edge holds still plays without an origin, and after a restart of the edge too."""
        weir = Weir()
        try:
            weir.start()
            weir.publish(self.film, "film", "--ladder", "copy")
            playlists, blobs = weir.signed_paths("film")
            held = {url: weir.get(url).body for url in playlists + blobs}
            weir.kill("origin")
            for url, body in held.items():
                answer = weir.get(url)
                self.assertEqual((answer.status, answer.body == body), (200, True), url)
            weir.kill("edge")
            weir.start("edge")
            for url, body in held.items():
                answer = weir.get(url)
                self.assertEqual((answer.status, answer.body == body), (200, True), url)
            self.assertIn("hit", weir.get(blobs[-1]).headers["Cache-Status"])
            other = weir.sign("unknown")
            self.assertEqual(weir.get(other).code, "UPSTREAM_FAILED")
            weir.start("origin")
            until(lambda: weir.get(other).status == 404)  # the edge tries again in its own time
        finally:
            weir.close()

    def test_cache_status_tells_miss_then_hit(self):
        weir = self.weir
        name = weir.publish(self.film, "fresh", "--ladder", "copy", "--title", "Fresh")
        self.assertEqual(name.returncode, 0)
        _, blobs = weir.signed_paths("film")
        first = weir.get(blobs[-1]).headers["Cache-Status"]
        second = weir.get(blobs[-1]).headers["Cache-Status"]
        self.assertRegex(first, r"^weir-edge; (fwd=miss|hit)")
        self.assertRegex(second, r"^weir-edge; hit")

    def test_metrics_are_clean(self):
        for name in Weir.DAEMONS:
            text = self.weir.daemons[name].metrics().encode()
            check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
            self.assertEqual((check.returncode, check.stdout + check.stderr), (0, b""), name)

    def test_bad_configuration_is_told(self):
        for name in Weir.DAEMONS:
            config = self.weir.folder / f"config/{name}.yaml"
            bad = self.path / f"{name}-bad.yaml"
            bad.write_text(config.read_text() + "\nno_such_key: 1\n")
            from daemon import program
            good = subprocess.run([program(f"weir-{name}"), "--config", config, "--check"], capture_output=True, text=True)
            self.assertEqual(good.returncode, 0, good.stderr)
            told = subprocess.run([program(f"weir-{name}"), "--config", bad, "--check"], capture_output=True, text=True)
            self.assertEqual(told.returncode, 1)
            self.assertIn("no_such_key", told.stderr)
            self.assertRegex(told.stderr, r"line \d+")


if __name__ == "__main__":
    unittest.main()
