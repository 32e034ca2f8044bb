# SPDX-License-Identifier: Apache-2.0
"""usage: http_seal_alone.py PROGRAM   runs a test with a libh2o that calls only its own functions

Distributions differ in how they link libraries: with -Bsymbolic-functions libh2o would not call
what the program has in place of h2o_socket_write. TLS has to work there, the library's way. A copy
of the library with DF_SYMBOLIC set does the same."""

import os
import re
import struct
import subprocess
import sys
import tempfile

PT_DYNAMIC, DT_NULL, DT_FLAGS, DF_SYMBOLIC = 2, 0, 30, 2


def make_symbolic(data: bytearray) -> None:
    """Sets the flag in a 64-bit ELF file of the machine's byte order."""
    headers, = struct.unpack_from("=Q", data, 32)
    size, count = struct.unpack_from("=HH", data, 54)
    for at in range(headers, headers + size * count, size):
        kind, = struct.unpack_from("=I", data, at)
        entry, = struct.unpack_from("=Q", data, at + 8)
        while kind == PT_DYNAMIC:
            tag, value = struct.unpack_from("=qQ", data, entry)
            if tag == DT_FLAGS:
                struct.pack_into("=Q", data, entry + 8, value | DF_SYMBOLIC)
                return
            if tag == DT_NULL:
                break
            entry += 16
    sys.exit(77)  # no flags to change: skipped


def main() -> int:
    program = sys.argv[1]
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    name, path = re.search(r"(libh2o-evloop\S*) => (\S+)", libraries).groups()
    with open(path, "rb") as f:
        data = bytearray(f.read())
    make_symbolic(data)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
        env = dict(os.environ, LD_LIBRARY_PATH=folder, WEIR_TEST_LIBRARY_ALONE="1")
        return subprocess.run([program], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
