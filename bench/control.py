#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""control: how fast weir-control answers, embedded and on MongoDB + Redis, and against an Express + Mongoose
service (bench/express) that answers the same from the same kind of database. usage: control.py [--quick]"""
import concurrent.futures
import json
import math
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e")]
os.environ.setdefault("WEIR_BUILD", str(pathlib.Path(__file__).resolve().parents[1] / "build/release"))
from bench import ROOT, Table, cpu_seconds
from weir import Weir

QUICK = "--quick" in sys.argv
VIDEOS = 1_000 if QUICK else 50_000
USERS = 8 if QUICK else 32  # that make requests; their passwords are hashed for real
RATE = 200 if QUICK else 1_000  # requests a second of each kind
SECONDS = 5 if QUICK else 20
LEASES = 10_000 if QUICK else 100_000
ROUND_S = 5 if QUICK else 30  # in which all of them are renewed once
BATCH = 400  # what a body of 64 KiB holds
TOOLS = pathlib.Path(os.environ.get("WEIR_TOOLS", ROOT / "build/tools")) / "bin"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process):
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)


class Server:
    """A server that is a peer, or that one stands on."""

    def __init__(self, command, port, **kwargs):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kwargs)
        wait_for_port(port, self.process)

    def close(self):
        self.process.terminate()
        self.process.wait()


def mongodb(folder):
    """FerretDB, as in the tests: the protocol of MongoDB over SQLite."""
    port = free_port()
    data = folder / f"ferretdb-{port}"
    data.mkdir()
    return Server([TOOLS / "ferretdb", f"127.0.0.1:{port}", data], port), f"mongodb://127.0.0.1:{port}/"


def redis(folder):
    port = free_port()
    return Server(["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", folder],
                  port), f"redis://127.0.0.1:{port}"


class Control(Weir):
    """A control with a catalogue and users who are logged in."""

    def __init__(self, db=None, redis_url=None):
        super().__init__()
        config = self.folder / "config/control.yaml"
        text = config.read_text()
        text = re.sub(r"(?m)^stream_limit: .*$", "stream_limit: 3", text)
        text = re.sub(r"(?m)^(  rate_(?:user|address)): .*$", r"\1: 1000000000", text)
        if db:
            text = re.sub(r"(?m)^db: .*$", f"db: {db}weir", text)
        if redis_url:
            text += f"redis: {redis_url}\n"
        config.write_text(text)
        self.start("control")
        self.pid = self.daemons["control"].process.pid
        self.base = self.url("control")
        self.fill()

    def fill(self):
        admin = {"Authorization": "Bearer " + self.secret("admin")}
        video = {"title": "", "duration_ms": 5400000, "height": 1080, "audio": ["en"], "subtitles": ["de", "en"]}

        def put(first):
            for i in range(first, VIDEOS, 16):
                answer = self.request("PUT", f"{self.base}/api/v1/admin/assets/film-{i}", {**video, "title": f"Film {i}"}, admin)
                assert answer.status == 200, answer.body
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(put, range(16)))

        def sign_up(i):
            answer = self.request("POST", self.base + "/api/v1/auth/signup", {"email": f"viewer{i}@example.org", "password": "a good password"})
            assert answer.status == 201, answer.body
            return answer.headers["Set-Cookie"].split(";")[0]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            *self.cookies, self.racer = pool.map(sign_up, range(USERS + 1))

    def play(self, cookie, device):
        answer = self.request("POST", self.base + "/api/v1/playback", {"asset": "film-1", "device": device},
                              {"Cookie": cookie, "Content-Type": "application/json"})
        return answer


class Load:
    """h2load at a steady rate, one for each of some users, and how long each request took."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0

    def run(self, jobs, rate):
        """jobs: (url, headers, body or None) each. Returns (p50, p95, statuses) in milliseconds."""
        running = []
        for url, headers, body in jobs:
            self.number += 1
            log = self.folder / f"load-{self.number}.log"
            command = ["h2load", "-c", "2", "-t", "1", "-D", str(SECONDS), "--warm-up-time", "1", "--rps", str(max(rate / len(jobs) / 2, 1)),
                       f"--log-file={log}", *[f"-H{k}: {v}" for k, v in headers.items()]]
            if body is not None:
                data = self.folder / f"load-{self.number}.json"
                data.write_text(json.dumps(body))
                command += ["-d", str(data)]
            running.append((subprocess.Popen([*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True), log))
        times, statuses = [], {}
        for process, log in running:
            _, err = process.communicate()
            if process.returncode != 0:
                raise RuntimeError(f"h2load: {err}")
            for line in log.read_text().splitlines():
                _, status, us = line.split("\t")[:3]
                statuses[status] = statuses.get(status, 0) + 1
                times.append(int(us) / 1000)
        times.sort()
        return times[len(times) // 2], times[math.ceil(len(times) * 0.95) - 1], statuses


def expect(statuses, wanted, what):
    if set(statuses) != {wanted}:
        raise RuntimeError(f"{what}: answered {statuses}")


def bench_latency(control, load, table, name, goal_ms):
    json_type = {"Content-Type": "application/json"}
    users = control.cookies
    sessions = {c: control.play(c, "bench").json()["session_id"] for c in users}
    kinds = (
        ("catalogue read", [(control.base + "/api/v1/videos?limit=20", {"Cookie": c}, None) for c in users]),
        ("heartbeat", [(f"{control.base}/api/v1/playback/{sessions[c]}/heartbeat", {"Cookie": c, **json_type}, {}) for c in users]),
        ("playback start", [(control.base + "/api/v1/playback", {"Cookie": c, **json_type}, {"asset": "film-1", "device": "bench"}) for c in users]),
    )
    for what, jobs in kinds:
        before = cpu_seconds(control.pid)
        p50, p95, statuses = load.run(jobs, RATE)
        expect(statuses, "200", what)
        count = sum(statuses.values())
        table.add(f"{name}: {what} at {RATE}/s, p95", "ms", p95, goal=f"under {goal_ms} ms", at_least=goal_ms)
        table.add(f"{name}: {what}, p50", "ms", p50)
        table.add(f"{name}: {what}, CPU for 1,000 requests", "s", (cpu_seconds(control.pid) - before) / count * 1000)


def bench_race(control, table, name):
    """A thousand starts at once for one account: its limit is 3."""
    got, lock = [], threading.Lock()

    def start(i):
        status = control.play(control.racer, f"device-{i}").status
        with lock:
            got.append(status)
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        list(pool.map(start, range(1000)))
    if sorted(set(got)) != [200, 429]:
        raise RuntimeError(f"a race was answered with {sorted(set(got))}")
    table.add(f"{name}: let in of 1,000 starts at once, limit 3", "", got.count(200), goal="3", at_least=3.5)


def bench_leases(control, table, name):
    """All leases renewed once in a round, in batches as edges send them."""
    url = control.base + "/api/v1/internal/leases/renew"
    headers = {"Authorization": "Bearer " + (control.folder / "secrets/edge").read_text().strip()}
    until_ms = int(time.time() * 1000) + 3_600_000
    sessions = [{"user": f"user-{i}", "session": f"{i:032x}", "asset": "film-1", "until_ms": until_ms} for i in range(LEASES)]
    batches = [json.dumps({"sessions": sessions[i:i + BATCH]}) for i in range(0, LEASES, BATCH)]
    headers["Content-Type"] = "application/json"

    def renew():
        lost = 0
        begin = time.monotonic()
        for n, batch in enumerate(batches):
            time.sleep(max(0, begin + ROUND_S * n / len(batches) - time.monotonic()))
            answer = control.request("POST", url, batch, headers)
            states = answer.json()["states"]
            lost += sum(s != "live" for s in states)
        time.sleep(max(0, begin + ROUND_S - time.monotonic()))
        return lost
    renew()  # taken up
    before, begin = cpu_seconds(control.pid), time.monotonic()
    lost = renew()
    share = (cpu_seconds(control.pid) - before) / (time.monotonic() - begin) * 100
    goal = {"goal": "under 25 %", "at_least": 25} if not QUICK else {}
    table.add(f"{name}: {LEASES:,} leases renewed each {ROUND_S} s, of a core", "%", share, **goal)
    table.add(f"{name}: leases lost", "", lost, goal="none", at_least=0.5)


def express(uri, folder):
    """The reference service, installed as its lock file says; (process, port)."""
    home = ROOT / "build/bench/express"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "server.mjs"):
        shutil.copy(ROOT / "bench/express" / name, home / name)
    lock = (home / "package-lock.json").read_bytes()
    if not (home / "installed").exists() or (home / "installed").read_bytes() != lock:
        subprocess.run(["npm", "ci", "--omit=dev", "--no-audit", "--no-fund"], cwd=home, check=True, stdout=subprocess.DEVNULL)
        (home / "installed").write_bytes(lock)
    process = subprocess.Popen(["node", "server.mjs", uri + "express", str(VIDEOS)], cwd=home, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "NODE_ENV": "production"})
    return process, int(process.stdout.readline())


