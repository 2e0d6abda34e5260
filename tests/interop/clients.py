"""Clients of a TUF repository, ours and others', behind one face; and a web server to point them at."""

import contextlib
import dataclasses
import functools
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass
class Outcome:
    """What came of a client's run: the files that it got, by target path, None for one that nobody vouches for; and what it
    refused, by the name that it gives that."""

    files: dict
    error: str = ""
    message: str = ""


def installed(variable: str) -> pathlib.Path:
    path = os.environ.get(variable)
    assert path, "run this through tools/test, which installs the clients"
    return pathlib.Path(path)


class Client:
    """One installation of a client: it keeps what it trusts from run to run."""

    name = ""

    def __init__(self, folder: pathlib.Path, root: pathlib.Path) -> None:
        self.folder, self.root = folder, root
        self.state, self.out = folder / "state", folder / "out"
        for path in (self.state, self.out):
            path.mkdir(parents=True)

    def update(self, site: str, *targets: str) -> Outcome:
        """Refreshes the metadata from `site` and downloads targets."""
        result = subprocess.run([*self.program(), f"--state={self.state}", f"--root={self.root}",
                                 f"--metadata={site}/metadata/", f"--targets={site}/targets/", f"--out={self.out}", *targets],
                                capture_output=True, text=True, check=True)
        answer = json.loads(result.stdout.splitlines()[-1])
        files = {target: pathlib.Path(path).read_bytes() if path else None for target, path in answer["files"].items()}
        return Outcome(files, answer.get("error", ""), answer.get("message", ""))

    def program(self) -> list:
        raise NotImplementedError


class PythonTuf(Client):
    name = "python-tuf"

    def program(self) -> list:
        return [installed("COUNTERSIGN_PYTUF") / "venv/bin/python", HERE / "python_tuf_client.py"]


class TufJs(Client):
    name = "tuf-js"

    def program(self) -> list:
        installed("COUNTERSIGN_NPM")
        return ["node", HERE / "tuf_js_client.cjs"]


class Ours(Client):
    """The client of gateways and devices."""

    name = "countersign"

    def run(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run([pathlib.Path("tools/tuf_client/tuf_client").resolve(), f"--metadata-dir={self.state}",
                               *map(str, arguments)], capture_output=True, text=True, check=False)

    def update(self, site: str, *targets: str) -> Outcome:
        if not (self.state / "root.json").exists():
            result = self.run("init", self.root)
            if result.returncode != 0:
                return self._outcome({}, result)
        urls = (f"--metadata-url={site}/metadata", f"--target-base-url={site}/targets", f"--target-dir={self.out}")
        result = self.run(*urls, "refresh")
        files = {}
        for target in targets if result.returncode == 0 else ():
            result = self.run(*urls, f"--target-name={target}", "download")
            if result.returncode != 0 and "TARGET_UNKNOWN" not in result.stderr:
                break
            files[target] = (self.out / target).read_bytes() if result.returncode == 0 else None
        return Outcome(files) if "TARGET_UNKNOWN" in result.stderr else self._outcome(files, result)

    @staticmethod
    def _outcome(files: dict, result: subprocess.CompletedProcess) -> Outcome:
        if result.returncode == 0:
            return Outcome(files)
        reason = re.search(r"\((\w+)(?:, (\w+))?\)$", result.stderr.strip())
        return Outcome(files, reason[2] or reason[1], result.stderr.strip())


CLIENTS = (PythonTuf, TufJs, Ours)


@contextlib.contextmanager
def served(folder: pathlib.Path):
    """Plain files over HTTP; yields the site's URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
