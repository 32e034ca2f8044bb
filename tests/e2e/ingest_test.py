# SPDX-License-Identifier: Apache-2.0
"""What goes into ingest: odd films work, bad ones end in one sentence, an interrupted job goes on."""
import json
import pathlib
import subprocess
import unittest

from daemon import program, until
from weir import WeirCase, ffprobe_frames


def ffmpeg(*args):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)], check=True)


class Ingest(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start()

    def make(self, name, *args):
        path = self.path / name
        ffmpeg(*args, path)
        return path

    def source_frames(self, path):
        return ffprobe_frames(path)[0]

    def published(self, path, asset, *args):
        """Publishes; checks that each rendition decodes whole; returns the presentation."""
        self.weir.publish(path, asset, *args)
        presentation = self.weir.get(self.weir.sign(asset, "--view", "presentation.json")).json()
        for track in presentation["tracks"]:
            if track["kind"] == "video":
                url = self.weir.sign(asset, "--view", f"{track['id']}/index.m3u8")
                frames, complaints = ffprobe_frames(url, self.weir)
                self.assertEqual(frames, self.source_frames(path), f"{asset} {track['id']} {complaints}")
                self.assertEqual(complaints, "", f"{asset} {track['id']}")
        return presentation

    def video(self, presentation):
        return [t for t in presentation["tracks"] if t["kind"] == "video"]

    def refused(self, path, asset, *words):
        before = self.store_state()
        result = self.weir.publish(path, asset, check=False)
        self.assertEqual(result.returncode, 1, result.stdout)
        lines = result.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for word in (pathlib.Path(path).name, *words):
            self.assertIn(word, lines[0])
        self.assertEqual(self.store_state(), before, "something was left behind")
        self.assertEqual(list((self.weir.folder / "ingest/jobs").iterdir()), [], "a job folder was left behind")

    def store_state(self):
        publish = {"Authorization": "Bearer " + self.weir.secret("publish")}
        refs = self.weir.request("GET", self.weir.url("origin") + "/refs", headers=publish).json()
        return json.dumps(refs, sort_keys=True), self.weir.metric("origin", "weir_origin_store_blobs")

    def test_bad_files(self):
        film = self.make("whole.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=12", "-c:v", "libx264", "-preset", "ultrafast",
                         "-movflags", "+faststart")
        data = film.read_bytes()
        cut, no_moov, empty, text, secret = (self.path / n for n in ("cut.mp4", "nomoov.mp4", "empty.mp4", "text.mp4", "secret.mp4"))
        cut.write_bytes(data[:len(data) // 2])
        tail = self.make("tail.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=4", "-c:v", "libx264", "-preset", "ultrafast")
        no_moov.write_bytes(tail.read_bytes()[:-5000])
        empty.write_bytes(b"")
        text.write_text("It was a dark and stormy night.\n" * 500)
        sound = self.make("sound.m4a", "-f", "lavfi", "-i", "sine=duration=3")
        self.refused(cut, "bad", "truncated")
        self.refused(no_moov, "bad")
        self.refused(empty, "bad", "empty")
        self.refused(text, "bad")
        self.refused(sound, "bad", "video")
        self.refused(self.path / "absent.mp4", "bad", "No such file")
        self.refused(self.path, "bad")
        self.refused("/dev/null", "bad")
        secret.write_bytes(data)
        result = self.weir.publish(film, "../up", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1)

    def test_bad_ladders(self):
        film = self.make("small.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2", "-c:v", "libx264", "-preset", "ultrafast")
        ladder = self.path / "ladder.yaml"
        for text in ("rungs: 7\n", "rungs: []\n", "rungs:\n  - height: 240\n    video_bitrate: lots\n", "no: such\n"):
            ladder.write_text(text)
            result = self.weir.publish(film, "bad", "--ladder", str(ladder), check=False)
            self.assertEqual((result.returncode, len(result.stderr.strip().splitlines())), (1, 1), result.stderr)
            self.assertIn("ladder.yaml", result.stderr)

    def test_no_sound(self):
        p = self.published(self.make("mute.mp4", "-f", "lavfi", "-i", "testsrc2=size=426x240:rate=30:duration=5"), "mute")
        self.assertEqual([t["kind"] for t in p["tracks"]], ["video"])

    def test_odd_dimensions(self):
        p = self.published(self.make("odd.mkv", "-f", "lavfi", "-i", "testsrc2=size=427x241:rate=25:duration=3", "-c:v", "ffv1"), "odd")
        for track in self.video(p):
            self.assertEqual((track["width"] % 2, track["height"] % 2), (0, 0))
            self.assertLessEqual(track["height"], 242)

    def test_variable_frame_rate(self):
        path = self.make("vfr.mkv", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30:duration=9",
                         "-vf", "select='not(mod(n,3))+gt(mod(n,60),29)'", "-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast")
        p = self.published(path, "vfr")
        self.assertAlmostEqual(p["duration_ms"] / 1000, 9, delta=0.2)

    def test_start_offset(self):
        path = self.make("late.ts", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=6", "-f", "lavfi", "-i", "sine=duration=6",
                         "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-output_ts_offset", "3600")
        p = self.published(path, "late")
        self.assertAlmostEqual(p["duration_ms"] / 1000, 6, delta=0.2)
        for track in p["tracks"]:
            self.assertLess(track["start"] / track["timescale"], 0.2, track["id"])

    def test_rotated(self):
        upright = self.make("upright.mp4", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=2", "-c:v", "libx264", "-preset", "ultrafast")
        path = self.make("turned.mp4", "-i", upright, "-c", "copy", "-metadata:s:v:0", "rotate=90")
        p = self.published(path, "turned")
        for track in self.video(p):
            self.assertGreater(track["height"], track["width"], track["id"])

    def test_one_frame(self):
        p = self.published(self.make("one.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1", "-frames:v", "1"), "one")
        self.assertEqual(len(self.video(p)[0]["segments"]), 1)

    def test_ten_seconds_by_copy(self):
        path = self.make("ten.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=10", "-f", "lavfi", "-i", "sine=duration=10",
                         "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "50", "-c:a", "aac")
        p = self.published(path, "ten", "--ladder", "copy")
        self.assertAlmostEqual(p["duration_ms"] / 1000, 10, delta=0.2)
        uncopyable = self.make("mpeg2.mkv", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2", "-c:v", "mpeg2video")
        result = self.weir.publish(uncopyable, "mpeg2", "--ladder", "copy", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("--ladder auto", result.stderr)

    def test_json_lines_and_second_publish(self):
        path = self.make("lines.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=6")
        lines = [json.loads(line) for line in self.weir.publish(path, "lines").stdout.splitlines()]
        self.assertEqual(lines[-1]["state"], "done")
        self.assertTrue(all(0 <= line["progress"] <= 1 for line in lines))
        again = [json.loads(line) for line in self.weir.publish(path, "lines").stdout.splitlines()]
        self.assertEqual(again[-1]["generation"], lines[-1]["generation"])
        self.assertEqual(len(again), 1)

    def test_published_again_after_a_removal_it_is_listed(self):
        path = self.make("again.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2")
        who = {"email": "again@example.org", "password": "again and again"}
        cookie = self.weir.request("POST", self.weir.url("control") + "/api/v1/auth/signup", who).headers["Set-Cookie"].split(";")[0]

        def listed():
            answer = self.weir.request("GET", self.weir.url("control") + "/api/v1/videos", headers={"Cookie": cookie})
            return "again" in [v["asset"] for v in answer.json()["videos"]]

        self.weir.publish(path, "again")
        self.assertTrue(listed())
        self.weir.run("remove", "again", check=True)
        self.assertFalse(listed())
        self.weir.publish(path, "again")
        self.assertTrue(listed())

    def test_progress_bar_on_a_terminal(self):
        path = self.make("bar.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=6")
        command = f"{program('weirctl')} publish {path} --asset bar --state {self.weir.folder}"
        shown = subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True).stdout
        self.assertIn("100%", shown)
        self.assertRegex(shown, r"\[#+\.*\]")
        self.assertIn("is published as bar", shown)

    def test_resume_after_kill(self):
        """kill -9 in the middle: started again, it encodes only what was not finished."""
        path = self.make("long.mp4", "-f", "lavfi", "-i", "testsrc2=size=640x480:rate=25:duration=60", "-f", "lavfi", "-i", "sine=duration=60",
                         "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
        client = subprocess.Popen([program("weirctl"), "publish", str(path), "--asset", "long", "--state", str(self.weir.folder)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        jobs = self.weir.folder / "ingest/jobs"

        def finished_segments():
            lines = [line for j in jobs.glob("*/work/journal") for line in j.read_bytes().split(b"\n")]
            return sum(b'"n":' in line for line in lines)

        until(lambda: finished_segments() >= 12 or client.poll() is not None, 120, lambda: "no segments are being made")
        self.assertIsNone(client.poll(), "the job was over too soon")
        self.weir.kill("ingest")
        finished = finished_segments()
        client.kill()
        client.communicate()
        self.weir.start("ingest")
        job = json.loads(self.weir.publish(path, "long").stdout.splitlines()[-1])
        self.assertEqual(job["state"], "done")
        self.assertGreaterEqual(job["segments_reused"], finished - 1)  # the journal's last line may be half
        self.assertGreater(job["segments_encoded"], 0)
        presentation = self.weir.get(self.weir.sign("long", "--view", "presentation.json")).json()
        total = sum(len(t["segments"]) for t in presentation["tracks"] if t["kind"] != "text")
        self.assertEqual(job["segments_reused"] + job["segments_encoded"], total)
        for track in self.video(presentation):
            url = self.weir.sign("long", "--view", f"{track['id']}/index.m3u8")
            self.assertEqual(ffprobe_frames(url, self.weir), (1500, ""), track["id"])

    def test_damage_and_jumps_are_told(self):
        part = self.make("part.ts", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=6", "-f", "lavfi", "-i", "sine=duration=6",
                         "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
        for ladder in ("auto", "copy"):
            twice = self.path / f"twice-{ladder}.ts"
            twice.write_bytes(part.read_bytes() * 2)
            result = self.weir.publish(twice, f"twice-{ladder}", "--ladder", ladder)
            self.assertIn("clock jumps 1 time(s)", result.stderr)
            job = json.loads(result.stdout.splitlines()[-1])
            self.assertEqual((job["state"], job["damage"]["jumps"]), ("done", 1))
            film = self.weir.get(self.weir.sign(f"twice-{ladder}", "--view", "presentation.json")).json()
            self.assertAlmostEqual(film["duration_ms"] / 1000, 12, delta=0.4)
            for track in self.video(film):
                frames, complaints = ffprobe_frames(self.weir.sign(f"twice-{ladder}", "--view", f"{track['id']}/index.m3u8"), self.weir)
                self.assertEqual(frames, 300, complaints)
        hole = self.path / "hole.mp4"
        ffmpeg("-i", part, "-c", "copy", hole)
        data = bytearray(hole.read_bytes())
        data[len(data) // 2:len(data) // 2 + 60000] = bytes(60000)
        hole.write_bytes(data)
        result = self.weir.publish(hole, "hole")
        self.assertIn("the film is damaged", result.stderr)
        job = json.loads(result.stdout.splitlines()[-1])
        self.assertGreater(job["damage"]["pictures"] + job["damage"]["sounds"], 0)
        self.assertIn("is damaged", job["warning"])

    def test_upload_that_failed_goes_on(self):
        path = self.make("kept.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=6", "-f", "lavfi", "-i", "sine=duration=6")
        self.weir.stop("origin")
        try:
            result = self.weir.publish(path, "kept", check=False)
            self.assertEqual(result.returncode, 1)
            self.weir.kill("ingest")
        finally:
            self.weir.start("origin", "ingest")
        job = json.loads(self.weir.publish(path, "kept").stdout.splitlines()[-1])
        self.assertEqual((job["state"], job["segments_encoded"]), ("done", 0))
        self.assertGreater(job["segments_reused"], 0)

    def test_origin_away(self):
        path = self.make("away.mp4", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2")
        self.weir.stop("origin")
        try:
            result = self.weir.publish(path, "away", check=False)
            self.assertEqual((result.returncode, len(result.stderr.strip().splitlines())), (1, 1), result.stderr)
        finally:
            self.weir.start("origin")
        self.published(path, "away")


if __name__ == "__main__":
    unittest.main()
