#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""control: how fast weir-control answers, embedded and on MongoDB (FerretDB) + Redis, and against an Express + Mongoose service
(bench/express) that answers the same from the same kind of database.
usage: control.py [--quick] [--only=embedded|mongodb] [PART...]; PART: latency, search, race, leases, express; all if none is named"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e")]
os.environ.setdefault("WEIR_BUILD", str(pathlib.Path(__file__).resolve().parents[1] / "build/release"))
from bench import BUILD, ROOT, Table, cpu_seconds
import control_seed
import titles
from daemon import request
from weir import Weir

QUICK = "--quick" in sys.argv
VIDEOS = 2_000 if QUICK else 50_000
USERS = 4_000 if QUICK else 100_000
LOGINS = 500 if QUICK else 4_000  # users who make requests: signing a token takes a millisecond
RATE = 300 if QUICK else 1_000  # requests a second of each kind
SEARCHES = 100  # a second
PAGE = 20  # of found videos
SECONDS = 2 if QUICK else 6
LEASES = 10_000 if QUICK else 100_000
ROUND_S = 3 if QUICK else 30  # in which all of them are renewed once
BATCH = 400  # what a body of 64 KiB holds
LIMIT = 3
SERVER_CORE, LOAD_CORE = "0", "1"
TOOLS = pathlib.Path(os.environ.get("WEIR_TOOLS", ROOT / "build/tools")) / "bin"


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server that is a peer, or that one stands on."""

    def __init__(self, command, port):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait()


def mongodb(folder):
    """FerretDB, as in the tests: the protocol of MongoDB over SQLite."""
    port = free_port()
    data = folder / f"ferretdb-{port}"
    data.mkdir()
    server = Server([TOOLS / "ferretdb", f"127.0.0.1:{port}", data], port)
    server.data = data
    return server, f"mongodb://127.0.0.1:{port}/"


def index_ids(mongo, database):
    """What MongoDB always has. FerretDB 1.24 writes its index of _id in other letters than it asks in, so that SQLite reads
    the whole collection for each."""
    with sqlite3.connect(mongo.data / f"{database}.sqlite", timeout=60) as db:
        tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")]
        for table in tables:
            db.execute(f"CREATE INDEX IF NOT EXISTS \"bench_{table}\" ON \"{table}\" (_ferretdb_sjson->'$._id')")
    db.close()
    say(f"{database}: _id is indexed in {len(tables)} collections")


def redis(folder):
    port = free_port()
    return Server(["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", folder],
                  port), f"redis://127.0.0.1:{port}"


class Control(Weir):
    """A control with a catalogue, and users who are logged in."""

    def __init__(self, seed, name, mongo=None, db=None, redis_url=None):
        super().__init__()
        self.name = name
        config = self.folder / "config/control.yaml"
        text = config.read_text()
        text = re.sub(r"(?m)^stream_limit: .*$", f"stream_limit: {LIMIT}", text)
        text = re.sub(r"(?m)^(  rate_(?:user|address)): .*$", r"\1: 1000000000", text)
        text = re.sub(r"(?m)^  (cert_file|key_file): .*\n", "", text)  # as behind a proxy that ends TLS; Express has none either
        text += f"access_log: \"off\"\nworkers: 1\nsession_key_file: \"{self.folder}/secrets/sessions.pem\"\n"
        self.db = f"{db}weir" if db else str(self.folder / "control/weir.db")
        text = re.sub(r"(?m)^db: .*$", f"db: \"{self.db}\"", text)
        if redis_url:
            text += f"redis: {redis_url}\n"
        config.write_text(text)
        self.start("control")  # makes the database
        self.stop("control")
        start = time.monotonic()
        with open(seed, encoding="utf-8") as lines:
            subprocess.run([BUILD / "bench/control-fill", "put", self.db], stdin=lines, check=True)
        if mongo:
            index_ids(mongo, "weir")
        filled = time.monotonic()
        self.start("control")
        self.pid = self.daemons["control"].process.pid
        self.base = self.url("control").replace("https://localhost", "http://127.0.0.1")
        self.port = int(self.base.rsplit(":", 1)[1])
        self.tokens = subprocess.run([BUILD / "bench/control-fill", "tokens", self.folder / "secrets/sessions.pem", "weir-control",
                                      str(LOGINS + 1)], capture_output=True, text=True, check=True).stdout.split()
        self.racer = self.tokens.pop()
        self.wait_for_memory()
        say(f"{name}: {VIDEOS:,} videos and {USERS:,} users put in {filled - start:.0f} s, ready {time.monotonic() - filled:.0f} s after")

    def wait_for_memory(self):
        until = time.monotonic() + 120
        while not self.metric("control", "weir_control_memory_fills_total"):
            if time.monotonic() > until:
                raise RuntimeError("the catalogue does not come into memory:\n" + self.log("control")[-2000:])
            time.sleep(0.2)

    def call(self, method, path, token, body=None):
        headers = {"Authorization": f"Bearer {token}", **({"Content-Type": "application/json"} if body is not None else {})}
        return request(method, self.base + path, body, headers)


class Load:
    """control-load: requests of many users, each at its time."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0

    def run(self, port, requests, rate=0, seconds=SECONDS, connections=64, core=None):
        """requests: (method, path, token, body or None). What control-load says."""
        self.number += 1
        path = self.folder / f"requests-{self.number}.tsv"
        path.write_text("".join(f"{m}\t{p}\t{t}\t{'' if b is None else json.dumps(b)}\n" for m, p, t, b in requests), encoding="utf-8")
        pin = ["taskset", "-c", core] if core else []
        out = subprocess.run([*pin, str(BUILD / "bench/control-load"), f"port={port}", f"requests={path}", f"rate={rate}",
                              f"seconds={seconds}", f"connections={connections}"], capture_output=True, text=True, check=True)
        path.unlink()
        return json.loads(out.stdout)


