#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that layers.py finds what it is for: each bad include, planted in a copy, is reported."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1]).resolve()
PLANTED = [
    ("lib/base/base.h", '#include "store/store.h"'),
    ("lib/http/http.h", '#include "store/store.h"'),
    ("lib/store/store.h", "#include <h2o.h>"),
    ("edge/edge.h", '#include "origin/origin.h"'),
    ("edge/edge.h", "#include <lmdb.h>"),
    ("lib/media/presentation.h", "#include <libavformat/avformat.h>"),
    ("lib/fetch/fetch.h", '#include "http/http.h"'),
]


def run(root):
    return subprocess.run([sys.executable, str(ROOT / "tests/lint/layers.py"), str(root)],
                          capture_output=True, text=True)


with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / "tree"
    for top in ("lib", "origin", "edge", "ingest", "control", "tools", "tests", "bench", "docs"):
        shutil.copytree(ROOT / top, copy / top, ignore=shutil.ignore_patterns("node_modules", "corpus"))
    if run(copy).returncode != 0:
        sys.exit("the untouched copy is not clean")
    for name, line in PLANTED:
        path = copy / name
        kept = path.read_text()
        path.write_text(kept + line + "\n")
        result = run(copy)
        path.write_text(kept)
        if result.returncode == 0 or name not in result.stdout:
            sys.exit(f"{line} in {name} was not reported")
print(f"{len(PLANTED)} planted violations found")
