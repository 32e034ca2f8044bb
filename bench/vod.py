#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vod: ingest against the ffmpeg program with the same ladder and presets, and the time from a play
request to the first segment through a cold and a warm edge. usage: vod.py [--quick]"""
import http.client
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e")]
from bench import ROOT, Table, cpu_seconds, median, run_cpu
from weir import Weir

QUICK = "--quick" in sys.argv
SECONDS = 10 if QUICK else 40
ROUNDS = 1 if QUICK else 3
PLAYS = 10 if QUICK else 40
SEGMENT_S = 4
# The rungs of the default ladder up to the film's 720 lines: lines, b/s. maxrate and bufsize as ingest has them.
RUNGS = [(240, 250_000), (360, 500_000), (480, 800_000), (720, 2_500_000)]


def ladder_file(folder):
    path = folder / "ladder.yaml"
    text = f"segment_seconds: {SEGMENT_S}\npreset: veryfast\naudio_bitrate: 128000\nrungs:\n"
    for height, bits in RUNGS:
        text += f"  - height: {height}\n    video_bitrate: {bits}\n    maxrate: {bits * 3 // 2}\n    bufsize: {bits * 2}\n"
    path.write_text(text)
    return path


def ffmpeg_command(film, folder):
    split = f"[0:v]split={len(RUNGS)}" + "".join(f"[s{i}]" for i in range(len(RUNGS)))
    scales = ";".join(f"[s{i}]scale=-2:{height},format=yuv420p[v{i}]" for i, (height, _) in enumerate(RUNGS))
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", film, "-filter_complex", f"{split};{scales}"]
    hls = ["-f", "hls", "-hls_time", SEGMENT_S, "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"]
    for i, (height, bits) in enumerate(RUNGS):
        out = folder / f"v{height}"
        out.mkdir(exist_ok=True)
        command += ["-map", f"[v{i}]", "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-b:v", bits,
                    "-maxrate", bits * 3 // 2, "-bufsize", bits * 2, "-sc_threshold", 0, "-g", 1000000,
                    "-force_key_frames", f"expr:gte(t,n_forced*{SEGMENT_S})", *hls, out / "index.m3u8"]
    for i in range(2):
        out = folder / f"a{i}"
        out.mkdir(exist_ok=True)
        command += ["-map", f"0:a:{i}", "-c:a", "aac", "-b:a", "128k", "-ac", 2, *hls, out / "index.m3u8"]
    return command


def bench_ingest(weir, film, folder, table):
    ladder = ladder_file(folder)
    ours, theirs = [], []
    pid = weir.daemons["ingest"].process.pid
    for n in range(ROUNDS):
        before, start = cpu_seconds(pid), time.monotonic()
        weir.publish(film, f"bench-{n}", "--ladder", str(ladder))
        ours.append((time.monotonic() - start, cpu_seconds(pid) - before))
        theirs.append(run_cpu(ffmpeg_command(film, folder)))
    for index, what in ((0, "wall"), (1, "CPU")):
        table.add(f"ingest, {SECONDS} s of 720p into {len(RUNGS)} rungs, {what}", "s", median([x[index] for x in ours]),
                  median([x[index] for x in theirs]), "ffmpeg", "at least 1.0x", at_least=1.0)
    table.add("ingest speed", "s of film a s", SECONDS / median([x[0] for x in ours]),
              SECONDS / median([x[0] for x in theirs]), "ffmpeg", better="higher")


class Player:
    """What a player does until it has its first segment, over one connection to the edge."""

    def __init__(self, weir, cookie):
        self.weir, self.cookie = weir, cookie

    def fetch(self, connection, url):
        parts = urllib.parse.urlsplit(url)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status} {body[:200]}")
        return body

    def first_segment(self, asset):
        """Milliseconds from the play request to the first media byte and to the whole first segment."""
        start = time.monotonic()
        play = self.weir.request("POST", self.weir.url("control") + "/api/v1/playback",
                                 {"asset": asset, "device": "bench"}, {"Cookie": self.cookie})
        master = play.json()["hls_url"]
        edge = urllib.parse.urlsplit(master)
        connection = http.client.HTTPSConnection(edge.hostname, edge.port, context=self.weir.tls)
        variants = re.findall(r"^(?!#)(\S+)$", self.fetch(connection, master).decode(), re.M)
        playlist = urllib.parse.urljoin(master, variants[0])
        text = self.fetch(connection, playlist).decode()
        self.fetch(connection, urllib.parse.urljoin(playlist, re.search(r'EXT-X-MAP:URI="([^"]+)"', text)[1]))
        first = urllib.parse.urljoin(playlist, re.findall(r"^(?!#)(\S+)$", text, re.M)[0])
        connection.request("GET", urllib.parse.urlsplit(first).path)
        answer = connection.getresponse()
        answer.read(1)
        byte_ms = (time.monotonic() - start) * 1e3
        answer.read()
        connection.close()
        return byte_ms, (time.monotonic() - start) * 1e3


def bench_start(weir, film, table):
    weir.publish(film, "start", "--ladder", "copy")
    who = {"email": "bench@example.org", "password": "bench bench bench"}
    cookie = weir.request("POST", weir.url("control") + "/api/v1/auth/signup", who).headers["Set-Cookie"].split(";")[0]
    player = Player(weir, cookie)
    cold, warm = [], []
    for _ in range(max(ROUNDS, 3)):
        weir.stop("edge")
        subprocess.run(["rm", "-rf", str(weir.folder / "edge")], check=True)
        weir.start("edge")
        cold.append(player.first_segment("start"))
    for _ in range(PLAYS):
        warm.append(player.first_segment("start"))
    for name, values, goal in (("cold", cold, None), ("warm", warm, 100)):
        table.add(f"play request to first media byte, {name} edge, median", "ms", median([v[0] for v in values]),
                  goal=f"under {goal} ms" if goal else None, at_least=goal)
        table.add(f"play request to whole first segment, {name} edge, median", "ms", median([v[1] for v in values]))
    table.add("play request to first media byte, warm edge, slowest", "ms", max(v[0] for v in warm), goal="under 100 ms", at_least=100)


def main():
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = pathlib.Path(name)
        film = folder / "film.mkv"
        subprocess.run([ROOT / "tools/sample", film, str(SECONDS), "1280x720"], check=True)
        weir = Weir(folder).start()
        try:
            table = Table("vod")
            bench_start(weir, film, table)
            bench_ingest(weir, film, folder, table)
            table.show()
        finally:
            weir.close()


if __name__ == "__main__":
    main()