def expect(got, wanted, what):
    if set(got["statuses"]) != {wanted}:
        raise RuntimeError(f"{what}: answered {got['statuses']}")
    return got


def spread(tokens, n):
    return [tokens[i * 7919 % len(tokens)] for i in range(n)]


# --- parts ----------------------------------------------------------------------------------------


def requests_of(control, n):
    """Of each kind n requests, of many users, for many videos."""
    dice = titles.Dice(99)
    users = spread(control.tokens, n)
    lists = ["", "&tier=free", "&category=drama", "&category=comedy&language=en", "&kind=film", "&length=short", "&subtitles=de"]
    film = [f"title-{dice.below(VIDEOS):06d}" for _ in range(n)]
    return {
        "GET /videos/{id}": [("GET", f"/api/v1/videos/{film[i]}", users[i], None) for i in range(n)],
        "GET /videos": [("GET", f"/api/v1/videos?limit=20{dice.of(lists)}", users[i], None) for i in range(n)],
        "playback start": [("POST", "/api/v1/playback", users[i], {"asset": film[i], "device": "bench"}) for i in range(n)],
    }


def bench_latency(control, load, table, goal_ms):
    n = 20_000 if not QUICK else 2_000
    kinds = requests_of(control, n)
    sessions = {}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for token, answer in zip(control.tokens, pool.map(
                lambda t: control.call("POST", "/api/v1/playback", t, json.dumps({"asset": "title-000001", "device": "beat"})),
                control.tokens)):
            if answer.status != 200:
                raise RuntimeError(f"playback: {answer.status} {answer.body[:300]}")
            sessions[token] = answer.json()["session_id"]
    kinds["heartbeat"] = [("POST", f"/api/v1/playback/{sessions[t]}/heartbeat", t, {}) for t in spread(control.tokens, n)]
    for what, requests in kinds.items():
        before = cpu_seconds(control.pid)
        got = expect(load.run(control.port, requests, RATE), "200", what)
        cpu = (cpu_seconds(control.pid) - before) / (got["requests"] * (SECONDS + 1) / SECONDS) * 1000
        table.add(f"{control.name}: {what} at {RATE}/s, p95", "ms", got["p95"], goal=f"under {goal_ms} ms", at_least=goal_ms)
        table.add(f"{control.name}: {what}, p50", "ms", got["p50"])
        table.add(f"{control.name}: {what}, CPU for 1,000", "s", cpu)
        say(f"{control.name}: {what}: {got}")
    together = [r for four in zip(*kinds.values()) for r in (four[0], four[2], four[3], four[1], four[2], four[3])]
    got = expect(load.run(control.port, together, 3 * RATE), "200", "all at once")
    table.add(f"{control.name}: reads, starts and heartbeats at once, {RATE}/s each, p95", "ms", got["p95"])
    say(f"{control.name}: all at once: {got}")


