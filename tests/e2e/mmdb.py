# SPDX-License-Identifier: Apache-2.0
"""Writes a MaxMind DB file (format 2.0), for tests of what reads one.

    mmdb.write(path, {"192.0.2.0/24": {"country": {"iso_code": "DE"}}})

As a program it writes the file that the unit tests look into: mmdb.py OUT."""
import ipaddress
import struct
import sys
import time

RECORD_SIZE = 24
MARKER = b"\xab\xcd\xefMaxMind.com"


class Uint16(int):
    pass


class Uint64(int):
    pass


def control(kind, size):
    first = kind << 5 if kind <= 7 else 0
    behind = b"" if kind <= 7 else bytes([kind - 7])
    if size < 29:
        return bytes([first | size]) + behind
    if size < 285:
        return bytes([first | 29]) + behind + bytes([size - 29])
    return bytes([first | 30]) + behind + struct.pack(">H", size - 285)


def encode(value):
    if isinstance(value, float):
        return control(3, 8) + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return control(2, len(data)) + data
    if isinstance(value, dict):
        return control(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())
    if isinstance(value, list):
        return control(11, len(value)) + b"".join(encode(v) for v in value)
    kind = 5 if isinstance(value, Uint16) else 9 if isinstance(value, Uint64) else 6
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return control(kind, len(data)) + data


class Tree:
    """Nodes are pairs of None (nothing), the number of a node, or ("data", offset)."""

    def __init__(self):
        self.nodes = [[None, None]]

    def insert(self, network, leaf):
        number = int(network.network_address)
        length = network.prefixlen
        if network.version == 4:  # below ::/96
            length += 96
        bits = [number >> (127 - i) & 1 for i in range(length)]
        at = 0
        for bit in bits[:-1]:
            below = self.nodes[at][bit]
            if not isinstance(below, int):
                self.nodes.append([below, below])
                below = self.nodes[at][bit] = len(self.nodes) - 1
            at = below
        self.nodes[at][bits[-1]] = leaf

    def pack(self):
        count = len(self.nodes)
        out = bytearray()
        for node in self.nodes:
            for side in node:
                value = count if side is None else side if isinstance(side, int) \
                    else count + 16 + side[1]
                out += value.to_bytes(RECORD_SIZE // 8, "big")
        return bytes(out)


def pack(networks):
    tree = Tree()
    data = bytearray()
    # The widest first, so that narrower ones are cut out of them.
    order = sorted(networks, key=lambda text: ipaddress.ip_network(text).prefixlen +
                   (96 if "." in text else 0))
    for text in order:
        tree.insert(ipaddress.ip_network(text), ("data", len(data)))
        data += encode(networks[text])
    metadata = {
        "node_count": len(tree.nodes),
        "record_size": Uint16(RECORD_SIZE),
        "ip_version": Uint16(6),
        "database_type": "Weir-Test",
        "languages": ["en"],
        "binary_format_major_version": Uint16(2),
        "binary_format_minor_version": Uint16(0),
        "build_epoch": Uint64(int(time.time())),
        "description": {"en": "networks of a test"},
    }
    return tree.pack() + bytes(16) + bytes(data) + MARKER + encode(metadata)


def write(path, networks):
    with open(path, "wb") as f:
        f.write(pack(networks))


def place(country, continent=None, registered=None, position=None):
    made = {}
    if position:
        made["location"] = {"latitude": float(position[0]), "longitude": float(position[1])}
    if continent:
        made["continent"] = {"code": continent}
    if country:
        made["country"] = {"iso_code": country}
    if registered:
        made["registered_country"] = {"iso_code": registered}
    return made


UNIT_TEST = {
    "192.0.2.0/24": place("DE", "EU"),
    "192.0.2.128/25": place("FR", "EU", position=(48.85, 2.35)),
    "192.88.99.0/24": place(None, position=(-33.9, 151.2)),
    "192.88.100.0/24": place("AU", "OC", position=(91, 151.2)),
    "198.51.100.0/24": place(None, "NA", "US"),
    "203.0.113.0/24": place(None),
    "2001:db8::/32": place("JP", "AS"),
    "100.64.0.0/10": {"country": {"iso_code": "TOOLONG"}},
}

if __name__ == "__main__":
    write(sys.argv[1], UNIT_TEST)
