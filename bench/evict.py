#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""evict: the RAM tier's replacement policy against LRU, CLOCK, SIEVE, S3-FIFO, W-TinyLFU and Belady's
rule, by requests and by bytes; curves go to build/bench/evict-TRACE.svg, all points to
build/bench/evict-points.json.
usage: evict.py [--quick] [--seed N] [--trace FILE.csv|FILE.oracleGeneral[.zst]]..."""
import concurrent.futures
import json
import os
import pathlib
import sys
import subprocess

import evict_plot
from bench import BUILD, ROOT, Table

SHARES = (0.01, 0.025, 0.05, 0.1, 0.25)
RIVALS = ("LRU", "SIEVE", "S3-FIFO", "W-TinyLFU")
CURVES = ("Weir", "LRU", "CLOCK", "SIEVE", "S3-FIFO", "W-TinyLFU", "Belady", "Belady-size")
BY = ("requests", "bytes")
GOAL = "at most 1.0x of the best of LRU, SIEVE, S3-FIFO, W-TinyLFU"


def parse(argv):
    options = {"quick": False, "seed": "1001", "traces": []}
    words = iter(argv)
    for word in words:
        if word == "--quick":
            options["quick"] = True
        elif word in ("--seed", "--trace"):
            value = next(words, None)
            if value is None:
                sys.exit(__doc__)
            if word == "--seed":
                options["seed"] = value
            else:
                options["traces"].append(value)
        else:
            sys.exit(__doc__)
    return options


def replay(name, arguments, quick):
    """{"trace": what it is, policy: [a point for each share]}"""
    policies = CURVES if quick else CURVES + ("Weir/1", "Weir/8")
    result = subprocess.run([BUILD / "bench/evict", *arguments, "--policies", ",".join(policies),
                             "--shares", ",".join(map(str, SHARES))], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(result.stderr.strip() or f"evict failed on {name}")
    about, *points = [json.loads(line) for line in result.stdout.splitlines()]
    curves = {"trace": about}
    for point in points:
        curves.setdefault(point["policy"], []).append(point)
    return curves


def jobs(options):
    if options["traces"]:
        return {pathlib.Path(t).name: ["--trace", t] for t in options["traces"]}
    families = subprocess.run([BUILD / "bench/evict", "--families"], capture_output=True, text=True, check=True)
    requests = "500000" if options["quick"] else "4000000"
    return {f: ["--family", f, "--seed", options["seed"], "--requests", requests] for f in families.stdout.split()}


def mean(points, by):
    return sum(p[by] for p in points) / len(points)


def show_points(name, curves):
    about = curves["trace"]
    print(f"\n{name}: {about['requests']} requests, {about['objects']} objects, {about['footprint'] / 2**30:.1f} GiB; "
          "miss ratio by requests / by bytes at each size of cache")
    print("  " + " " * 12 + "".join(f"{share * 100:g} %".rjust(16) for share in SHARES) + "mean".rjust(16) + "ns a request".rjust(14))
    for policy, points in curves.items():
        if policy == "trace":
            continue
        cells = [f"{p['requests']:.4f}/{p['bytes']:.4f}" for p in points]
        cells.append(f"{mean(points, 'requests'):.4f}/{mean(points, 'bytes'):.4f}")
        cost = sum(p["seconds"] for p in points) / len(points) / about["requests"] * 1e9
        print(f"  {policy:12}" + "".join(c.rjust(16) for c in cells) + f"{cost:14.0f}")


def judge(name, curves, table):
    for by in BY:
        rival = min(RIVALS, key=lambda policy: mean(curves[policy], by))
        table.add(f"{name}: miss ratio by {by}, mean of {len(SHARES)} sizes", "", mean(curves["Weir"], by),
                  mean(curves[rival], by), rival, GOAL, at_least=1.0)
    worst = max((w[by] / min(curves[r][i][by] for r in RIVALS), by, SHARES[i])
                for by in BY for i, w in enumerate(curves["Weir"]))
    print(f"  Weir's worst point: {worst[0]:.3f}x of the best there, by {worst[1]} at {worst[2] * 100:g} %")


def main():
    options = parse(sys.argv[1:])
    work = jobs(options)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(work, pool.map(lambda n: replay(n, work[n], options["quick"]), work)))
    table = Table("evict")
    out = ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    for name, curves in results.items():
        show_points(name, curves)
        judge(name, curves, table)
        about = curves["trace"]
        subtitle = f"{about['requests']:,} requests, {about['objects']:,} objects, {about['footprint'] / 2**30:.1f} GiB"
        (out / f"evict-{name}.svg").write_text(evict_plot.svg(f"{name}: {subtitle}", curves, CURVES))
    hits = subprocess.run([BUILD / "bench/evict", "--hits"], capture_output=True, text=True, check=True).stdout
    for hit in map(json.loads, hits.splitlines()):
        table.add(f"CPU time of a hit in RAM, {hit['threads']} thread{'s' * (hit['threads'] > 1)}", "ns", hit["ns"])
    (out / "evict-points.json").write_text(json.dumps(results, indent=1) + "\n")
    print()
    table.show()


if __name__ == "__main__":
    main()
