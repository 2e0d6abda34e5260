"""Fixtures of the flow tests: the scenario of tools/demo, against real processes."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

import grpc
import pytest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tools" / "scenario"))

from story import Story  # noqa: E402
from suite import Suite  # noqa: E402


@contextlib.contextmanager
def running_story(name: str, replicas: int = 1):
    """A Story whose services do not run yet. Its logs are kept in the test's outputs, as `name`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    suite = Suite(ROOT, folder, replicas)
    try:
        yield Story(suite, print)
    finally:
        suite.stop()
        keep_logs(suite, name)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def story(request):
    """A Story whose services do not run yet, each as often as the test's class says with `replicas`."""
    with running_story(request.node.name, getattr(request.cls, "replicas", 1)) as story_:
        yield story_


def channel(suite: Suite, identity: str, service: str) -> grpc.Channel:
    """A channel to a service with the certificate of an identity."""
    name = identity.replace("/", "-")
    read = lambda file: (suite.certificates / file).read_bytes()  # noqa: E731
    credentials = grpc.ssl_channel_credentials(read("ca.crt"), read(f"{name}.key"), read(f"{name}.crt"))
    return grpc.secure_channel(suite.address(service), credentials)


def keep_logs(suite: Suite, name: str) -> None:
    outputs = pathlib.Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", tempfile.gettempdir()))
    shutil.copytree(suite.logs, outputs / name.replace("/", "_"), dirs_exist_ok=True)
