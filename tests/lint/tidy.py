#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""House rules that a compiler does not see: see CHECKS. Prints file:line for each breach."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
LINE_MAX = 100
FUNCTION_MAX = 70
FILE_MAX = 800
BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|assert|alloca|system|popen)\s*\(")
IN_TESTS = ("system", "popen")  # with commands that the test itself wrote
MAGIC = re.compile(r"#define\s+(\w+_MAGIC)\s+(?:UINT32_C\()?(0x[0-9a-fA-F]+)")
HEADER_LINES = ("Life:", "Owner:", "Threads:", "Errors:", "Units:")


def sources(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in sorted(set(out.split())) if (ROOT / name).is_file()]


def code_only(line):
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"/\*.*?\*/|//.*", "", line)


def check_functions(path, lines, say):
    start = None
    name = ""
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
            name = lines[number - 2].strip()
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_MAX:
                say(path, start, f"function of {number - start - 1} lines: {name}")
            start = None


def check_c(path, magics, say):
    lines = path.read_text().splitlines()
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in lines[0]:
        say(path, 1, "no SPDX line")
    if len(lines) > FILE_MAX:
        say(path, len(lines), f"file of {len(lines)} lines")
    comment = False
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX:
            say(path, number, f"line of {len(line)} columns")
        if line != line.rstrip() or "\t" in line:
            say(path, number, "trailing space or tab")
        if not comment:
            found = BANNED.search(code_only(line))
            if found and found.group(1) in IN_TESTS and "tests" in path.parts:
                found = None
            if found and not line.lstrip().startswith("*"):
                say(path, number, f"{found.group(1)}() is banned")
        comment = (comment or "/*" in line) and "*/" not in line.rsplit("/*", 1)[-1]
        found = MAGIC.search(line)
        if found:
            other = magics.setdefault(found.group(2).lower(), (path, number))
            if other != (path, number):
                say(path, number, f"{found.group(1)} has the value of {other[0].name}:{other[1]}")
    check_functions(path, lines, say)
    if path.suffix == ".h" and path.parts[-3] == "lib":
        head = "\n".join(lines[:20 + 30])
        for want in HEADER_LINES:
            if f" * {want}" not in head:
                say(path, 1, f"public header without its '{want}' line")


def check_script(path, say):
    text = path.read_text()
    if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.splitlines()[:3]):
        say(path, 1, "no SPDX line")


def main():
    complaints = []

    def say(path, number, what):
        complaints.append(f"{path.relative_to(ROOT)}:{number}: {what}")

    magics = {}
    files = sources("*.c", "*.h")
    for path in files:
        check_c(path, magics, say)
    for path in sources("*.py", "*.sh", "meson.build", "**/meson.build", "tools/*", "tests/*.sh"):
        if path.suffix in ("", ".py", ".sh", ".build") and path.name != "LICENSE":
            check_script(path, say)
    print("\n".join(complaints))
    if complaints or not files:
        sys.exit(f"{len(complaints)} breaches of the house rules in {len(files)} files")
    print(f"{len(files)} files keep the house rules")


if __name__ == "__main__":
    main()
