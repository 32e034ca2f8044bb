# SPDX-License-Identifier: Apache-2.0
"""Films that creators send: by forms, through control to ingest; how far they are; and what is left where it breaks."""
import http.client
import json
import pathlib
import re
import subprocess
import tempfile
import unittest
import urllib.parse

from daemon import SANITIZED, until
from people import Person, bearer
from weir import Weir

BOUNDARY = "a boundary of ours"
LARGE = 300 << 20


class Case(unittest.TestCase):
    """An installation, a creator of it, and forms."""

    @classmethod
    def begin_with(cls, weir):
        cls.weir = weir
        cls.weir.start()
        cls.creator, cls.token = cls.person("creator@example.org", "creator")

    @classmethod
    def person(cls, email, role):
        person = Person(cls.weir)
        user = person.sign_up(email)
        if role:
            answer = person.call("PATCH", f"/api/v1/admin/users/{user['id']}", {"role": role}, bearer(cls.weir.secret("admin")))
            assert answer.status == 200, answer.body
            assert person.log_in(email).status == 200
        return person, person.cookie("weir_access")

    # --- means -------------------------------------------------------------------------------------------------------

    def curl(self, *args, token=None, body=None):
        """(status, JSON of the body, protocol)"""
        result = subprocess.run(
            ["curl", "-sS", "--cacert", self.weir.settings["ca_file"], "-H", f"Authorization: Bearer {token or self.token}",
             "-w", "\n%{http_code} %{http_version}", *args, self.weir.url("control") + "/api/v1/videos/upload"],
            capture_output=True, input=body, timeout=120)
        text, _, last = result.stdout.decode().rpartition("\n")
        self.assertEqual(result.returncode, 0, result.stderr)
        status, version = last.split()
        return int(status), json.loads(text) if text else None, version

    def form(self, *parts, end=f"--{BOUNDARY}--\r\n"):
        """parts: (head, bytes)"""
        out = b""
        for head, data in parts:
            out += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"
        return out + end.encode()

    def field(self, name, value):
        return f'Content-Disposition: form-data; name="{name}"', value.encode()

    def file(self, data, name="file"):
        return f'Content-Disposition: form-data; name="{name}"; filename="a.mp4"\r\nContent-Type: video/mp4', data

    def post(self, body, kind=f'multipart/form-data; boundary="{BOUNDARY}"', token=None):
        return self.weir.request("POST", self.weir.url("control") + "/api/v1/videos/upload", body,
                                 {"Content-Type": kind, "Authorization": f"Bearer {token or self.token}"})

    def connection(self):
        url = urllib.parse.urlsplit(self.weir.url("control"))
        return http.client.HTTPSConnection(url.hostname, url.port, context=self.weir.tls, timeout=60)

    def begin(self, title, size=1 << 30):
        """An upload whose body is not whole yet; its connection."""
        head = self.form(self.field("title", title), end="") + self.form(self.file(b""), end="")[:-2]
        c = self.connection()
        c.putrequest("POST", "/api/v1/videos/upload")
        c.putheader("Authorization", f"Bearer {self.token}")
        c.putheader("Content-Type", f'multipart/form-data; boundary="{BOUNDARY}"')
        c.putheader("Content-Length", str(size))
        c.endheaders()
        c.send(head + b"x" * 100000)
        return c

    def api(self, path, token=None):
        return self.weir.request("GET", self.weir.url("control") + "/api/v1/" + path, None,
                                 bearer(token or self.token))

    def video(self, title):
        found = [v for v in self.api("users/me/videos?limit=100").json()["videos"] if v["title"] == title]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else None

    def state(self, title):
        video = self.video(title)
        return video and video["state"]

    def spool(self):
        return sorted(p.name for p in (self.weir.folder / "ingest/uploads").iterdir())

    def events(self, job):
        """All of them, until the stream ends by itself."""
        answer = self.api(f"videos/upload/{job}/events")
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        return [json.loads(line[6:]) for line in answer.body.decode().splitlines() if line.startswith("data: ")]

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.code), (status, code), answer.body)


