"""That the benchmark works and tells everything that it is for. How fast things are is no test."""

import re
import subprocess

import pytest


@pytest.fixture(scope="module")
def rows():
    """The table by path, as {path: {limit: [ours, the limit's figure, ratio, ...]}}."""
    done = subprocess.run(["tests/load/package_store", "--quick"], stdout=subprocess.PIPE, check=True)
    header, *lines = done.stdout.decode().splitlines()
    assert header.split() == ["PATH", "OURS", "LIMIT", "RATIO", "GOAL"]
    table = {}
    for line in lines:
        path, ours, limit, *rest = re.split(r"  +", line)
        table.setdefault(path, {})[limit] = [ours, *rest]
    return table


PATHS = {
    "idle replica, resident": 1,
    "upload, 1 stream of 16 MiB": 4,
    "upload, server CPU": 1,
    "download, 4 streams of 16 MiB": 2,
    "download, server CPU": 2,
    "download, client CPU": 1,
    "GetMetadata timestamp.json": 1,
    "GetMetadata timestamp.json, server CPU": 1,
    "GetMetadata timestamp.json, database CPU": 1,
    "GetMetadata 1.acme.json": 1,
    "GetMetadata 1.acme.json, server CPU": 1,
    "GetMetadata 1.acme.json, database CPU": 1,
    "memory, upload of 4 MiB": 1,
    "memory, upload of 64 MiB": 1,
    "memory, 4 downloads of 4 MiB": 1,
    "memory, 4 downloads of 64 MiB": 1,
}


def test_the_table_has_a_row_for_each_path_and_nothing_else(rows):
    assert {path: len(limits) for path, limits in rows.items()} == PATHS


@pytest.mark.parametrize("path", PATHS)
def test_each_figure_stands_next_to_a_limit_that_was_measured(rows, path):
    for limit, (ours, theirs, ratio, *_) in rows[path].items():
        assert re.match(r"[\d.]+ \S+$", ours) and re.match(r"[\d.]+ \S+$", theirs), limit
        assert float(ratio) >= 0 and float(theirs.split()[0]) > 0, limit
