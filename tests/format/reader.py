#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a store of blobs by docs/format.md alone: no line of Weir's code is used or was looked at.

usage: reader.py STORE [--volumes-only] [--device FOLDER]...

Prints one JSON object: what the store holds, and under "wrong" every place where the bytes on disk and
the page disagree. Exits 1 when there is one, 2 when there is no store. No process may have it open to
write. --volumes-only does not look at the index: devices are STORE/warm or those given.
"""
import argparse
import collections
import json
import mmap
import os
import pathlib
import re
import struct
import sys

import xxhash

PAGE = 4096
BLOCK = 65536
PAYLOAD_MAX = 67108864
BLOB, MOVE, DELETION = 0, 1, 2
KINDS = {BLOB: "blob", MOVE: "ref", DELETION: "deletion"}
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}\Z")
QUARANTINED, REMOTE, LET_GO = 1, 2, 4
DATABASES = ("meta", "blobs", "extents", "holds", "links", "orphans", "devices", "volumes", "holes", "errands", "refs")

Record = collections.namedtuple("Record", "kind digest length volume epoch sequence offset size damaged ref")
Ref = collections.namedtuple("Ref", "name presentation generation changed")
Entry = collections.namedtuple("Entry", "volume page length refs since flags")
VolumeRow = collections.namedtuple("VolumeRow", "size end blobs bytes live device zero")
RefRow = collections.namedtuple("RefRow", "presentation generation changed volume page flags checksum")


def xxh3_64(data, seed=0):
    return xxhash.xxh3_64_intdigest(data, seed)


def digest_of(data):
    return xxhash.xxh3_128_digest(data)  # canonical: big-endian


def round_up(n):
    return -(-n // PAGE) * PAGE


class Header:
    """The 4096 bytes that both devices and volumes begin with: they have the same shape."""

    def __init__(self, data, magic):
        if len(data) != PAGE:
            raise ValueError(f"{len(data)} bytes, not 4096")
        self.magic, self.version, self.id, self.store, self.field, self.created, zero, checksum = struct.unpack_from("<8sII16sQqQQ", data)
        if self.magic != magic:
            raise ValueError(f"magic is {self.magic!r}")
        if checksum != xxh3_64(data[:56]):
            raise ValueError("checksum is wrong")
        if self.version != 1:
            raise ValueError(f"version {self.version}")
        if zero or any(data[64:]):
            raise ValueError("what should be zero is not")
        if self.id == 0:
            raise ValueError("number 0")


class Volume:
    """A volume file: its header, and its records as they lie."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "rb")
        self.size = os.fstat(self.file.fileno()).st_size
        self.header = Header(self.file.read(PAGE), b"WEIRVOL\0")
        if f"{self.header.id:08x}.vol" != path.name:
            raise ValueError(f"its header says volume {self.header.id}")
        if self.header.field != self.size:
            raise ValueError(f"its header says {self.header.field} bytes, it has {self.size}")
        self.data = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)

    def close(self):
        self.data.close()
        self.file.close()

    def header_at(self, offset):
        """The fields of the record there when its header is in order, else None."""
        if offset % PAGE or offset + 64 > self.size or self.data[offset:offset + 4] != b"WREC":
            return None
        head = self.data[offset:offset + 56]
        version, kind, digest, length, flags, volume, epoch, own, sequence, block = struct.unpack_from("<4xHH16sIIIIQII", head)
        checksum, = struct.unpack_from("<Q", self.data, offset + 56)
        if version != 1 or kind not in KINDS or flags or block != BLOCK or length > PAYLOAD_MAX:
            return None
        if volume != self.header.id or own != offset:
            return None
        blocks = -(-length // BLOCK)
        size = round_up(64 + 8 * blocks + length)
        if offset + size > self.size:
            return None
        sums = self.data[offset + 64:offset + 64 + 8 * blocks]
        expected = xxh3_64(head)
        if blocks:
            expected = xxh3_64(sums, expected)
        if checksum != expected:
            return None
        return kind, digest, length, epoch, sequence, size, struct.unpack(f"<{blocks}Q", sums)

    def record(self, offset):
        found = self.header_at(offset)
        if found is None:
            return None
        kind, digest, length, epoch, sequence, size, sums = found
        payload = self.payload(offset, length)
        damaged = [i for i, s in enumerate(sums) if xxh3_64(payload[i * BLOCK:(i + 1) * BLOCK]) != s]
        if not damaged and digest_of(payload) != digest:
            damaged = ["digest"]
        if any(self.data[offset + 64 + 8 * len(sums) + length:offset + size]):
            damaged.append("padding")
        ref = None
        if kind != BLOB and not damaged:
            try:
                ref = self.ref(kind, payload)
            except ValueError as e:
                damaged.append(str(e))
        return Record(kind, digest, length, self.header.id, epoch, sequence, offset, size, damaged, ref)

    @staticmethod
    def ref(kind, payload):
        if not 33 <= len(payload) <= 32 + 128:
            raise ValueError(f"a ref's record of {len(payload)} bytes")
        presentation, generation, changed = struct.unpack_from("<16sQq", payload)
        name = payload[32:].decode("latin-1")
        if not NAME.match(name) or generation == 0:
            raise ValueError(f"a ref's record of {name!r}, generation {generation}")
        if (kind == DELETION) != (presentation == bytes(16)):
            raise ValueError("a deletion has a presentation, or a move none")
        return Ref(name, presentation, generation, changed)

    def payload(self, offset, length):
        start = offset + 64 + 8 * (-(-length // BLOCK))
        return self.data[start:start + length]

    def next_magic(self, offset):
        """The next multiple of 4096 from offset on that could be a record; the file's size when none."""
        while offset < self.size:
            try:
                start = os.lseek(self.file.fileno(), offset, os.SEEK_DATA)  # what was never written, or is a hole, is zeroes
                stop = os.lseek(self.file.fileno(), start, os.SEEK_HOLE)
            except OSError:
                break
            offset = max(offset, start // PAGE * PAGE)
            while 0 <= (offset := self.data.find(b"WREC", offset, stop)):
                if offset % PAGE == 0:
                    return offset
                offset += 1
            offset = round_up(stop)
        return self.size

    def records(self):
        """All records by the rule for finding a volume's end without an index."""
        offset, last = PAGE, (0, 0)
        while (offset := self.next_magic(offset)) < self.size:
            record = self.record(offset)
            if record is None:
                offset += PAGE
                continue
            if (record.epoch, record.sequence) <= last:
                return
            last = (record.epoch, record.sequence)
            yield record
            offset += record.size

    def is_zero(self, start, end):
        return all(not any(self.data[o:min(o + (1 << 20), end)]) for o in range(start, end, 1 << 20))


class Index:
    def __init__(self, path):
        import lmdb  # only here: volumes need none
        self.env = lmdb.open(str(path), readonly=True, lock=False, max_dbs=len(DATABASES))
        self.txn = self.env.begin()
        self.unknown = sorted(k.decode("latin-1") for k, _ in self.txn.cursor() if k.decode("latin-1") not in DATABASES)
        self.rows = {}
        for name in DATABASES:
            try:
                db = self.env.open_db(name.encode(), txn=self.txn, create=False)
            except lmdb.NotFoundError:
                self.rows[name] = {}
                continue
            self.rows[name] = {bytes(k): bytes(v) for k, v in self.txn.cursor(db)}
        meta = self.rows["meta"]
        self.format, = struct.unpack("<I", meta[b"format"])
        if self.format != 2:
            raise ValueError(f"index of version {self.format}")
        self.store = meta[b"store_id"]
        self.epoch, = struct.unpack("<I", meta[b"epoch"])
        self.volume, = struct.unpack("<I", meta[b"volume"])
        self.counted = meta.get(b"counted", b"\0") == b"\1"
        self.blobs = {k: Entry(*struct.unpack("<IIIIII", v)) for k, v in self.rows["blobs"].items()}
        self.extents = {struct.unpack(">II", k): (v[0], v[1:]) for k, v in self.rows["extents"].items()}
        self.holds = {k: struct.unpack("<I", v)[0] for k, v in self.rows["holds"].items()}
        self.links = {k: [v[i:i + 16] for i in range(0, len(v), 16)] for k, v in self.rows["links"].items()}
        self.orphans = {(struct.unpack(">I", k[:4])[0], k[4:]): v for k, v in self.rows["orphans"].items()}
        self.devices = {struct.unpack(">I", k)[0]: (*struct.unpack_from("<II", v), v[8:].rstrip(b"\0").decode()) for k, v in self.rows["devices"].items()}
        self.volumes = {struct.unpack(">I", k)[0]: VolumeRow(*struct.unpack("<QQQQQII", v)) for k, v in self.rows["volumes"].items()}
        self.holes = {struct.unpack(">II", k): struct.unpack("<I", v)[0] for k, v in self.rows["holes"].items()}
        self.errands = {k: v[0] for k, v in self.rows["errands"].items()}
        self.refs = {k.decode("latin-1"): RefRow(*struct.unpack("<16sQqIIII", v)) for k, v in self.rows["refs"].items()}


def presentation_names(payload):
    """Every digest that a presentation (docs/presentation.md) names, in the order of its text; None when it is none."""
    try:
        root = json.loads(payload)
        if root["version"] != 1:
            return None
        names = []
        for track in root["tracks"]:
            if "init" in track:
                names.append(track["init"])
            names += [segment[0] for segment in track["segments"]]
        if "poster" in root:
            names.append(root["poster"][0])
        if "thumbnails" in root:
            names += [sheet[0] for sheet in root["thumbnails"]["sheets"]]
        return [bytes.fromhex(name) for name in names]
    except (ValueError, KeyError, TypeError, IndexError):
        return None


class Store:
    """A store folder, read whole; wrong: what is not as docs/format.md says."""

    def __init__(self, path, devices=(), volumes_only=False):
        self.path = pathlib.Path(path)
        self.wrong = []
        self.away = []
        self.dead_records = []  # whole ones that nothing needs: on a file system without holes
        self.volumes = {}
        self.volume_device = {}
        self.records = {}  # (volume, offset) -> Record
        self.index = None
        if not volumes_only:
            if not (self.path / "index/data.mdb").is_file():
                raise FileNotFoundError(f"{self.path} has no index/data.mdb")
            self.index = Index(self.path / "index")
            lock = self.path / "lock"
            if not lock.is_file() or lock.stat().st_size:
                self.say("lock is absent or not empty")
        self.store_id = self.index.store if self.index else None
        self.read_devices([pathlib.Path(d) for d in devices] or [self.path / "warm"])
        self.read_records()
        self.find_all()
        if self.index:
            self.check_index()

    def say(self, text):
        self.wrong.append(text)

    # --- devices and volumes ----------------------------------------------------------------------

    def read_devices(self, given):
        rows = {number: row for number, row in self.index.devices.items()} if self.index else {}
        paths = {number: pathlib.Path(row[2]) for number, row in rows.items()}
        for number, (kind, flags, path) in rows.items():
            if kind > 1 or flags & ~3:
                self.say(f"device {number}: kind {kind}, flags {flags}")
        for folder in paths.values() if rows else given:
            if not (folder / "device").is_file():
                self.away.append(str(folder))
                continue
            self.read_device(folder, rows, paths)

    def read_device(self, folder, rows, paths):
        try:
            header = Header((folder / "device").read_bytes(), b"WEIRDEV\0")
        except ValueError as e:
            self.say(f"{folder}/device: {e}")
            return
        self.store_id = self.store_id or header.store
        if header.store != self.store_id:
            self.say(f"{folder}/device: of another store")
        if header.field > 1:
            self.say(f"{folder}/device: kind {header.field}")
        if rows and (header.id not in rows or paths[header.id] != folder or rows[header.id][0] != header.field):
            self.say(f"{folder}/device: number {header.id}, kind {header.field}: the index says otherwise")
        for path in sorted(folder.iterdir()):
            if path.suffix != ".vol":
                continue
            if not re.fullmatch(r"[0-9a-f]{8}\.vol", path.name):
                self.say(f"{path}: not a volume's name")
                continue
            try:
                volume = Volume(path)
            except (ValueError, struct.error) as e:
                self.say(f"{path}: {e}")
                continue
            if volume.header.store != self.store_id:
                self.say(f"{path}: of another store")
            if volume.header.id in self.volumes:
                self.say(f"{path}: its number occurs twice")
            self.volumes[volume.header.id] = volume
            self.volume_device[volume.header.id] = header.id

    def read_records(self):
        order = {}
        for volume in self.volumes.values():
            for record in volume.records():
                self.records[record.volume, record.offset] = record
                other = order.setdefault((record.epoch, record.sequence), record)
                if other is not record:
                    self.say(f"volumes {record.volume} and {other.volume} have two records of epoch {record.epoch}, sequence {record.sequence}")
                if record.epoch == 0 or (self.index and record.epoch > self.index.epoch):
                    self.say(f"volume {record.volume}, offset {record.offset}: epoch {record.epoch}")

    # --- what the volumes alone say ---------------------------------------------------------------

    def find_all(self):
        self.blobs, self.refs = {}, {}
        for record in self.records.values():
            if record.damaged:
                continue
            if record.kind == BLOB:
                best = self.blobs.get(record.digest)
                if best is None or (best.epoch, best.sequence) < (record.epoch, record.sequence):
                    self.blobs[record.digest] = record
            else:
                best = self.refs.get(record.ref.name)
                if best is None or best.ref.generation < record.ref.generation:
                    self.refs[record.ref.name] = record

    def payload(self, record):
        return self.volumes[record.volume].payload(record.offset, record.length)

    # --- against the index ------------------------------------------------------------------------

    def check_index(self):
        for name in self.index.unknown:
            self.say(f"index: a database {name!r}")
        for key in self.index.rows["meta"]:
            if key not in (b"format", b"store_id", b"epoch", b"volume", b"counted"):
                self.say(f"index: meta has {key!r}")
        self.live_pages = {}  # volume -> [(offset, end)]
        self.check_extents()
        self.check_blobs()
        self.check_refs()
        self.check_volumes()
        self.check_holes()
        if self.index.counted:
            self.check_counts()

    def is_away(self, volume):
        row = self.index.volumes.get(volume)
        return row is not None and volume not in self.volumes and bool(self.away)

    def check_extents(self):
        """Each extent is a record that an entry or a ref row names, and each of these has an extent."""
        for (volume, page), (kind, what) in self.index.extents.items():
            where = f"extent {volume}:{page * PAGE}"
            if kind == BLOB:
                entry = self.index.blobs.get(what)
                if entry is None or (entry.volume, entry.page) != (volume, page):
                    self.say(f"{where}: blob {what.hex()} is not there by its entry")
            elif kind in (MOVE, DELETION):
                row = self.index.refs.get(what.decode("latin-1"))
                if row is None or (row.volume, row.page) != (volume, page) or (row.flags & 1) != (kind == DELETION):
                    self.say(f"{where}: ref {what!r} is not there by its row")
            else:
                self.say(f"{where}: kind {kind}")
            record = self.records.get((volume, page * PAGE))
            if record is None:
                quarantined = kind == BLOB and what in self.index.blobs and self.index.blobs[what].flags & QUARANTINED
                if not quarantined and not self.is_away(volume):
                    self.say(f"{where}: no record is there")
                continue
            self.live_pages.setdefault(volume, []).append((record.offset, record.offset + record.size))
            if record.kind != kind or what != (record.digest if kind == BLOB else record.ref and record.ref.name.encode()):
                self.say(f"{where}: the record there is another")

    def check_blobs(self):
        for digest, entry in self.index.blobs.items():
            name = f"entry {digest.hex()}"
            if entry.flags & ~7:
                self.say(f"{name}: flags {entry.flags}")
            if entry.volume == 0:
                if not entry.flags & (REMOTE | QUARANTINED):
                    self.say(f"{name}: nowhere")
                continue
            if (entry.volume, entry.page) not in self.index.extents:
                self.say(f"{name}: no extent at {entry.volume}:{entry.page * PAGE}")
            if self.is_away(entry.volume) or entry.flags & QUARANTINED:
                continue
            record = self.records.get((entry.volume, entry.page * PAGE))
            if record is None:
                self.say(f"{name}: no record at {entry.volume}:{entry.page * PAGE}")
            elif record.kind != BLOB or record.digest != digest or record.length != entry.length:
                self.say(f"{name}: another record at {entry.volume}:{entry.page * PAGE}")
            elif record.damaged:
                self.say(f"{name}: damaged at {entry.volume}:{entry.page * PAGE}, blocks {record.damaged}")
            elif self.blobs[digest] != record and not self.is_behind(self.blobs[digest]) and not self.is_dead(self.blobs[digest]):
                self.say(f"{name}: a later record is at {self.blobs[digest].volume}:{self.blobs[digest].offset}")
        for digest, record in self.blobs.items():
            if digest not in self.index.blobs and not self.is_dead(record) and not self.is_behind(record):
                self.say(f"blob {digest.hex()} at {record.volume}:{record.offset} has no entry")

    def is_behind(self, record):
        row = self.index.volumes.get(record.volume)
        return row is not None and record.offset >= row.end

    def is_dead(self, record):
        return (record.volume, record.offset // PAGE) not in self.index.extents

    def check_refs(self):
        for name, row in self.index.refs.items():
            what = f"ref {name}"
            if not NAME.match(name) or row.flags & ~1 or row.generation == 0:
                self.say(f"{what}: {row}")
            summed = self.index.rows["refs"][name.encode()][:44] + name.encode()
            if row.checksum and row.checksum != (struct.unpack("<I", digest_of(summed)[:4])[0] or 1):
                self.say(f"{what}: its row's checksum is wrong")
            if (row.flags & 1) != (row.presentation == bytes(16)):
                self.say(f"{what}: a deleted one has a presentation, or another none")
            if row.volume == 0:
                continue
            record = self.records.get((row.volume, row.page * PAGE))
            if record is None or record.ref is None:
                if not self.is_away(row.volume):
                    self.say(f"{what}: no record at {row.volume}:{row.page * PAGE}")
                continue
            if record.ref != Ref(name, row.presentation, row.generation, row.changed):
                self.say(f"{what}: the record at {row.volume}:{row.page * PAGE} says {record.ref}")
            # A copy that a compaction has made, beside the one that it was made from, says the same.
            if self.refs[name].ref != record.ref and not self.is_behind(self.refs[name]):
                self.say(f"{what}: generation {self.refs[name].ref.generation} is at {self.refs[name].volume}:{self.refs[name].offset}")
        for name, record in self.refs.items():
            row = self.index.refs.get(name)
            if row is None or row.generation < record.ref.generation:
                if not self.is_behind(record):
                    self.say(f"ref {name}: generation {record.ref.generation} at {record.volume}:{record.offset} is not in the index")

    def check_volumes(self):
        blobs, size, live = collections.Counter(), collections.Counter(), collections.Counter()
        for entry in self.index.blobs.values():
            if not entry.flags & QUARANTINED:
                blobs[entry.volume] += 1
                size[entry.volume] += entry.length
        for (volume, page), (kind, what) in self.index.extents.items():
            record = self.records.get((volume, page * PAGE))
            if record is not None:
                live[volume] += record.size
            elif kind == BLOB and what in self.index.blobs:  # not to be read: the size by its length
                length = self.index.blobs[what].length
                live[volume] += round_up(64 + 8 * (-(-length // BLOCK)) + length)
        for number, row in self.index.volumes.items():
            if number not in self.volumes:
                if not self.away and (row.blobs or row.live):  # else its making or giving up was broken off
                    self.say(f"volume {number} has a row and no file")
                continue
            volume = self.volumes[number]
            if number > self.index.volume:
                self.say(f"volume {number}: meta says the highest is {self.index.volume}")
            if row.size != volume.size or row.zero or row.device != self.volume_device[number]:
                self.say(f"volume {number}: its row says {row}")
            if (row.blobs, row.bytes, row.live) != (blobs[number], size[number], live[number]):
                self.say(f"volume {number}: row says {row.blobs} blobs, {row.bytes} bytes, {row.live} live; "
                         f"it is {blobs[number]}, {size[number]}, {live[number]}")
            if row.end % PAGE or not PAGE <= row.end <= row.size:
                self.say(f"volume {number}: end {row.end}")
            self.check_space(number, volume, row.end)
        for number in self.volumes:
            if number not in self.index.volumes:
                self.say(f"volume {number} has a file and no row")

    def check_space(self, number, volume, end):
        """Up to its end a volume is live records, records that are to become holes, and zeroes."""
        at = PAGE
        for start, stop in sorted(self.live_pages.get(number, [])) + [(end, end)]:
            if start < at or stop > end:
                self.say(f"volume {number}: records overlap or pass the end at {start}")
            while at < start:
                pages = self.index.holes.get((number, at // PAGE))
                if pages:  # still to be given back: anything may be there
                    at += pages * PAGE
                    continue
                if not volume.is_zero(at, at + PAGE):
                    record = self.records.get((number, at))
                    self.dead(number, at, record)
                    at += record.size if record else PAGE
                    continue
                at += PAGE
            at = max(at, stop)

    def dead(self, number, offset, record):
        if record is None and any(entry.flags & QUARANTINED and entry.volume == number and entry.page * PAGE <= offset <
                                  entry.page * PAGE + round_up(64 + 8 * (-(-entry.length // BLOCK)) + entry.length)
                                  for entry in self.index.blobs.values()):
            return  # the bytes of a record that is known to be damaged
        if record:
            self.dead_records.append({"volume": number, "offset": offset, "kind": KINDS[record.kind], "digest": record.digest.hex()})
        else:
            self.say(f"volume {number}, offset {offset}: no record, no hole and not zero")

    def check_holes(self):
        for (volume, page), pages in self.index.holes.items():
            row = self.index.volumes.get(volume)
            start, end = page * PAGE, (page + pages) * PAGE
            if row is None or pages == 0 or start < PAGE or end > row.end:
                self.say(f"hole {volume}:{start}-{end} is not within a volume")
            for live_start, live_end in self.live_pages.get(volume, []):
                if start < live_end and live_start < end:
                    self.say(f"hole {volume}:{start}-{end} has a live record at {live_start}")

    def check_counts(self):
        """holds, links, refs of the entries and orphans, made anew from refs and presentations."""
        holds = collections.Counter(row.presentation for row in self.index.refs.values() if not row.flags & 1)
        if holds != self.index.holds:
            self.say(f"holds: {len(self.index.holds)} rows; the refs say otherwise")
        if set(self.index.links) != set(self.index.holds):
            self.say("links: not there for exactly what holds has")
        refs = collections.Counter(holds.keys())
        for presentation in holds:
            links = self.index.links.get(presentation, [])
            refs.update(links)
            if len(set(links)) != len(links):
                self.say(f"links of {presentation.hex()}: a digest occurs twice")
            record = self.blobs.get(presentation)
            if record is None:
                continue
            names = presentation_names(self.payload(record))
            if names is None:
                self.say(f"{presentation.hex()} is held and is no presentation")
            elif links != sorted(set(names)):
                self.say(f"links of {presentation.hex()}: {len(links)}; it names {len(set(names))}")
        orphans = collections.Counter(digest for _, digest in self.index.orphans)
        for (due, digest), value in self.index.orphans.items():
            if value or due == 0:
                self.say(f"orphan {digest.hex()}: due {due}, value {value!r}")
        for digest, entry in self.index.blobs.items():
            if entry.refs != refs[digest]:
                self.say(f"entry {digest.hex()}: refs {entry.refs}; {refs[digest]} name it")
            if entry.refs == 0 and not orphans[digest]:
                self.say(f"entry {digest.hex()}: nothing names it, and orphans has no row of it")
            if entry.refs and entry.flags & LET_GO:
                self.say(f"entry {digest.hex()}: it is named and has the flag that says that it is not")
        for digest, errand in self.index.errands.items():
            if errand not in (1, 2, 3):
                self.say(f"errand {digest.hex()}: {errand}")

    # --- what it says -----------------------------------------------------------------------------

    def summary(self):
        live = {name: r.ref for name, r in sorted(self.refs.items()) if r.kind == MOVE}
        return {
            "store": self.store_id.hex() if self.store_id else None,
            "volumes": len(self.volumes),
            "records": len(self.records),
            "damaged": [{"volume": r.volume, "offset": r.offset, "digest": r.digest.hex(), "blocks": r.damaged}
                        for r in self.records.values() if r.damaged],
            "blobs": {digest.hex(): r.length for digest, r in sorted(self.blobs.items())},
            "refs": {name: {"presentation": ref.presentation.hex(), "generation": ref.generation} for name, ref in live.items()},
            "dead": self.dead_records,
            "devices_away": self.away,
            "index": self.index is not None,
            "wrong": self.wrong,
        }

    def close(self):
        for volume in self.volumes.values():
            volume.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--volumes-only", action="store_true")
    args = parser.parse_args()
    try:
        store = Store(args.store, args.device, args.volumes_only)
    except (OSError, ValueError, KeyError) as e:
        print(f"reader: {e}", file=sys.stderr)
        sys.exit(2)
    json.dump(store.summary(), sys.stdout, indent=1)
    print()
    sys.exit(1 if store.wrong else 0)


if __name__ == "__main__":
    main()