def bench_search(control, load, table, videos):
    queries = control_seed.Queries(videos)
    n = SEARCHES * (SECONDS + 2)
    users = spread(control.tokens, n)
    for kind in control_seed.KINDS:
        requests = []
        for i in range(n):
            path, query = queries.one(kind)
            query |= {"limit": PAGE} if path == "search" else {}
            requests.append(("GET", f"/api/v1/videos/{path}?{urllib.parse.urlencode(query)}", users[i], None))
        before = cpu_seconds(control.pid)
        got = expect(load.run(control.port, requests, SEARCHES), "200", kind)
        cpu = (cpu_seconds(control.pid) - before) / (got["requests"] * (SECONDS + 1) / SECONDS) * 1000
        table.add(f"{control.name}: search among {VIDEOS:,}, {kind}, p95", "ms", got["p95"], goal="under 30 ms", at_least=30)
        say(f"{control.name}: search, {kind}: {got}, CPU {cpu:.2f} ms each")


def bench_race(control, table):
    """A thousand starts at once for one account: its limit is 3."""
    def start(i):
        return control.call("POST", "/api/v1/playback", control.racer, json.dumps({"asset": "title-000002", "device": f"device-{i}"})).status
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        got = list(pool.map(start, range(1000)))
    if sorted(set(got)) != [200, 429]:
        raise RuntimeError(f"a race was answered with {sorted(set(got))}")
    if got.count(200) < LIMIT:
        raise RuntimeError(f"a race let in {got.count(200)}")
    table.add(f"{control.name}: let in of 1,000 starts at once, limit {LIMIT}", "", got.count(200), goal=str(LIMIT), at_least=LIMIT + 0.5)


def bench_leases(control, table):
    """All leases renewed once in a round, in batches as edges send them."""
    url = control.base + "/api/v1/internal/leases/renew"
    headers = {"Authorization": "Bearer " + (control.folder / "secrets/edge").read_text().strip(), "Content-Type": "application/json"}
    until_ms = int(time.time() * 1000) + 3_600_000
    sessions = [{"user": f"lease-{i}", "session": f"{i:032x}", "asset": "title-000003", "until_ms": until_ms} for i in range(LEASES)]
    batches = [json.dumps({"sessions": sessions[i:i + BATCH]}) for i in range(0, LEASES, BATCH)]

    def renew(seconds):
        lost = 0
        begin = time.monotonic()
        for n, batch in enumerate(batches):
            time.sleep(max(0, begin + seconds * n / len(batches) - time.monotonic()))
            lost += sum(s != "live" for s in request("POST", url, batch, headers).json()["states"])
        time.sleep(max(0, begin + seconds - time.monotonic()))
        return lost
    renew(0)  # taken up
    before, begin = cpu_seconds(control.pid), time.monotonic()
    lost = renew(ROUND_S)
    share = (cpu_seconds(control.pid) - before) / (time.monotonic() - begin) * 100
    goal = {"goal": "under 25 %", "at_least": 25} if not QUICK else {}
    table.add(f"{control.name}: {LEASES:,} leases renewed each {ROUND_S} s, of a core", "%", share, **goal)
    table.add(f"{control.name}: leases lost", "", lost, goal="none", at_least=0.5)


class Express:
    """The reference service, installed as its lock file says, over the same kind of MongoDB, with the same videos."""

    def __init__(self, mongo, uri, seed):
        home = ROOT / "build/bench/express"
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json", "server.mjs"):
            shutil.copy(ROOT / "bench/express" / name, home / name)
        lock = (home / "package-lock.json").read_bytes()
        if not (home / "installed").exists() or (home / "installed").read_bytes() != lock:
            subprocess.run(["npm", "ci", "--omit=dev", "--no-audit", "--no-fund"], cwd=home, check=True, stdout=subprocess.DEVNULL)
            (home / "installed").write_bytes(lock)
        self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, "node", "server.mjs", uri + "express", str(seed),
                                         str(VIDEOS)], cwd=home,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_ENV": "production"})
        self.pid = self.process.pid
        self.port = int(self.process.stdout.readline())
        index_ids(mongo, "express")

    def close(self):
        self.process.terminate()
        self.process.wait()


