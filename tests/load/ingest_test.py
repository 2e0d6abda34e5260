"""That the ingest benchmark works: every report is verified, committed and counted. How fast things are is no test."""

import re
import subprocess

import pytest

GROUPS = ("5 reports each, Ed25519", "50 reports each, Ed25519", "5 reports each, P-256", "50 reports each, P-256")
OF_GROUPS = ("reports", "reports with challenges", "service CPU", "service CPU with challenges", "database CPU with challenges",
             "WAL with challenges")
PATHS = (*(f"{path}, {group}" for group in GROUPS for path in OF_GROUPS), "CreateChallenge", "CreateChallenge, service CPU",
         "CreateChallenge, database CPU", "reports at two replicas, 5 reports each, Ed25519")


@pytest.fixture(scope="module")
def rows():
    """The table by path, as {path: [ours, limit, the limit's figure, ratio, ...]}. The program aborts when a report is refused
    or lost."""
    done = subprocess.run(["tests/load/ingest", "--quick"], stdout=subprocess.PIPE, check=True)
    header, *lines = done.stdout.decode().splitlines()
    assert header.split() == ["PATH", "OURS", "LIMIT", "RATIO", "GOAL"]
    return {path: rest for path, *rest in (re.split(r"  +", line) for line in lines)}


def test_the_table_has_a_row_for_each_path_and_nothing_else(rows):
    assert sorted(rows) == sorted(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_each_figure_stands_next_to_a_limit_that_was_measured(rows, path):
    ours, _, theirs, ratio, *_ = rows[path]
    assert re.match(r"[\d.]+ \S+$", ours) and re.match(r"[\d.]+ \S+$", theirs)
    assert float(ratio) >= 0 and float(theirs.split()[0]) > 0
