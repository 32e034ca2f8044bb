#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""edge: weir-edge against nginx, Traffic Server and Varnish as a cache in front of the same origin; servers on one
core, load on the other, in turn.
usage: edge.py [--quick] [--folder=FOLDER on the disk to measure; build/bench if not given] [CASE...]"""
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

import edge_peers
from bench import BUILD, ROOT, Table, median
from edge_peers import LOAD_CORE, MIB, Nginx, Origin, TrafficServer, Varnish, Weir

QUICK = "--quick" in sys.argv
ROUNDS = 1 if QUICK else 3
GB = 1e9
VIEWERS = 1000 if QUICK else 10_000
IDLE = 1000 if QUICK else 10_000
SECRET = "0123456789abcdef0123456789abcdef"


def run_load(*command):
    result = subprocess.run(["taskset", "-c", LOAD_CORE, *map(str, command)], capture_output=True, text=True, timeout=300)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {(result.stderr + result.stdout)[-1000:]}")
    return result.stdout


def load_command(peer, mode, tls, options):
    port = peer.tls if tls else peer.plain
    # The peers that look at the host see the same name from all loads.
    return [BUILD / "bench/edge-load", mode, f"port={port}", f"tls={int(tls)}", f"host=localhost:{port}",
            *[f"{k}={v}" for k, v in options.items()]]


def start_load(peer, mode, tls, **options):
    command = ["taskset", "-c", LOAD_CORE, *map(str, load_command(peer, mode, tls, options))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def edge_load(peer, mode, tls=False, **options):
    return json.loads(run_load(*load_command(peer, mode, tls, options)))


class Sample:
    """What a load cost a server: seconds of its CPU, requests, bytes, seconds of the clock."""

    def __init__(self, peer, load):
        before, start = peer.cpu(), time.monotonic()
        self.requests, self.bytes = load()
        self.wall = time.monotonic() - start
        self.cpu = max(peer.cpu() - before, 0.01)

    @property
    def per_gb(self):
        return self.cpu / (self.bytes / GB)

    @property
    def per_cpu_second(self):
        return self.requests / self.cpu

    @property
    def mb_s(self):
        return self.bytes / 1e6 / self.wall


def h2load(peer, path, requests, size):
    def load():
        out = run_load("h2load", "-c16", "-m4", "-n", requests, peer.url(path, tls=True))
        good = int(re.search(r"(\d+) succeeded", out)[1])
        if good != requests or "h2" not in out:
            raise RuntimeError(f"{peer.name}: {good} of {requests} requests: {out[-600:]}")
        return good, good * size
    return Sample(peer, load)


def wrk(peer, path, tls, seconds, size):
    def load():
        out = run_load("wrk", "-t1", "-c16", f"-d{seconds}s", peer.url(path, tls))
        good = int(re.search(r"(\d+) requests in", out)[1])
        if "Non-2xx" in out or "Socket errors" in out:
            raise RuntimeError(f"{peer.name}: {out[-600:]}")
        return good, good * size
    return Sample(peer, load)


def spread(peer, tls=False, **options):
    def load():
        out = edge_load(peer, "spread", tls, **options)
        if out["errors"]:
            raise RuntimeError(f"{peer.name}: {out}")
        return out["requests"], out["bytes"]
    return Sample(peer, load)


class Bench:
    def __init__(self, folder):
        self.folder, self.table, self.peers, self.origin = folder, Table("edge"), [], Origin()

    def start(self, *kinds, **options):
        self.stop()
        for kind, more in [k if isinstance(k, tuple) else (k, {}) for k in kinds]:
            self.peers.append(kind(self.folder, self.origin, **{**options, **more}))
        return self.peers

    def stop(self):
        for peer in self.peers:
            peer.stop()
        self.peers = []

    def close(self):
        self.stop()
        self.origin.stop()

    def rounds(self, measure):
        """{name: [a sample a round]}, the peers in turn, after one warm-up each."""
        samples = {peer.name: [] for peer in self.peers}
        for peer in self.peers:
            measure(peer)
        for _ in range(ROUNDS):
            for peer in self.peers:
                samples[peer.name].append(measure(peer))
        return samples

    def row(self, metric, unit, samples, value, goal, at_least, better="lower"):
        """Against the best of the peers: the median of the rounds' ratios."""
        values = {name: [value(s) for s in list_] for name, list_ in samples.items()}
        best = (min if better == "lower" else max)((n for n in values if n != "weir"), key=lambda n: median(values[n]))
        self.table.add(metric, unit, median(values["weir"]), median(values[best]), best, goal, better, at_least)
        row = self.table.rows[-1]
        ratios = [p / w if better == "lower" else w / p for w, p in zip(values["weir"], values[best])]
        row["ratio"] = round(median(ratios), 3)
        row["holds"] = None if at_least is None else median(ratios) >= at_least
        row["all"] = {name: round(median(v), 4) for name, v in values.items()}
        print(f"{metric}: " + ", ".join(f"{n} {v:.4g}" for n, v in row["all"].items()) + f" {unit}", flush=True)


