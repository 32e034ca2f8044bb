#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""store: lib/store against fio, a file for each segment and RocksDB's blob files, on one disk, in turn.
usage: store.py [--quick] [--folder=FOLDER on the disk to measure; build/bench if not given]"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from bench import BUILD, ROOT, Table, median

QUICK = "--quick" in sys.argv
ROUNDS = 3 if QUICK else 5
SECONDS = 0.5 if QUICK else 2  # of each read
PUTS = 256 if QUICK else 1024  # of 1 MiB
WRITERS = 8
OPEN_BLOBS = 100_000 if QUICK else 1_000_000
HEAP_BLOBS = 1_000_000 if QUICK else 10_000_000
MIB = 1 << 20
# Peers get their buffers in huge pages: the disk moves 1 MiB at twice the rate into few large pages.
HUGE = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
VOLUME_BLOBS = 1020  # records of 1 MiB in a volume of 1 GiB


def program(name, case, folder, **options):
    """What a program of bench/ printed, as JSON."""
    command = [str(BUILD / "bench" / name), case, str(folder)] + [f"{k}={v}" for k, v in options.items()]
    result = subprocess.run(command, capture_output=True, text=True, env=None if name == "store-weir" else HUGE)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr[-2000:]}")
    return json.loads(result.stdout) if result.stdout.strip() else {}


def fio(path, size, **options):
    """MB/s of fio with O_DIRECT and io_uring on one file."""
    options = {"name": "peer", "filename": path, "size": size, "direct": 1, "ioengine": "io_uring", **options}
    command = ["fio", "--output-format=json"] + [f"--{k}={v}" for k, v in options.items()]
    result = subprocess.run(command, capture_output=True, text=True, env=HUGE)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr[-2000:]}")
    job = json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]
    return max(job["read"]["bw_bytes"], job["write"]["bw_bytes"]) / 1e6


def remove(path):
    """With all that follows from it: a file system mounted with discard trims the freed blocks at its next
    commit, and whoever syncs next would pay for that."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    subprocess.run(["sync", "-f", path.parent], check=True)
    time.sleep(0.1 if QUICK else 0.3)


class Ratios(Table):
    """Rows of rounds: medians of both sides, and the median of the rounds' ratios."""

    def rounds(self, metric, unit, weir, peer, peer_name, goal, at_least, better="higher"):
        super().add(metric, unit, median(weir), median(peer), peer_name, goal, better, at_least)
        row = self.rows[-1]
        ratio = median([p / w if better == "lower" else w / p for w, p in zip(weir, peer)])
        row["ratio"] = round(ratio, 3)
        row["holds"] = None if at_least is None else ratio >= at_least


def bench_puts(folder, table):
    """All write PUTS blobs of 1 MiB into new files; fio also over a file that was written before."""
    weir, peers, per_sync = [], {}, []
    written = folder / "written"
    fio(written, PUTS * MIB, rw="write", bs=MIB, iodepth=8, end_fsync=1)
    for _ in range(ROUNDS):
        ours = program("store-weir", "puts", folder / "puts", count=PUTS, threads=WRITERS)
        remove(folder / "puts")
        weir.append(ours["mb_s"])
        per_sync.append(PUTS / ours["groups"])
        cadence = max(round(per_sync[-1]), 1)
        same = {"rw": "write", "bs": MIB, "iodepth": WRITERS, "fdatasync": cadence}
        peers.setdefault("over", []).append(fio(written, PUTS * MIB, overwrite=1, **same))
        peers.setdefault("new", []).append(fio(folder / "new", PUTS * MIB, **same))
        remove(folder / "new")
        for name, peer, more in (("files", "store-files", {}), ("direct", "store-files", {"direct": 1}), ("rocks", "store-rocks", {})):
            peers.setdefault(name, []).append(program(peer, "puts", folder / name, count=PUTS, threads=WRITERS, **more)["mb_s"])
            remove(folder / name)
    remove(written)
    what = f"durable puts of 1 MiB, {WRITERS} writers"
    fio_name = f"fio write, fdatasync every {max(round(median(per_sync)), 1)} MiB"
    table.rounds(what, "MB/s", weir, peers["over"], fio_name + ", file pre-written", "at least 0.85x", 0.85)
    table.rounds(what, "MB/s", weir, peers["new"], fio_name + ", file preallocated", "at least 0.85x", 0.85)
    table.rounds(what, "MB/s", weir, peers["files"], "file per segment", "at least 3x", 3)
    table.rounds(what, "MB/s", weir, peers["direct"], "file per segment, O_DIRECT", None, None)
    table.rounds(what, "MB/s", weir, peers["rocks"], "RocksDB blob files", "at least 1.5x", 1.5)
    table.add("bytes of puts for each fdatasync, median", "MiB", median(per_sync))