def pin(pid, core):
    subprocess.run(["taskset", "-a", "-p", "-c", core, str(pid)], check=True, stdout=subprocess.DEVNULL)


def flood(load, port, pid, requests, what, warm_s):
    """Requests a second of a core of that process, while it has all that it can do."""
    load.run(port, requests, seconds=1 if QUICK else warm_s, core=LOAD_CORE)
    before, begin = cpu_seconds(pid), time.monotonic()
    got = expect(load.run(port, requests, seconds=SECONDS, core=LOAD_CORE), "200", what)
    used, passed = cpu_seconds(pid) - before, time.monotonic() - begin
    each = got["requests"] * (SECONDS + 1) / SECONDS / used  # with the second of warming up
    say(f"{what}: {each:.0f} requests a CPU second, {got['requests'] / SECONDS:.0f}/s, {used / passed * 100:.0f} % of a core, p50 {got['p50']} ms")
    return each


def bench_express(control, express, load, table):
    users = spread(control.tokens, VIDEOS)
    ours = [("GET", f"/api/v1/videos/title-{i * 7919 % VIDEOS:06d}", users[i], None) for i in range(VIDEOS)]
    theirs = [(method, path, "", None) for method, path, _, _ in ours]
    pin(control.pid, SERVER_CORE)
    # Of ours each video is asked for before; theirs is compiled at run time, and needs a while for that.
    rounds = [(flood(load, control.port, control.pid, ours, f"{control.name}: GET /videos/{{id}}", 8),
               flood(load, express.port, express.pid, theirs, "Express: GET /videos/{id}", 8))
              for _ in range(1 if QUICK else 2)]
    pin(control.pid, "0-%d" % (os.cpu_count() - 1))
    ours, theirs = max(rounds, key=lambda r: r[1])  # its best
    table.add(f"{control.name}: GET /videos/{{id}}, evenly over {VIDEOS:,}", "requests a core-second", ours, theirs, "Express + Mongoose",
              "at least 10x", "higher", at_least=10)


PARTS = ("latency", "search", "race", "leases", "express")


def bench_all(control, load, table, wanted, videos, seed, mongo, mongo_uri, goal_ms):
    if "latency" in wanted:
        bench_latency(control, load, table, goal_ms)
    if "search" in wanted:
        bench_search(control, load, table, videos)
    if "race" in wanted:
        bench_race(control, table)
    if "leases" in wanted:
        bench_leases(control, table)
    if "express" in wanted:
        express = Express(mongo, mongo_uri, seed)
        try:
            bench_express(control, express, load, table)
        finally:
            express.close()


def main():
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")] or list(PARTS)
    only = next((a.split("=", 1)[1] for a in sys.argv if a.startswith("--only=")), "embedded mongodb")
    if set(wanted) - set(PARTS):
        sys.exit(__doc__)
    table = Table("control")
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = pathlib.Path(name)
        load = Load(folder)
        videos = list(titles.titles(VIDEOS))
        seed = folder / "seed.tsv"
        with open(seed, "w", encoding="utf-8") as out:
            for line in control_seed.lines(videos, USERS, LOGINS + 1):
                out.write(line + "\n")
        mongo, uri = mongodb(folder)
        store, redis_url = redis(folder)
        try:
            for key, label, goal_ms, settings in (("embedded", "embedded", 20, {}),
                                                  ("mongodb", "MongoDB + Redis", 50, {"mongo": mongo, "db": uri, "redis_url": redis_url})):
                if key not in only:
                    continue
                control = Control(seed, label, **settings)
                try:
                    bench_all(control, load, table, wanted, videos, seed, mongo, uri, goal_ms)
                finally:
                    control.close()
        finally:
            store.close()
            mongo.close()
    table.show()


if __name__ == "__main__":
    main()
