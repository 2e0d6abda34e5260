"""`countersign` for scripts: exit statuses that tell what to do next, JSON on stdout, one clear line on stderr."""

import json
import os
import subprocess

import pytest

from flow import story  # noqa: F401  pylint: disable=unused-import
from suite import ReservedPort

OPERATOR = "operator/ops"


@pytest.fixture(name="suite")
def fixture_suite(story):  # noqa: F811
    story.set_up()
    return story.suite


def countersign(suite, *arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([str(suite.binary("tools/ctl/countersign")), *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, **environment})


def expect(result: subprocess.CompletedProcess, status: int, *words: str) -> None:
    """The exit status, and an error of one line (and a hint) that has all of `words`."""
    assert result.returncode == status, result
    assert result.stdout == "", result
    assert result.stderr.startswith("countersign"), result.stderr
    assert len(result.stderr.splitlines()) <= 2, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr


def test_exit_statuses_tell_scripts_what_went_wrong(suite, tmp_path):
    operator = ("--config", suite.config(OPERATOR))

    # 2: the command line.
    expect(countersign(suite), 2, "which command?", "rollout", "proposal")
    expect(countersign(suite, "roll-out"), 2, '"roll-out"', "rollout")
    expect(countersign(suite, "rollout", "begin"), 2, "countersign rollout", '"begin"', "start")
    expect(countersign(suite, *operator, "rollout", "show"), 2, "id is required")
    expect(countersign(suite, *operator, "rollout", "list", "--bogus"), 2, "--bogus")
    expect(countersign(suite, "--config", tmp_path / "none.toml", "rollout", "list"), 2, "none.toml")
    expect(countersign(suite, "rollout", "list"), 2, "--tls-cert", "COUNTERSIGN_CONFIG")

    # 3: not found; 5: not in this state; 7: bad data.
    expect(countersign(suite, *operator, "rollout", "show", "nope"), 3, "rollouts/nope", "ROLLOUT_UNKNOWN")
    countersign(suite, *operator, "manufacturer", "create", "acme", "--display-name", "Acme").check_returncode()
    expect(countersign(suite, *operator, "manufacturer", "create", "acme", "--display-name", "Other"), 5, "ALREADY_EXISTS")
    expect(countersign(suite, *operator, "device", "components", "--filter", "hardware ="), 7, "FILTER_INVALID")

    # 4: not allowed, whatever the arguments.
    suite.issue("gateway/home-9")
    expect(countersign(suite, "--config", suite.config("gateway/home-9"), "rollout", "list"), 4,
           "gateway/home-9", "ROLE_NOT_ALLOWED")


def test_exit_statuses_tell_a_service_that_is_down_from_one_that_is_not_to_be_trusted(suite, tmp_path):
    operator = ("--config", suite.config(OPERATOR))
    nobody = ReservedPort()
    expect(countersign(suite, *operator, f"--rollout-address={nobody.address}", "rollout", "list"), 6,
           nobody.address, "UNREACHABLE")
    # Another service answers there.
    expect(countersign(suite, *operator, f"--rollout-address={suite.address('inventory')}", "rollout", "list"), 4,
           "service/inventory", "PEER_NOT_TRUSTED")
    # Authorities that do not know each other.
    suite.run(suite.binary("tools/pki/pki"), "init", tmp_path / "pki", "--trust-domain", "demo.countersign.example")
    suite.run(suite.binary("tools/pki/pki"), "issue", tmp_path / "pki", OPERATOR, "--out", tmp_path / "other")
    expect(countersign(suite, *operator, "--tls-ca", tmp_path / "other/ca.crt", "rollout", "list"), 4, "--tls-ca")
    expect(countersign(suite, *operator, "--tls-cert", tmp_path / "other/operator-ops.crt",
                       "--tls-key", tmp_path / "other/operator-ops.key", "rollout", "list"), 6, "--tls-cert")
    # Files that do not belong together, or are none.
    expect(countersign(suite, *operator, "--tls-key", tmp_path / "other/operator-ops.key", "rollout", "list"), 7, "--tls-key")
    expect(countersign(suite, *operator, "--tls-cert", tmp_path / "none.crt", "rollout", "list"), 7, "none.crt")


def test_json_is_all_that_scripts_get_on_stdout(suite):
    operator = ("--config", suite.config(OPERATOR), "--json")
    created = json.loads(countersign(suite, *operator, "manufacturer", "create", "acme", "--display-name", "Acme").stdout)
    assert created["name"] == "manufacturers/acme"
    listed = json.loads(countersign(suite, *operator, "manufacturer", "list").stdout)
    assert [manufacturer["name"] for manufacturer in listed] == ["manufacturers/acme"]
    # The flag may stand anywhere, and an empty list is a list.
    assert json.loads(countersign(suite, "rollout", "list", *operator).stdout) == []
    failed = countersign(suite, *operator, "manufacturer", "show", "zenith")
    assert (failed.returncode, failed.stdout) == (3, "")


def test_the_configuration_may_come_from_the_environment(suite, tmp_path):
    result = countersign(suite, "gateway", "list", COUNTERSIGN_CONFIG=str(suite.config(OPERATOR)))
    assert result.returncode == 0, result
    # The flag wins.
    suite.issue("gateway/home-9")
    expect(countersign(suite, "--config", suite.config("gateway/home-9"), "gateway", "list",
                       COUNTERSIGN_CONFIG=str(suite.config(OPERATOR))), 4, "gateway/home-9")
    expect(countersign(suite, "gateway", "list", COUNTERSIGN_CONFIG=str(tmp_path / "none.toml")), 2, "none.toml")


def test_people_get_a_table(suite):
    result = countersign(suite, "--config", suite.config(OPERATOR), "gateway", "list")
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.splitlines()[0].startswith("GATEWAY")