class Upload(Case):
    @classmethod
    def setUpClass(cls):
        weir = Weir()
        cls.addClassCleanup(weir.close)
        cls.begin_with(weir)
        folder = tempfile.TemporaryDirectory(prefix="weir-e2e-upload-")
        cls.addClassCleanup(folder.cleanup)
        cls.path = pathlib.Path(folder.name)
        cls.viewer, cls.viewer_token = cls.person("viewer@example.org", None)
        cls.film = cls.path / "film.mp4"
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4",
                        "-f", "lavfi", "-i", "sine=d=4", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-shortest",
                        str(cls.film)], check=True)

    # --- films -------------------------------------------------------------------------------------------------------

    def plays(self, video):
        answer = self.viewer.api("POST", "playback", {"asset": video})
        self.assertEqual(answer.status, 200, answer.body)
        playlist = self.weir.get(answer.json()["hls_url"])
        self.assertEqual(playlist.status, 200)
        self.assertIn("#EXTM3U", playlist.body.decode())
        self.viewer.api("DELETE", f"playback/{answer.json()['session_id']}")

    def test_a_film_is_uploaded_and_played(self):
        for version, flag in (("1.1", "--http1.1"), ("2", "--http2")):
            title = f"a film by HTTP/{version}"
            status, answer, used = self.curl(flag, "-F", f"title={title}", "-F", "tags=one", "-F", "tags=two", "-F",
                                             "publish_when_ready=true", "-F", f"file=@{self.film}")
            self.assertEqual((status, used), (202, version), answer)
            self.assertEqual((answer["video"]["title"], answer["video"]["tags"]), (title, ["one", "two"]))
            self.assertIn(answer["video"]["state"], ("processing", "ready", "published"))
            events = self.events(answer["job_id"])
            self.assertEqual([e["state"] for e in events][-1], "ready", events)
            self.assertEqual(events[-1]["progress"], 1)
            self.assertEqual(events[-1]["received_bytes"], self.film.stat().st_size)
            self.assertEqual(self.api(f"videos/upload/{answer['job_id']}").json(), events[-1])
            self.assertEqual(self.api(f"videos/upload/{answer['job_id']}", self.viewer_token).status, 403)
            self.assertEqual(self.state(title), "published")
            self.plays(answer["video"]["id"])
            until(lambda: self.spool() == [])

    def test_a_draft_gets_its_film(self):
        draft = self.creator.api("POST", "videos", {"title": "a draft"}).json()
        status, answer, _ = self.curl("-F", f"video={draft['id']}", "-F", f"file=@{self.film}")
        self.assertEqual((status, answer["video"]["id"]), (202, draft["id"]))
        self.assertEqual(self.events(answer["job_id"])[-1]["state"], "ready")
        self.assertEqual(self.state("a draft"), "ready")
        status, answer, _ = self.curl("-F", f"video={draft['id']}", "-F", f"file=@{self.film}")
        self.assertEqual((status, answer["error"]["code"]), (409, "STATE_CONFLICT"))

    def test_what_is_no_film_fails(self):
        status, answer, _ = self.curl("-F", "title=no film", "-F", "file=@-;filename=x.mp4", body=b"no film" * 1000)
        self.assertEqual(status, 202, answer)
        last = self.events(answer["job_id"])[-1]
        self.assertEqual(last["state"], "failed", last)
        self.assertTrue(last["error"])
        self.assertEqual(self.state("no film"), "failed")
        until(lambda: self.spool() == [])

    # --- forms -------------------------------------------------------------------------------------------------------

    def test_forms_that_are_none(self):
        t, f = self.field("title", "never made"), self.file(b"film")
        good = self.form(t, f)
        for body, status, code in (
                (self.form(t), 422, "FILE_MISSING"),
                (self.form(t, f, f), 422, "FILE_TWICE"),
                (self.form(f, t), 422, "BODY_INVALID"),  # the title is missing when the file begins
                (self.form(self.field("titel", "x"), f), 422, "FIELD_UNKNOWN"),
                (self.form(t, t, f), 422, "FIELD_TWICE"),
                (self.form(t, self.field("season", "x"), f), 422, "BODY_INVALID"),
                (self.form(t, self.file(b"x", "other")), 422, "FIELD_UNKNOWN"),
                (self.form(t, f, self.field("kind", "film")), 422, "FIELD_BEHIND_FILE"),
                (good.replace(b"\r\n", b"\n"), 400, "MULTIPART_INVALID"),
                (good[:-6], 400, "MULTIPART_INVALID"),
                (good + b"more", 400, "MULTIPART_INVALID"),
                (b"before" + good, 400, "MULTIPART_INVALID"),
                (b"", 400, "MULTIPART_INVALID"),
                (self.form(("X: " + "y" * 5000, b"")), 400, "MULTIPART_INVALID"),
                (self.form(("Content-Disposition: form-data", b"")), 400, "MULTIPART_INVALID")):
            self.refused(self.post(body), status, code)
        for kind in ("multipart/form-data", "application/json", 'multipart/form-data; boundary=""',
                     "multipart/form-data; boundary=" + "x" * 71, "multipart/mixed; boundary=x"):
            self.refused(self.post(good, kind), 415, "TYPE_UNSUPPORTED")
        until(lambda: self.spool() == [])
        made = [v["state"] for v in self.api("users/me/videos?limit=100").json()["videos"] if v["title"] == "never made"]
        self.assertEqual(set(made), {"failed"})  # of those whose file had begun

    def test_who_may(self):
        body = self.form(self.field("title", "not theirs"), self.file(b"film" * 100000))
        self.refused(self.post(body, token=self.viewer_token), 403, "ROLE_MISSING")
        self.refused(self.post(body, token="nobody"), 401, "NOT_LOGGED_IN")
        self.assertEqual(self.api("videos/upload/" + "0" * 32).status, 404)
        for flag in ("--http1.1", "--http2"):  # refused while the client still sends
            status, answer, _ = self.curl(flag, "-F", "title=x", "-F", f"file=@{self.film}", token=self.viewer_token)
            self.assertEqual((status, answer["error"]["code"]), (403, "ROLE_MISSING"))

    # --- what breaks -------------------------------------------------------------------------------------------------

    def test_a_client_breaks_off(self):
        c = self.begin("broken off")
        until(lambda: len(self.spool()) == 1)
        self.assertEqual(self.state("broken off"), "uploading")
        c.close()
        until(lambda: self.state("broken off") == "failed")
        until(lambda: self.spool() == [])

    def test_ingest_is_away(self):
        self.weir.stop("ingest")
        self.addCleanup(self.weir.start, "ingest")
        for flag in ("--http1.1", "--http2"):
            status, answer, _ = self.curl(flag, "-F", f"title=away {flag}", "-F", f"file=@{self.film}")
            self.assertEqual((status, answer["error"]["code"]), (503, "INGEST_UNAVAILABLE"))
            self.assertEqual(self.state(f"away {flag}"), "failed")

    def test_ingest_is_killed(self):
        c = self.begin("ingest killed")
        until(lambda: len(self.spool()) == 1)
        self.weir.kill("ingest")

        def failed():
            try:
                c.send(b"x" * 1000)
            except OSError:
                pass  # answered, and closed
            return self.state("ingest killed") == "failed"
        try:
            until(failed)
        finally:
            self.weir.start("ingest")
        self.assertEqual(self.spool(), [])  # swept
        c.close()

    def test_control_is_killed(self):
        c = self.begin("control killed")
        until(lambda: len(self.spool()) == 1)
        self.weir.kill("control")
        until(lambda: self.spool() == [])
        self.weir.start("control")
        until(lambda: self.state("control killed") == "failed", 60)
        c.close()

    def memory_peak(self, daemon):
        pid = self.weir.daemons[daemon].process.pid
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) << 10

    def test_nothing_is_held_in_memory(self):
        large = self.path / "large"
        with open(large, "wb") as f:
            f.truncate(LARGE)
        for name in ("control", "ingest"):  # their peaks begin anew
            pathlib.Path(f"/proc/{self.weir.daemons[name].process.pid}/clear_refs").write_text("5")
        before = {name: self.memory_peak(name) for name in ("control", "ingest")}
        for flag in ("--http1.1", "--http2"):
            status, answer, _ = self.curl(flag, "-F", f"title=large {flag}", "-F", f"file=@{large}")
            self.assertEqual(status, 202, answer)
            self.assertEqual(self.events(answer["job_id"])[-1]["received_bytes"], LARGE)
        if not SANITIZED:  # which keep what was freed
            for name, was in before.items():
                self.assertLess(self.memory_peak(name) - was, 48 << 20, name)
        large.unlink()


