# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: CPU time of a process tree, the table, the JSON, the raw limits."""
import json
import os
import pathlib
import re
import statistics
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of pid, its threads, and the children it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICK


def run_cpu(command):
    """(wall seconds, CPU seconds) of a command; raises when it fails."""
    import resource
    import time
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {result.stderr[-2000:]}")
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


class Table:
    def __init__(self, name):
        self.name = name
        self.rows = []

    def add(self, metric, unit, weir, peer=None, peer_name=None, goal=None, better="lower", at_least=None):
        """ratio is Weir's advantage: above 1 Weir is better. goal: the text of the issue; it holds when
        the ratio is at_least, or, without a peer, when weir is below it."""
        ratio = None if peer is None or weir == 0 or peer == 0 else (peer / weir if better == "lower" else weir / peer)
        holds = None
        if at_least is not None:
            holds = ratio >= at_least if ratio is not None else weir < at_least
        self.rows.append({"metric": metric, "unit": unit, "weir": round(weir, 4), "peer": None if peer is None else round(peer, 4),
                          "peer_name": peer_name, "ratio": None if ratio is None else round(ratio, 3), "goal": goal, "holds": holds})

    def show(self):
        head = ("metric", "unit", "weir", "peer", "ratio", "goal", "holds")
        lines = [head]
        for r in self.rows:
            peer = "-" if r["peer"] is None else f"{r['peer']:.4g} ({r['peer_name']})"
            lines.append((r["metric"], r["unit"], f"{r['weir']:.4g}", peer, "-" if r["ratio"] is None else f"{r['ratio']:.2f}x",
                          r["goal"] or "-", {True: "yes", False: "NO", None: "-"}[r["holds"]]))
        widths = [max(len(str(line[i])) for line in lines) for i in range(len(head))]
        for line in lines:
            print("  ".join(str(c).ljust(w) for c, w in zip(line, widths)).rstrip())
        print(limits_line())
        out = ROOT / "build/bench"
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{self.name}.json").write_text(json.dumps(self.rows, indent=1) + "\n")
        print(f"written to build/bench/{self.name}.json")


def limits_line():
    limits = json.loads(subprocess.run([BUILD / "bench/limits"], capture_output=True, text=True, check=True).stdout)
    for bits in (128, 256):
        out = subprocess.run(["openssl", "speed", "-elapsed", "-evp", f"aes-{bits}-gcm", "-bytes", "16384", "-seconds", "1"],
                             capture_output=True, text=True).stdout
        found = re.search(r"AES-\d+-GCM\s+([\d.]+)k", out, re.I)
        limits[f"aes_{bits}_gcm"] = float(found[1]) / 1e6 if found else 0
    return "one core of this host, GB/s: " + ", ".join(f"{k} {v:.1f}" for k, v in limits.items())


def median(values):
    return statistics.median(values)
