# SPDX-License-Identifier: Apache-2.0
"""The attacks on the API with MongoDB's protocol behind it, where an operator that got through would be one."""
import contextlib
import os
import pathlib
import re
import socket
import sqlite3
import subprocess
import unittest

import api_attack_test
import api_owner_test
from daemon import ROOT, free_port, until

TOOLS = pathlib.Path(os.environ.get("WEIR_TOOLS", ROOT / "build/tools")) / "bin"


class OnMongoDB:
    """Mixed into a class of attacks."""

    @classmethod
    def configure(cls):
        folder, port = pathlib.Path(cls.weir.folder), free_port()
        (folder / "mongodb").mkdir()
        with open(folder / "logs/mongodb.log", "wb") as log:
            server = subprocess.Popen([TOOLS / "ferretdb", f"127.0.0.1:{port}", folder / "mongodb"], stdout=log, stderr=log)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)

        def answers():
            assert server.poll() is None, (folder / "logs/mongodb.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False
        until(answers)
        cls.address = f"mongodb://127.0.0.1:{port}/weir"
        config = folder / "config/control.yaml"
        text = re.sub(r"(?m)^db: .*$", f"db: {cls.address}", config.read_text())
        if "session_key_file" not in text:
            text += f"session_key_file: {folder}/secrets/sign-key\n"
        config.write_text(text)

    def documents(self):
        """Out of the server's own file: each reads all, before and behind every request."""
        db = sqlite3.connect(f"file:{pathlib.Path(self.weir.folder)}/mongodb/weir.sqlite?mode=ro", uri=True, timeout=30)
        with contextlib.closing(db):
            tables = db.execute("SELECT name, table_name FROM _ferretdb_collections WHERE name != 'weir_meta'").fetchall()
            return {name: [row[0] for row in db.execute(f'SELECT _ferretdb_sjson FROM "{table}"')] for name, table in tables}


class Bodies(OnMongoDB, api_attack_test.Bodies):
    pass


class Requests(OnMongoDB, api_attack_test.Requests):
    pass


class Owners(OnMongoDB, api_owner_test.Owners):
    pass


if __name__ == "__main__":
    unittest.main()