class Room(Case):
    """Uploads have at most 4 MiB, and ingest has a disk of 2 MiB for them."""

    @classmethod
    def setUpClass(cls):
        weir = Weir()
        cls.addClassCleanup(weir.close)
        spool = weir.folder / "ingest/uploads"
        spool.mkdir(parents=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", spool], capture_output=True).returncode != 0:
            raise unittest.SkipTest("tmpfs cannot be mounted here")
        cls.addClassCleanup(subprocess.run, ["umount", "-l", spool], check=True)
        config = weir.folder / "config/control.yaml"
        config.write_text(config.read_text() + "upload_size_max: 4194304\n")
        cls.begin_with(weir)

    def test_neither_is_exceeded(self):
        film = b"x" * (6 << 20)
        for flag in ("--http1.1", "--http2"):
            for size, refusal in ((5 << 20, (413, "BODY_TOO_LARGE")), (3 << 20, (507, "UPLOADS_FULL"))):
                title = f"{size} by {flag}"
                status, answer, _ = self.curl(flag, "-F", f"title={title}", "-F", "file=@-;filename=x.mp4", body=film[:size])
                self.assertEqual((status, answer["error"]["code"]), refusal)
                self.assertIn(self.state(title), (None, "failed"))
                until(lambda: self.spool() == [])
        status, answer, _ = self.curl("-F", "title=there is room", "-F", "file=@-;filename=x.mp4", body=film[:1 << 20])
        self.assertEqual(status, 202, answer)
        self.assertEqual(self.events(answer["job_id"])[-1]["state"], "failed")  # no film, but all of it came


if __name__ == "__main__":
    unittest.main()