def case_h2(b):
    b.start(Nginx, TrafficServer, Weir)
    for size, label, requests in ((MIB, "1 MiB", 3000), (64 << 10, "64 KiB", 20000), (4096, "4 KiB", 100000)):
        path, requests = f"/o/h2-{size}/{size}", requests // (10 if QUICK else 1)
        samples = b.rounds(lambda p: h2load(p, path, requests, size))
        if size == MIB:
            b.row(f"RAM hit, h2 over TLS 1.3, {label}", "CPU s/GB", samples, lambda s: s.per_gb, "at most 0.5x", 1 / 0.5)
        else:
            factor = 2.5 if size > 4096 else 2.2
            b.row(f"RAM hit, h2 over TLS 1.3, {label}", "requests per CPU s", samples, lambda s: s.per_cpu_second,
                  f"at least {factor}x", factor, "higher")


def case_h1_tls(b):
    b.start(Nginx, TrafficServer, Weir)
    samples = b.rounds(lambda p: wrk(p, f"/o/h1/{MIB}", True, 1 if QUICK else 3, MIB))
    b.row("RAM hit, HTTP/1.1 over TLS 1.3, 1 MiB", "CPU s/GB", samples, lambda s: s.per_gb, "at most 0.6x", 1 / 0.6)


def case_h1(b):
    class NginxPlain(Nginx):  # on loopback sendfile costs more for large bodies: the better of both counts
        name = "nginx-nosendfile"
    b.start(Nginx, (NginxPlain, {"sendfile": "off"}), TrafficServer, Varnish, Weir)
    samples = b.rounds(lambda p: wrk(p, f"/o/h1/{MIB}", False, 1 if QUICK else 3, MIB))
    b.row("RAM hit, HTTP/1.1 without TLS, 1 MiB", "CPU s/GB", samples, lambda s: s.per_gb, "at most 1.0x", 1.0)


def case_signed(b):
    b.start((Nginx, {"secret": SECRET}), (TrafficServer, {"secret": SECRET}), edge_peers.WeirLeased)
    size = 64 << 10
    path = f"/v/signed/{size}"
    urls = {p.name: p.signed(path) for p in b.peers}
    samples = b.rounds(lambda p: h2load(p, urls[p.name], 2000 if QUICK else 20000, size))
    b.row("RAM hit, h2 over TLS 1.3, 64 KiB, signed (and a lease)", "CPU s/GB", samples, lambda s: s.per_gb, "at most 0.6x",
          1 / 0.6)


