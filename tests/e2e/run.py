#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests: run.py [NAME...]. Last line: "N passed, N failed[, N skipped]"."""
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


class Lines(unittest.TextTestResult):
    """One line a test, with its name as it would be given to run.py."""
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        Lines.passed += 1


def main():
    loader = unittest.TestLoader()
    patterns = sys.argv[1:]
    if patterns:
        loader.testNamePatterns = [f"*{p}*" for p in patterns]
    suite = loader.discover(str(HERE), pattern="*_test.py")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Lines).run(suite)
    failed = len(result.failures) + len(result.errors)
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    for test, why in result.skipped:
        print(f"skipped: {test}: {why}")
    print(f"{Lines.passed} passed, {failed} failed{skipped}")
    sys.exit(1 if failed or not Lines.passed else 0)


if __name__ == "__main__":
    main()
