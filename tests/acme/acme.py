"""The ACME oneM2M CSE as it was released, as a process with its HTTP binding."""

import contextlib
import os
import pathlib
import socket
import urllib.error
import urllib.request

from suite import Process, wait_for

CONFIGURATION = """
[basic.config]
cseType=IN
cseID=id-in
cseName=cse-in
adminID=CAdmin
dataDirectory=${{baseDirectory}}
networkInterface=127.0.0.1
cseHost=127.0.0.1
httpPort={port}
databaseType=memory
logLevel=info
consoleTheme=dark
[cse]
enableRemoteCSE=false
[cse.registration]
allowedAEOriginators=C*,S*
[http]
port={port}
listenIF=127.0.0.1
address=http://127.0.0.1:{port}
[logging]
enableFileLogging=false
level=info
"""
ADMIN = "CAdmin"
START_SECONDS = 60
TRIES = 3


class Acme:
    """Runs from its construction until `stop`. Nothing that it holds outlives it."""

    def __init__(self, folder: pathlib.Path) -> None:
        installed = os.environ.get("COUNTERSIGN_ACME")
        assert installed, "run this through tools/test, which installs the ACME CSE"
        folder.mkdir()
        self.log = folder / "acme.log"
        # ACME looks whether its port is free before it listens, so that it cannot be reserved for it: one that somebody else was
        # quicker to take is given up for another.
        for attempt in range(TRIES):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            (folder / "acme.ini").write_text(CONFIGURATION.format(port=self.port), encoding="utf-8")
            self.process = Process(
                "acme", ["env", "PYTHONUNBUFFERED=1", f"{installed}/venv/bin/python", "-m", "acmecse", "--base-directory", folder,
                         "--config", "acme.ini", "--headless", "--db-type", "memory", "--no-mqtt"], self.log, folder)
            with contextlib.suppress(*([RuntimeError] if attempt + 1 < TRIES else [])):
                wait_for(self._answers, "the ACME CSE to answer", START_SECONDS)
                return

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        self.process.check()
        # Who asks before it has started up is one reason for it to end.
        if "CSE started" not in self.log.read_text(encoding="utf-8", errors="replace").rpartition("[ACME]")[2]:
            return False
        request = urllib.request.Request(f"{self.url}/cse-in", headers=self._headers(ADMIN))
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @staticmethod
    def _headers(originator: str) -> dict:
        return {"X-M2M-Origin": originator, "X-M2M-RI": "admin", "X-M2M-RVI": "4"}

    def ask(self, method: str, path: str, body: str = "", ty: int = 0) -> tuple:
        """As the administrator, past any guard: (HTTP status, body)."""
        headers = self._headers(ADMIN)
        if body:
            headers["Content-Type"] = "application/json" + (f";ty={ty}" if ty else "")
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers,
                                         data=body.encode() if body else None)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        self.process.kill()
