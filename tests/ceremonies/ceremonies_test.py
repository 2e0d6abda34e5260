"""deploy/ceremonies.md is true: every command in it is run as it stands there, in order, against a package store."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / "flows"))

from flow import ROOT, keep_logs  # noqa: E402  pylint: disable=wrong-import-position
from postgres import Cluster  # noqa: E402  pylint: disable=wrong-import-position
from suite import Suite  # noqa: E402  pylint: disable=wrong-import-position

PAGE = ROOT / "deploy" / "ceremonies.md"
STEP = re.compile(r"<!-- store: (\S+) (\S+) -->|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PEOPLE = {"operator": "operator/ops", "authority": "authority/ma", "acme": "manufacturer/acme"}


class Ceremony:
    """A folder with everybody's files, and one package store."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.suite = Suite(ROOT, folder / "suite")
        self.folder = folder / "files"
        self.folder.mkdir()
        (folder / "bin").mkdir()
        (folder / "bin" / "countersign").symlink_to(self.suite.binary("tools/ctl/countersign"))
        self.environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self.database = ""

    def set_up(self) -> None:
        self.suite.init_pki()
        for identity in (*PEOPLE.values(), "service/package-store"):
            self.suite.issue(identity)
        for person, identity in PEOPLE.items():
            shutil.copy(self.suite.config(identity), self.folder / f"{person}.toml")
        self.suite.cluster = Cluster()
        self.database = self.suite.cluster.create_database("package_store")

    def start_store(self, snapshot_key: str, timestamp_key: str) -> None:
        suite = self.suite
        if "package-store" in suite.processes:
            assert suite.processes["package-store"].stop() == 0
        suite.start("package-store", [
            suite.binary("services/package_store/package_store"), f"--listen={suite.address('package-store')}",
            f"--http-listen={suite.http_address('package-store')}", f"--database={self.database}",
            f"--blob-dir={suite.folder / 'blobs'}", *suite.tls_flags("service/package-store"),
            f"--snapshot-key={self.folder / snapshot_key}", f"--timestamp-key={self.folder / timestamp_key}",
            f"--log-key={self.folder / 'log.pem'}", "--log-origin=home.example/image-repository"])
        suite.wait_ready("package-store")

    def sh(self, script: str, check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.environment,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
        if check:
            assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"
        return result

    def refused(self, command: str, *words: str) -> None:
        """The command fails, with an error of one line (and a hint) that has all of `words`, and leaves every file as it was."""
        before = {path: path.read_bytes() for path in self.folder.iterdir()}
        result = self.sh(command, check=False)
        assert result.returncode != 0, result
        assert len(result.stderr.splitlines()) <= 2, result.stderr
        for word in words:
            assert word in result.stderr, result.stderr
        assert {path: path.read_bytes() for path in self.folder.iterdir()} == before

    def run_page(self, until: str = "") -> str:
        """Runs the page's blocks up to the one that has `until`; returns what they printed."""
        printed, store_keys = [], ()
        for snapshot_key, timestamp_key, script in STEP.findall(PAGE.read_text(encoding="utf-8")):
            if until and until in script:
                return "".join(printed)
            if snapshot_key:
                store_keys = (snapshot_key, timestamp_key)
                continue
            if store_keys:
                self.start_store(*store_keys)
                store_keys = ()
            printed.append(self.sh(script).stdout)
        assert not until, f"no block has {until}"
        return "".join(printed)

    def published(self, name: str) -> dict:
        return json.loads(self.sh(f"countersign --config operator.toml repository show {name}").stdout)


@pytest.fixture(name="ceremony")
def fixture_ceremony(request):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    ceremony = Ceremony(folder)
    try:
        yield ceremony
    finally:
        ceremony.suite.stop()
        with contextlib.suppress(FileNotFoundError):
            keep_logs(ceremony.suite, request.node.name)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_page_does_what_it_says(ceremony):
    ceremony.set_up()
    printed = ceremony.run_page()
    assert "3 of the 3 signatures that root version 1 wants (authority 1, operator 2)" in printed
    assert "+ delegation zenith" in printed
    # What the page leaves behind is what clients see.
    assert ceremony.published("4.root.json")["signed"]["version"] == 4
    timestamp = ceremony.published("timestamp.json")
    new_key = ceremony.sh("countersign key id timestamp-2.pem.pub").stdout.strip()
    assert [signature["keyid"] for signature in timestamp["signatures"]] == [new_key]
    snapshot = ceremony.published(f"{timestamp['signed']['meta']['snapshot.json']['version']}.snapshot.json")
    versions = {name: meta["version"] for name, meta in snapshot["signed"]["meta"].items()}
    assert versions == {"targets.json": 4, "acme.json": 2, "acme-pending.json": 1}
    # The authority's new key has not signed acme's role yet.
    assert json.loads(ceremony.sh("countersign --config operator.toml --json package list").stdout) == []


def test_every_mistake_at_a_ceremony_is_told_before_it_is_signed(ceremony):
    ceremony.run_page(until="publish-root 1.root.json")
    refused = ceremony.refused
    root, targets = "countersign root change 1.root.json --out x.json", "countersign targets change 1.targets.json --out x.json"

    # Whose key it is, and whether it counts.
    refused("countersign metadata sign 1.root.json --key op-targets1.pem", "WRONG_KEY", "operator", "authority")
    refused("countersign metadata sign 1.targets.json --under 1.root.json --key op1.pem", "WRONG_KEY")
    refused("countersign metadata sign 1.targets.json --under 1.targets.json --key op1.pem", "WRONG_PARENT")
    refused("countersign metadata sign 1.root.json --key op1.pem.pub", "KEY_INVALID")
    refused("countersign metadata sign 1.root.json --key none.pem", "none.pem")
    refused(f"{root} --add-root-key operator=op1.pem.pub", "KEY_TWICE")
    refused(f"{root} --add-root-key op1.pem", "private key", "stays where it is")
    refused(f"{root} --add-root-key authority=op-targets1.pem.pub", "PARTIES_NOT_DISTINCT")
    refused(f"{root} --add-root-key vendor=acme.pem.pub", "PARTY_INVALID", "operator=")
    refused(f"{root} --add-root-key acme.pem.pub", "PARTIES_NOT_DECLARED")
    refused(f"{root} --add-root-key operator=timestamp.pem.pub", "signs online")
    refused(f"{root} --remove-root-key acme.pem.pub", "KEY_NOT_IN_ROLE")

    # Nobody could sign, or one alone.
    refused(f"{root} --root-threshold 6", "THRESHOLD_UNREACHABLE", "ever sign")
    refused(f"{root} --remove-timestamp-key timestamp.pem.pub", "THRESHOLD_UNREACHABLE")
    refused(f"{root} --remove-root-key ma1.pem.pub --remove-root-key ma2.pem.pub", "PARTIES_NOT_DISTINCT", "operator")
    refused(f"{targets} --add-manufacturer zenith=authority.pem.pub", "PARTIES_NOT_DISTINCT")
    refused(f"{targets} --root 1.root.json --add-manufacturer zenith=op1.pem.pub", "PARTIES_NOT_DISTINCT")
    refused("countersign targets create --out x.json --manufacturer acme=acme.pem.pub", "--authority-key")
    refused(f"{targets} --rotate-manufacturer zenith=op1.pem.pub", "MANUFACTURER_UNKNOWN", "acme")
    refused(f"{targets} --rotate-manufacturer acme=acme.pem.pub", "KEY_UNCHANGED")

    # Until when, and over what.
    refused(f"{root} --expires 2020-01-01T00:00:00Z", "EXPIRY_INVALID")
    refused(f"{root} --expires 2099-01-01T00:00:00Z", "EXPIRY_INVALID")
    refused("countersign root change 1.root.json --out 1.root.json", "FILE_EXISTS")
    refused("countersign root change 1.targets.json --out x.json", "1.targets.json", "no root")

    # A version is skipped; copies are none; too few have signed.
    ceremony.sh(f"{root} && mv x.json 2.root.json && countersign root change 2.root.json --out 3.root.json")
    refused("countersign metadata sign 3.root.json --under 1.root.json --key op1.pem", "WRONG_PARENT")
    refused("countersign metadata merge 2.root.json 1.root.json", "NOT_A_COPY")
    refused("countersign metadata verify 1.root.json 2.root.json", "THRESHOLD_NOT_MET", "2.root.json")
    ceremony.sh("countersign metadata sign 2.root.json --under 1.root.json --key op1.pem --key op2.pem --key op3.pem")
    refused("countersign metadata verify 1.root.json 2.root.json", "both organisations", "authority")
    ceremony.sh("countersign metadata sign 2.root.json --under 1.root.json --key ma1.pem")
    ceremony.sh("countersign metadata sign 3.root.json --key op1.pem --key op2.pem --key ma1.pem")
    refused("countersign metadata verify 1.root.json 3.root.json", "ROOT_VERSION_SKIPPED", "3.root.json")
    ceremony.sh("countersign metadata verify 1.root.json 2.root.json 3.root.json 1.targets.json")
    refused("countersign metadata verify 1.root.json 1.targets.json --at 2050-01-01T00:00:00Z", "EXPIRED_METADATA")


def test_signatures_made_on_copies_are_put_together(ceremony):
    ceremony.run_page(until="targets create")
    ceremony.sh("countersign root change 1.root.json --out 2.root.json; cp 2.root.json a.json; cp 2.root.json b.json")
    ceremony.sh("countersign metadata sign a.json --key op1.pem --key op2.pem; countersign metadata sign b.json --key ma1.pem")
    assert "3 of the 3" in ceremony.sh("countersign metadata merge 2.root.json a.json b.json").stdout
    ceremony.sh("countersign metadata verify 1.root.json 2.root.json")
