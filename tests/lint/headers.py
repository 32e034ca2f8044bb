#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header of lib/ compiles alone."""
import pathlib
import subprocess
import sys

root = pathlib.Path(sys.argv[1]).resolve()
failed = 0
headers = sorted((root / "lib").glob("*/*.h"))
flags = subprocess.run(["pkg-config", "--cflags", "libcyaml", "jansson", "libh2o-evloop", "libmongoc-1.0"], capture_output=True,
                       text=True, check=True).stdout.split()
for header in headers:
    name = header.relative_to(root / "lib")
    result = subprocess.run(
        ["cc", "-std=gnu11", "-D_GNU_SOURCE", "-DH2O_USE_EPOLL=1", "-DH2O_USE_LIBUV=0", "-Wall", "-Wextra",
         "-Werror", "-fsyntax-only", "-x", "c", "-I", str(root / "lib"), *[f.replace("-I", "-isystem") for f in flags], "-"],
        input=f'#include "{name}"\n#include "{name}"\nint header_alone;\n', text=True, capture_output=True)
    if result.returncode != 0:
        failed += 1
        print(f"{name} does not compile alone:\n{result.stderr}")
if failed or not headers:
    sys.exit(f"{failed} headers of {len(headers)} do not stand alone")
print(f"{len(headers)} headers stand alone")
