"""That the table of attacks speaks of tests that there are, and the list of defences of lines that there are."""

import functools
import pathlib
import re
import subprocess

import pytest

from defences import DEFENCES

# The tests' own folder is a link into the sources: the defended files are not data, the binaries made from them are.
ATTACKS = pathlib.Path(__file__).resolve().parent
ROOT = ATTACKS.parents[1]
README = (ATTACKS / "README.md").read_text()
TABLE = README[README.index("## Store and clients"):]
BINARIES = (
    "common/offline/package_test",
    "common/trust/client_test",
    "common/trust/parties_test",
    "common/trust/update_test",
    "common/trust/verify_test",
    "services/package_store/app_test",
    "services/package_store/crash_test",
    "services/package_store/kill_test",
    "services/package_store/log_test",
    "services/package_store/replica_test",
    "services/package_store/revocation_test",
    "tools/device/device_test",
    "tools/gateway/downloader_test",
    "tools/gateway/image_file_test",
    "tools/gateway/offline_test",
    "tools/gateway/quarantine_test",
    "tools/gateway/reporter_test",
    "tools/gateway/verification_test",
)


@functools.lru_cache(maxsize=None)
def names_in(binary: str) -> frozenset[str]:
    listed = subprocess.run([binary, "--gtest_list_tests"], stdout=subprocess.PIPE, text=True, check=True).stdout
    tests, suite = set(), ""
    for line in listed.splitlines():
        if line.startswith("  "):
            tests.add(suite + line.split()[0])
        else:
            suite = line.split()[0]
    return frozenset(tests)


@functools.lru_cache(maxsize=None)
def python_tests() -> frozenset[str]:
    text = "".join(path.read_text() for path in ATTACKS.glob("*_attacks.py"))
    return frozenset(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+Test\.\w+)`", TABLE))))
def test_a_test_that_the_table_names_exists(name):
    assert any(name in names_in(binary) for binary in BINARIES)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_[\w*]+)`", README))))
def test_a_python_test_that_a_table_names_exists(name):
    pattern = re.compile(name.replace("*", r"\w*"))
    assert any(pattern.fullmatch(test) for test in python_tests())


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: f"{defence.attack}: {defence.tests[0]}")
def test_a_defence_stands_where_the_list_says_and_the_table_has_its_tests(defence):
    lines = [line.strip() for line in (ROOT / defence.file).read_text().splitlines()]
    assert lines.count(defence.line) == 1
    for test in defence.tests:
        assert test in names_in(defence.target[2:].replace(":", "/"))
        row = next(line for line in TABLE.splitlines() if line.startswith(f"| {defence.attack} |"))
        assert f"`{test}`" in row