def case_disk(b):
    count = 320 if QUICK else 1280  # of 1 MiB: ten times the RAM tier
    ram = count * MIB // 10
    # nginx never reads its cache past the page cache, whatever directio says: that is its RAM tier.
    b.start((Nginx, {"memory": ram + 64 * MIB}), TrafficServer, Weir, ram=ram, disk=4 << 30, direct=True)
    options = {"path": f"/o/disk-%u/{MIB}", "count": count, "connections": 16}
    for peer in b.peers:
        for _ in range(2):  # the second time what is kept off the disk at first is written too
            edge_load(peer, "spread", requests=count, sequential=1, **options)
    time.sleep(2)
    samples = b.rounds(lambda p: spread(p, requests=count, **options))
    b.row("disk hit, data set 10x RAM, 1 MiB", "MB/s", samples, lambda s: s.mb_s, "at least 1.2x", 1.2, "higher")
    b.row("disk hit, data set 10x RAM, 1 MiB", "CPU s/GB", samples, lambda s: s.per_gb, "at most 0.8x", 1 / 0.8)
    fio = json.loads(subprocess.run(
        ["taskset", "-c", LOAD_CORE, "fio", "--name=peer", f"--filename={b.folder}/fio", f"--size={count}m", "--direct=1",
         "--ioengine=io_uring", "--bs=1m", "--iodepth=16", "--rw=randread", "--runtime=3", "--time_based", "--output-format=json"],
        capture_output=True, text=True, check=True, env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}).stdout)["jobs"][0]["read"]["bw_bytes"] / 1e6
    (b.folder / "fio").unlink()
    weir = median([s.mb_s for s in samples["weir"]])
    b.table.add("disk hit, data set 10x RAM, 1 MiB", "MB/s", weir, fio, "fio", "at least 0.85x", "higher", 0.85)


def case_fill(b):
    b.start(Nginx, TrafficServer, Varnish, Weir, ram=256 * MIB, disk=8 << 30)
    requests, at = 200 if QUICK else 1000, iter(range(0, 1 << 40, 10000))
    samples = b.rounds(lambda p: spread(p, path=f"/o/fill-%u/{MIB}", requests=requests, sequential=1, **{"from": next(at)}))
    b.row("miss and fill, 1 MiB, distinct URLs", "CPU s/GB", samples, lambda s: s.per_gb, "at most 0.8x", 1 / 0.8)
    b.table.rows[-1]["mb_s"] = {n: round(median([s.mb_s for s in list_])) for n, list_ in samples.items()}


def case_burst(b):
    b.start(Nginx, TrafficServer, Varnish, Weir)
    times, asked = {p.name: [] for p in b.peers}, {p.name: [] for p in b.peers}
    for number in range(ROUNDS):
        for peer in b.peers:
            b.origin.reset()
            out = edge_load(peer, "burst", connections=1000, path=f"/o/burst-{number}/{4 * MIB}")
            if out["errors"]:
                raise RuntimeError(f"{peer.name}: {out}")
            times[peer.name].append(out["last_ms"])
            asked[peer.name].append(b.origin.count()["requests"])
    print("requests at the origin:", asked, flush=True)
    best = min((n for n in times if n != "weir"), key=lambda n: median(times[n]))
    b.table.add("1,000 clients at once, one cold 4 MiB: last done", "ms", median(times["weir"]), median(times[best]), best, "first",
                "lower", 1.0)
    worst = max(asked["weir"])
    b.table.add("1,000 clients at once, one cold 4 MiB: origin asked", "requests", worst, None, None, "exactly 1")
    b.table.rows[-1]["holds"] = worst == 1
    b.table.rows[-1]["all"] = {n: max(v) for n, v in asked.items()}


def case_idle(b):
    b.start(Nginx, Weir)
    used = {}
    for peer in b.peers:
        edge_load(peer, "burst", True, connections=50, path="/o/idle/1000")
        before = peer.memory()
        load = start_load(peer, "idle", True, connections=IDLE)
        load.stdout.readline()
        time.sleep(1)
        used[peer.name] = (peer.memory() - before) / IDLE / 1024
        load.communicate()
    b.table.add(f"memory of an idle TLS connection, of {IDLE}", "KiB", used["weir"], used["nginx"], "nginx", "at most 1.0x", "lower", 1.0)