def bench_gets(folder, table):
    """Both read a file of one full volume's size at random."""
    fio(folder / "read", VOLUME_BLOBS * MIB, rw="write", bs=MIB, iodepth=8, end_fsync=1)
    for size, depth, goal in ((MIB, 16, 0.9), (MIB // 16, 32, 0.85)):
        store = folder / f"store{size}"
        program("store-weir", "fill", store, size=size, depth=64)
        weir, peer = [], []
        for _ in range(ROUNDS):
            weir.append(program("store-weir", "gets", store, size=size, depth=depth, seconds=SECONDS)["mb_s"])
            peer.append(fio(folder / "read", VOLUME_BLOBS * MIB, rw="randread", bs=size, iodepth=depth, time_based=1,
                            runtime=f"{int(SECONDS * 1000)}ms", norandommap=1, randrepeat=0))
        table.rounds(f"random verified gets of {size // 1024} KiB, depth {depth}", "MB/s", weir, peer, "fio randread",
                     f"at least {goal}x", goal)
    remove(folder / f"store{MIB // 16}")
    return folder / f"store{MIB}"


def bench_cpu(folder, store, table):
    program("store-files", "puts", folder / "files", count=VOLUME_BLOBS, threads=WRITERS)
    weir = {"disk": [], "ram": []}
    peer = {"disk": [], "ram": []}
    for _ in range(ROUNDS):
        weir["disk"].append(program("store-weir", "gets", store, depth=16, seconds=SECONDS)["cpu_s_gb"])
        peer["disk"].append(program("store-files", "gets", folder / "files", count=VOLUME_BLOBS, direct=1, seconds=SECONDS)["cpu_s_gb"])
        weir["ram"].append(program("store-weir", "gets", store, depth=16, hot=4 << 30, seconds=SECONDS / 4)["cpu_s_gb"])
        peer["ram"].append(program("store-files", "gets", folder / "files", count=VOLUME_BLOBS, seconds=SECONDS)["cpu_s_gb"])
    remove(folder / "files")
    what, goal = "CPU of verified gets of 1 MiB", "at most 0.8x"
    table.rounds(f"{what}, both O_DIRECT", "s/GB", weir["disk"], peer["disk"], "pread, xxh3", goal, 1 / 0.8, "lower")
    table.rounds(f"{what}, Weir O_DIRECT, files in the page cache", "s/GB", weir["disk"], peer["ram"], "pread, xxh3", None, None, "lower")
    table.rounds(f"{what}, RAM tier (verified on its way in), page cache", "s/GB", weir["ram"], peer["ram"], "pread, xxh3", goal, 1 / 0.8,
                 "lower")


def bench_rebuild(folder, store, table):
    weir, peer = [], []
    for _ in range(ROUNDS):
        weir.append(program("store-weir", "rebuild", store)["mb_s"])
        peer.append(fio(folder / "read", VOLUME_BLOBS * MIB, rw="read", bs=MIB, iodepth=8))
    table.rounds("rebuild of the index from a volume", "MB/s", weir, peer, "fio read, depth 8", "at least 0.8x", 0.8)
    remove(folder / "read")
    remove(store)


def bench_open(folder, table):
    """A process is killed while it puts; the next one opens what it left."""
    store = folder / "grow"
    process = subprocess.Popen([BUILD / "bench/store-weir", "grow", store, f"count={OPEN_BLOBS}", "size=1024", "depth=512"],
                               stdout=subprocess.PIPE, text=True)
    said = process.stdout.readline()
    process.kill()
    process.wait()
    if said.strip() != "durable":
        raise RuntimeError("store-weir grow ended by itself")
    opened = program("store-weir", "open", store, size=1024)
    if opened["blobs"] < OPEN_BLOBS:
        raise RuntimeError(f"{OPEN_BLOBS} blobs were durable and {opened['blobs']} are there")
    table.add(f"open after kill -9, {OPEN_BLOBS / 1e6:g} M blobs, to the first blob in hand", "s", opened["first_get_s"],
              goal="under 1 s", at_least=1)
    remove(store)


def bench_heap(folder, table):
    for size, name in ((MIB // 16, "64 KiB"), (MIB, "1 MiB")):
        store = folder / "synth"
        program("store-weir", "synth", store, count=HEAP_BLOBS, size=size)
        heap = program("store-weir", "heap", store, count=HEAP_BLOBS)
        table.add(f"heap per blob, {HEAP_BLOBS // 1_000_000} M blobs of {name}", "bytes", heap["per_blob"], goal="under 16 bytes",
                  at_least=16)
        remove(store)


def build():
    """A build folder that was configured before RocksDB was installed does not know it."""
    if not (BUILD / "bench/store-rocks").exists():
        for command in (["meson", "setup", "--reconfigure", BUILD], ["ninja", "-C", BUILD, "bench/store-rocks"]):
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def main():
    chosen = [a.split("=", 1)[1] for a in sys.argv if a.startswith("--folder=")]
    parent = pathlib.Path(chosen[0]) if chosen else ROOT / "build/bench"
    parent.mkdir(parents=True, exist_ok=True)
    build()
    with tempfile.TemporaryDirectory(prefix="store-", dir=parent) as name:
        folder = pathlib.Path(name)
        table = Ratios("store")
        bench_puts(folder, table)
        store = bench_gets(folder, table)
        bench_cpu(folder, store, table)
        bench_rebuild(folder, store, table)
        bench_open(folder, table)
        bench_heap(folder, table)
        table.show()


if __name__ == "__main__":
    main()