def flood(url, headers, pid):
    """Requests a second of a core of that process, while it has all it can do."""
    before = cpu_seconds(pid)
    out = subprocess.run(["h2load", "--h1", "-c", "16", "-t", "1", "-D", str(SECONDS), *[f"-H{k}: {v}" for k, v in headers.items()], url],
                         capture_output=True, text=True, check=True).stdout
    done = int(re.search(r"status codes: (\d+) 2xx", out)[1])
    if done == 0:
        raise RuntimeError(f"{url}: {out}")
    return done / (cpu_seconds(pid) - before)


def bench_express(control, uri, folder, table, name):
    url = f"{control.base}/api/v1/videos/film-7"
    cookie = {"Cookie": control.cookies[0]}
    answer = control.request("GET", url, headers=cookie)
    if answer.status != 200:
        raise RuntimeError(f"GET /api/v1/videos/film-7: {answer.status}")
    process, port = express(uri, folder)
    try:
        ours = flood(url, cookie, control.pid)
        theirs = flood(f"http://127.0.0.1:{port}/api/v1/videos/film-7", {}, process.pid)
    finally:
        process.terminate()
        process.wait()
    table.add(f"{name}: GET /videos/{{id}}", "requests a core-second", ours, theirs, "Express + Mongoose", "at least 10x", "higher", at_least=10)


def bench_search(control, load, table, name):
    jobs = [(f"{control.base}/api/v1/videos/search?q=film%20{i}", {"Cookie": c}, None) for i, c in enumerate(control.cookies)]
    _, p95, statuses = load.run(jobs, RATE / 10)
    expect(statuses, "200", "search")
    table.add(f"{name}: search among {VIDEOS:,} titles, p95", "ms", p95, goal="under 30 ms", at_least=30)


def main():
    table = Table("control")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = pathlib.Path(name)
        load = Load(folder)
        mongo, uri = mongodb(folder)
        store, redis_url = redis(folder)
        try:
            for label, goal_ms, settings in (("embedded", 20, {}), ("MongoDB + Redis", 50, {"db": uri, "redis_url": redis_url})):
                control = Control(**settings)
                try:
                    bench_latency(control, load, table, label, goal_ms)
                    bench_search(control, load, table, label)
                    bench_race(control, table, label)
                    bench_leases(control, table, label)
                    bench_express(control, uri, folder, table, label)
                finally:
                    control.close()
        finally:
            store.close()
            mongo.close()
    table.show()


if __name__ == "__main__":
    main()
