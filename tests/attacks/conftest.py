"""One running suite for all attacks: what each of them leaves behind, the others have to live with."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path.cwd() / "tests" / "flows"))

from flow import running_story  # noqa: E402
from attacker import Target  # noqa: E402


@pytest.fixture(scope="session")
def target():
    """Six services, a home and a vehicle: everything is published, and every device has reported."""
    with running_story("attacks") as story:
        story.set_up()
        story.publish()
        story.report()
        with Target(story) as target_:
            yield target_
