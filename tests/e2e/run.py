#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests: run.py [--jobs N] [NAME...]. Last line: "N passed, N failed[, N skipped]".
A file is run by a process of its own, N files at a time, the longest first; most of a test is waiting."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

# Those that take longest, in the order of their time; the rest takes a few seconds each.
LONG = ("schema", "browser", "page", "people", "api_attack", "api_mongo", "tls", "demo", "takeover", "abuse", "lease", "two_controls", "delivery", "ingest",
        "cache", "topology", "cache_fill", "purge")
LAST = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


class Lines(unittest.TextTestResult):
    """One line a test, with its name as it would be given to run.py."""
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        Lines.passed += 1


def load(patterns, files="*_test.py"):
    loader = unittest.TestLoader()
    if patterns:
        loader.testNamePatterns = [f"*{p}*" for p in patterns]
    return loader.discover(str(HERE), pattern=files)


def run_here(patterns, files):
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Lines).run(load(patterns, files))
    failed = len(result.failures) + len(result.errors)
    for test, why in result.skipped:
        print(f"skipped: {test}: {why}")
    for test, _ in result.failures + result.errors:
        print(f"FAILED: {test}")
    print(summary(Lines.passed, failed, len(result.skipped)))
    return failed


def summary(passed, failed, skipped):
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def order(path):
    name = path.name.removesuffix("_test.py")
    return LONG.index(name) if name in LONG else len(LONG)


def run_file(path, patterns):
    """(what it printed, its counts)"""
    child = subprocess.run([sys.executable, __file__, "--file", path.name, *patterns], capture_output=True, text=True, env=os.environ)
    *lines, last = child.stdout.splitlines() or [""]
    found = LAST.match(last)
    if found is None:  # it did not come to its end: one failure
        return child.stdout + child.stderr + f"\n{path.name} ended with {child.returncode}\n", (0, 1, 0)
    return "\n".join(lines) + "\n" + child.stderr, tuple(int(n or 0) for n in found.groups())


def main(words):
    if words[:1] == ["--file"]:
        sys.exit(1 if run_here(words[2:], words[1]) else 0)
    jobs = 1
    if words[:1] == ["--jobs"]:
        jobs, words = int(words[1]), words[2:]
    wanted = [p for p in sorted(HERE.glob("*_test.py"), key=order) if load(words, p.name).countTestCases()]
    total, broken = [0, 0, 0], []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run_file, p, words) for p in wanted]):
            text, counts = future.result()
            print(text, flush=True)
            broken += [text] if counts[1] else []
            total = [a + b for a, b in zip(total, counts)]
    for text in broken:  # again at the end, where it is looked for
        print(text, flush=True)
    print(summary(*total))
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