def case_paced(b):
    b.start(Nginx, Weir)
    size, count, cost, outs = 64 << 10, 50, {}, {}
    options = {"connections": VIEWERS, "period_ms": 4000, "seconds": 8 if QUICK else 12, "path": f"/o/paced-%u/{size}", "count": count}
    for peer in b.peers:
        edge_load(peer, "spread", requests=count, sequential=1, connections=8, path=options["path"], count=count)
    shakes = {}
    for _ in range(1 if QUICK else 2):
        for peer in b.peers:
            before = peer.cpu()
            load = start_load(peer, "paced", True, **options)
            load.stdout.readline()  # all connections stand
            start = peer.cpu()
            out = json.loads(load.communicate(timeout=300)[0])
            cost.setdefault(peer.name, []).append((peer.cpu() - start) / (out["bytes"] / GB))
            shakes.setdefault(peer.name, []).append((start - before) / VIEWERS * 1000)
            outs.setdefault(peer.name, []).append(out)
    print({n: [(o["errors"], o["late"], o["p99_ms"]) for o in v] for n, v in outs.items()}, flush=True)
    b.table.add(f"{VIEWERS} paced viewers, 64 KiB in 4 s each, TLS", "CPU s/GB", median(cost["weir"]), median(cost["nginx"]),
                "nginx", "at most 0.8x", "lower", 1 / 0.8)
    p99 = max(o["p99_ms"] for o in outs["weir"])
    b.table.add(f"{VIEWERS} paced viewers: p99", "ms", p99, None, None, "under 100 ms", "lower", 100)
    b.table.rows[-1]["all"] = {n: max(o["p99_ms"] for o in v) for n, v in outs.items()}
    b.table.add("a TLS handshake of theirs, connection included", "CPU ms", median(shakes["weir"]), median(shakes["nginx"]), "nginx")
    errors = sum(o["errors"] + o["late"] for o in outs["weir"])
    b.table.add(f"{VIEWERS} paced viewers: errors and late", "requests", errors, None, None, "none")
    b.table.rows[-1]["holds"] = errors == 0


def case_ratio(b):
    """All get the same RAM and the same disk; RAM is a tenth of the disk, the disk a quarter of the trace's footprint. A trace
    is so long that most of it meets a full cache, and that a channel's viewers come back for four or five segments."""
    families = subprocess.run([BUILD / "bench/evict", "--families"], capture_output=True, text=True, check=True).stdout.split()
    requests, seed = 4000 if QUICK else 20000, 1001
    for family in families[:2] if QUICK else families:
        about = json.loads(subprocess.run([BUILD / "bench/evict", "--family", family, "--requests", str(requests), "--seed", str(seed),
                                           "--policies", "LRU", "--shares", "0.1"], capture_output=True, text=True, check=True).stdout.splitlines()[0])
        disk = max(int(about["footprint"] * 0.25) // MIB * MIB, 256 * MIB)
        hits = {}
        for kind in (TrafficServer, Varnish, Weir):
            peer, = b.start(kind, ram=disk // 10, disk=disk, direct=kind is Varnish)
            b.origin.reset()
            out = edge_load(peer, "replay", connections=8, family=family, requests=requests, seed=seed)
            if out["errors"]:
                raise RuntimeError(f"{peer.name}, {family}: {out}")
            count = b.origin.count()
            hits[peer.name] = (1 - count["requests"] / out["requests"], 1 - count["bytes"] / out["bytes"])
        print(family, {n: tuple(round(x, 4) for x in v) for n, v in hits.items()}, flush=True)
        for i, unit in enumerate(("share of requests", "share of bytes")):
            best = max(("trafficserver", "varnish"), key=lambda n: hits[n][i])
            b.table.add(f"hits, RAM + disk, trace {family}", unit, hits["weir"][i], hits[best][i], best, "above both", "higher", 1.0)


CASES = {name[5:]: function for name, function in list(globals().items()) if name.startswith("case_")}


def main():
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")] or list(CASES)
    folder = next((pathlib.Path(a.split("=", 1)[1]) for a in sys.argv if a.startswith("--folder=")), ROOT / "build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ.setdefault("LC_ALL", "C")
    with tempfile.TemporaryDirectory(dir=folder, prefix="edge-") as work:
        bench = Bench(pathlib.Path(work))
        try:
            for name in wanted:
                CASES[name](bench)
        finally:  # what was measured before a case failed counts
            bench.close()
            bench.table.show()


if __name__ == "__main__":
    main()
