"""Fixtures of the flow tests: the scenario of tools/demo, against real processes."""

import os
import pathlib
import shutil
import sys
import tempfile

import pytest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tools" / "scenario"))

from story import Story  # noqa: E402
from suite import Suite  # noqa: E402


@pytest.fixture
def replicas() -> int:
    """How often each service runs; a test that wants another number overrides it."""
    return 1


@pytest.fixture
def story(request, replicas):
    """A Story whose services do not run yet. The logs of a test that failed are kept in the test's outputs."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    suite = Suite(ROOT, folder, replicas)
    try:
        yield Story(suite, print)
    finally:
        suite.stop()
        keep_logs(suite, request.node.name)
        shutil.rmtree(folder, ignore_errors=True)


def keep_logs(suite: Suite, name: str) -> None:
    outputs = pathlib.Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", tempfile.gettempdir()))
    shutil.copytree(suite.logs, outputs / name.replace("/", "_"), dirs_exist_ok=True)
