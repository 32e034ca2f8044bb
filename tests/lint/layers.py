#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a folder includes what docs/architecture.md does not allow it to.

The table under "Who may use whom" is the rule: folder, own folders it may use, foreign headers.
"""
import fnmatch
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Headers of libc and the kernel: free to all.
SYSTEM = {
    "assert.h", "crypt.h", "ctype.h", "dirent.h", "endian.h", "errno.h", "fcntl.h", "float.h", "ftw.h",
    "getopt.h", "inttypes.h", "limits.h", "locale.h", "math.h", "netdb.h", "poll.h", "pthread.h",
    "regex.h", "sched.h", "setjmp.h", "signal.h", "spawn.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h", "strings.h", "syslog.h", "termios.h", "time.h",
    "unistd.h", "wchar.h",
}
SYSTEM_PATTERNS = ["sys/*", "netinet/*", "arpa/*", "linux/*", "net/*"]


def read_table():
    rows = {}
    text = (ROOT / "docs/architecture.md").read_text()
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] in ("Folder",) or set(cells[0]) <= {"-"}:
            continue
        own = [c.strip() for c in cells[1].split(",") if c.strip()]
        foreign = [c.strip() for c in cells[2].split(",") if c.strip()]
        rows[cells[0]] = (own, foreign)
    return rows


def folder_of(path, rows):
    parts = path.relative_to(ROOT).parts
    for n in (2, 1):
        name = "/".join(parts[:n])
        if name in rows:
            return name
    return None


def own_target(include, path):
    """The part an included file belongs to ("store", "edge", "http/loop.h"), or None if foreign."""
    for base in (path.parent, ROOT / "lib", ROOT, ROOT / "tools/weirctl"):
        target = (base / include).resolve()
        if target.is_file() and ROOT in target.parents:
            parts = target.relative_to(ROOT).parts
            if parts[0] == "build" or parts[0].startswith("build-"):
                return "generated"
            return "/".join(parts[1:]) if parts[0] == "lib" else "/".join(parts)
    return None


def check(path, folder, row, complaints):
    own, foreign = row
    self_name = folder.split("/")[-1]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        include = found.group(2)
        target = own_target(include, path) if found.group(1) == '"' else None
        where = f"{path.relative_to(ROOT)}:{number}"
        if target is not None:
            part = target.split("/")[0]
            if part in (self_name, "generated", "base") or part in own or target in own:
                continue
            complaints.append(f"{where}: {folder} may not use {target}")
        elif include in SYSTEM or any(fnmatch.fnmatch(include, p) for p in SYSTEM_PATTERNS):
            continue
        elif any(fnmatch.fnmatch(include, p) for p in foreign):
            if include.startswith(("libav", "libsw")) and folder == "lib/media" and not path.name.startswith("media_ff"):
                complaints.append(f"{where}: in lib/media only media_ff*.c may include {include}")
        else:
            complaints.append(f"{where}: {folder} may not include {include}")


def main():
    rows = read_table()
    if len(rows) < 10:
        sys.exit("docs/architecture.md: the table of who may use whom is missing")
    complaints = []
    seen = 0
    for top in ("lib", "origin", "edge", "ingest", "control", "tools", "tests", "bench"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            if "node_modules" in path.parts:
                continue
            folder = folder_of(path, rows)
            if folder is None:
                complaints.append(f"{path.relative_to(ROOT)}: its folder has no row in docs/architecture.md")
                continue
            seen += 1
            check(path, folder, rows[folder], complaints)
    for line in complaints:
        print(line)
    if complaints or seen == 0:
        sys.exit(f"{len(complaints)} layer violations in {seen} files")
    print(f"{seen} files keep to their layers")


if __name__ == "__main__":
    main()
