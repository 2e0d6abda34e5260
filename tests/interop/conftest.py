"""A running store of which the repository was exported twice: before and after a further package was approved."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys

import pytest

for folder in ("flows", "attacks"):
    sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / folder))

from attacker import load_key, signed  # noqa: E402
from clients import CLIENTS, served  # noqa: E402
from flow import running_story  # noqa: E402
from world import UNAPPROVED, WITHOUT_CONSENT  # noqa: E402

OPERATOR, AUTHORITY = "operator/ops", "authority/ma"


@dataclasses.dataclass
class Published:
    """The story, the folders that were exported, and how to export another."""

    story: object
    old: pathlib.Path
    new: pathlib.Path

    @property
    def root(self) -> pathlib.Path:
        return self.story.metadata("1.root.json")

    def command(self, folder: pathlib.Path, *flags) -> list:
        suite = self.story.suite
        return [suite.binary("tools/ctl/countersign"), "--config", suite.config(OPERATOR), "--json", "repository", "export",
                "--out", folder, "--root", self.root, *flags]

    def export(self, folder: pathlib.Path, *flags) -> dict:
        return json.loads(self.story.suite.run(*self.command(folder, *flags)))


@pytest.fixture(scope="session")
def published():
    with running_story("interop") as story:
        story.set_up()
        story.publish()
        folder = story.suite.folder
        result = Published(story, folder / "exported-old", folder / "exported-new")
        result.export(result.old)
        approved = story.push([WITHOUT_CONSENT])
        story.suite.ctl(AUTHORITY, "proposal", "approve", approved["name"], "--key", story.suite.key("authority"))
        # Proposed, and not decided on.
        story.push([UNAPPROVED])
        result.export(result.new)
        yield result


class Mirror:
    """A copy of what was exported, in the hands of an attacker; with the keys that the attack needs, and no others."""

    def __init__(self, folder: pathlib.Path, published_: Published) -> None:
        self.folder = folder
        self._published = published_
        self.url = ""

    def copy(self, source: pathlib.Path) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        shutil.copytree(source, self.folder)

    def stolen_key(self, name: str):
        return load_key(self._published.story.suite.key(name))

    def path(self, role: str) -> pathlib.Path:
        """The newest file of a role."""
        if role == "timestamp":
            return self.folder / "metadata" / "timestamp.json"
        return max((self.folder / "metadata").glob(f"*.{role}.json"), key=lambda path: int(path.name.split(".")[0]))

    def content(self, role: str) -> dict:
        return json.loads(self.path(role).read_text())["signed"]

    def write(self, role: str, content: dict, *keys) -> None:
        name = "timestamp.json" if role == "timestamp" else f"{content['version']}.{role}.json"
        (self.folder / "metadata" / name).write_text(json.dumps(signed(content, *keys)))

    def sign_timestamp(self, **changes) -> None:
        """A new timestamp for the newest snapshot, by a thief of its key."""
        content = self.content("timestamp")
        snapshot = self.path("snapshot").read_bytes()
        content["version"] += 1
        content["meta"]["snapshot.json"] = {"version": self.content("snapshot")["version"], "length": len(snapshot),
                                            "hashes": {"sha256": hashlib.sha256(snapshot).hexdigest()}}
        content.update(changes)
        self.write("timestamp", content, self.stolen_key("timestamp"))

    def sign_snapshot(self, change, **changes) -> None:
        """A new snapshot whose `meta` is what `change` makes of it, and its timestamp, by a thief of the keys of both."""
        content = self.content("snapshot")
        content["version"] += 1
        content.update(changes)
        change(content["meta"])
        self.write("snapshot", content, self.stolen_key("snapshot"))
        self.sign_timestamp()

    def image(self, target: str) -> pathlib.Path:
        folder, _, name = target.rpartition("/")
        [path] = (self.folder / "targets" / folder).glob(f"*.{name}")
        return path


@pytest.fixture
def mirror(tmp_path, published):  # pylint: disable=redefined-outer-name
    result = Mirror(tmp_path / "mirror", published)
    result.copy(published.new)
    with served(result.folder) as result.url:
        yield result


@pytest.fixture(params=CLIENTS, ids=lambda kind: kind.name)
def client(request, tmp_path, published):  # pylint: disable=redefined-outer-name
    return request.param(tmp_path / request.param.name, published.root)
