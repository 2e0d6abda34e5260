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


def test_app_ids_are_issued_signed_for_exported_and_imported_as_json_lines(suite, tmp_path):
    # APPID-1, APPID-6
    registrar = ("--config", suite.config("registrar/ara"), "--json")

    def run(*arguments) -> subprocess.CompletedProcess:
        result = countersign(suite, *registrar, *arguments)
        assert result.returncode == 0, result
        return result

    issued = json.loads(run("app-id", "issue", "a01", "com.acme", "--application", "meter").stdout)["app_id"]
    assert issued == "Ra01.com.acme.meter"
    key = suite.create_key("registrant")
    run("app-id", "registrant", "create", "acme", "--display-name", "Acme", "--key", suite.public_key("registrant"))
    (tmp_path / "terms.txt").write_text("What a registrant agrees to.", encoding="utf-8")
    signed = json.loads(run("app-id", "sign-terms", issued, "--registrant", "acme", "--terms-id", "terms", "--terms-version", "1",
                            "--text", tmp_path / "terms.txt", "--key", key, "--out", tmp_path / "terms.json").stdout)
    profile = {
        "name": f"profiles/{issued}",
        "application_type": "meter",
        "application_class": "APPLICATION_CLASS_INDUSTRIAL",
        "security_capability": "SECURITY_CAPABILITY_SOFTWARE",
        "authentication_type": "AUTHENTICATION_TYPE_PRE_SHARED_KEY",
        "communications_class": "COMMUNICATIONS_CLASS_STREAMED",
        "data_model": {"name": "SDT 4.0"},
        "data_privacy": {"category": "PRIVACY_CATEGORY_PERSONAL", "protection_level": 3, "purpose": "Abrechnung für Wärme",
                         "collectors": ["Acme"]},
        "signed_terms": signed["signed_terms"],
    }
    other = {**profile, "name": "profiles/Ra01.com.acme.other", "signed_terms": ""}
    lines = tmp_path / "profiles.jsonl"
    lines.write_text("".join(json.dumps(line) + "\n" for line in (profile, other)), encoding="utf-8")
    dry = json.loads(run("app-id", "import", "--dry-run", lines).stdout)
    assert (dry["created"], dry["refused"]) == ("2", "0")
    assert json.loads(run("app-id", "list", "--prefix", "Ra01.com.acme.").stdout) == []
    run("app-id", "import", lines)
    exported = run("app-id", "export", "--prefix", "Ra01.com.acme.").stdout
    shown = [json.loads(line) for line in exported.splitlines()]
    assert [line["name"] for line in shown] == [f"profiles/{issued}", "profiles/Ra01.com.acme.other"]
    assert shown[0]["terms"]["registrant"] == "acme"
    assert shown[0]["data_privacy"]["purpose"] == "Abrechnung für Wärme"
    # What was exported is imported as it is, and changes nothing.
    lines.write_text(exported, encoding="utf-8")
    assert json.loads(run("app-id", "import", lines).stdout)["unchanged"] == "2"
    # Terms that are replayed for another App-ID are refused, with their place, and the exit status says so.
    lines.write_text(json.dumps({**other, "signed_terms": profile["signed_terms"]}) + "\n", encoding="utf-8")
    refused = countersign(suite, *registrar, "app-id", "import", lines)
    assert refused.returncode == 5 and "PROFILES_REFUSED" in refused.stderr, refused
    assert json.loads(refused.stdout)["refusals"][0]["reason"] == "TERMS_INVALID"
    lines.write_text("{\n", encoding="utf-8")
    expect(countersign(suite, *registrar, "app-id", "import", lines), 7, "line 1")
    expect(countersign(suite, *registrar, "app-id", "issue", "b7", "com.acme"), 4, "AUTHORITY_OF_ANOTHER")


def fleet_lines(suite, homes: int) -> list:
    """Homes with a device of two components each, as `inventory export` writes them."""
    keys = [suite.public_key(name).read_text() for name in ("fleet-0", "fleet-1", "fleet-2")]
    lines = []
    for i in range(homes):
        name = f"gateways/home-{i:04}"
        lines.append({"gateway": {"name": name, "kind": "KIND_HOME", "public_key_pem": keys[0], "display_name": f"Größe, \"{i}\"",
                                  "tags": {"site": "berlin" if i % 2 else "bonn"}}})
        lines.append({"device": {"name": f"{name}/devices/hall", "manufacturer": "acme", "model": f"T{i % 3}", "hardware_version": "1",
                                 "components": [{"ecu_serial": f"SN-{i:04}-{n}", "hardware_id": "hw", "public_key_pem": keys[n]}
                                                for n in (1, 2)]}})
    return lines


def written(path, lines: list):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


# HOME-9: who runs what, of a whole fleet.
def test_a_fleet_goes_out_and_comes_in_as_a_file(suite, tmp_path):
    operator = ("--config", suite.config(OPERATOR))
    for name in ("fleet-0", "fleet-1", "fleet-2", "fleet-3"):
        suite.create_key(name)
    lines = fleet_lines(suite, 700)
    file = written(tmp_path / "fleet.jsonl", lines)

    # A dry run tells each line, and changes nothing.
    dry = countersign(suite, *operator, "inventory", "import", "--dry-run", file)
    assert dry.returncode == 0, dry
    assert dry.stdout.splitlines()[:2] == ["line 1: gateways/home-0000 would be created",
                                           "line 2: gateways/home-0000/devices/hall would be created"]
    assert dry.stdout.splitlines()[-1] == ("Would create 700 gateways and 700 devices with 1400 components; 0 are there and the same; "
                                           "0 would be refused.")
    assert countersign(suite, *operator, "inventory", "count").stdout == "0\n"

    # An import that is broken off goes on where it was; a file that is there already changes nothing.
    broken = countersign(suite, *operator, "inventory", "import",
                         written(tmp_path / "broken.jsonl", lines[:101] + [{"gateway": {"kind": "BOAT"}}] + lines[101:]))
    assert broken.returncode == 7 and "line 102: " in broken.stderr, broken
    assert countersign(suite, *operator, "inventory", "count").stdout == "100\n"
    imported = countersign(suite, *operator, "inventory", "import", file)
    assert imported.returncode == 0, imported
    assert imported.stdout == "Created 649 gateways and 650 devices with 1300 components; 101 are there and the same; 0 were refused.\n"
    again = json.loads(countersign(suite, *operator, "--json", "inventory", "import", file).stdout)
    assert (again["unchanged"], again["gateways_created"], again["devices_created"]) == ("1400", "0", "0"), again

    # Round trips, in both formats: what is exported is what was imported.
    for kind in ("jsonl", "csv"):
        out = tmp_path / f"out.{kind}"
        countersign(suite, *operator, "inventory", "export", "--format", kind, "--out", out).check_returncode()
        unchanged = countersign(suite, *operator, "inventory", "import", "--format", kind, out)
        assert unchanged.stdout == ("Created 0 gateways and 0 devices with 0 components; 1400 are there and the same; "
                                    "0 were refused.\n"), unchanged
        second = countersign(suite, *operator, "inventory", "export", "--format", kind)
        assert second.stdout.replace("\r\n", "\n") == out.read_text(encoding="utf-8").replace("\r\n", "\n")

    # What differs is told with its line, and left alone; what cannot be taken stops nothing else.
    lines[0]["gateway"]["kind"] = "KIND_VEHICLE"
    lines[3]["device"]["model"] = "T9"
    lines.append({"gateway": {"name": "gateways/new", "kind": "KIND_HOME", "public_key_pem": "no key"}})
    more = fleet_lines(suite, 701)[-2:]
    different = countersign(suite, *operator, "inventory", "import", written(tmp_path / "different.jsonl", lines + more))
    assert different.returncode == 5 and "IMPORT_INCOMPLETE" in different.stderr, different
    assert [line.partition(" ")[2].partition(":")[0] for line in different.stdout.splitlines()[:-1]] == ["1", "4", "1401"]
    assert "(DIFFERS)" in different.stdout and "(KEY_INVALID)" in different.stdout
    assert "Created 1 gateways and 1 devices with 2 components; 1398 are there and the same; 3 were refused." in different.stdout

    # Only operators.
    refused = countersign(suite, "--config", suite.config("manufacturer/acme"), "inventory", "import", file)
    assert refused.returncode == 4 and "ROLE_NOT_ALLOWED" in refused.stderr, refused

    # Questions.
    counted = countersign(suite, *operator, "inventory", "count", "--by", "model,state", "--filter", "tags.site = berlin")
    assert counted.stdout.splitlines()[0].split() == ["MODEL", "STATE", "COMPONENTS"]
    assert counted.stdout.splitlines()[-1] == "700 in all"
    assert sorted(line.split()[0] for line in counted.stdout.splitlines()[1:4]) == ["T0", "T1", "T2"]
    listed = countersign(suite, *operator, "inventory", "list", "--filter", "serial = SN-0007*")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [
        "gateways/home-0007/components/SN-0007-1", "gateways/home-0007/components/SN-0007-2"]
    limited = countersign(suite, *operator, "inventory", "list", "--limit", "3")
    assert len(limited.stdout.splitlines()) == 4 and "There are more" in limited.stderr
    shown = json.loads(countersign(suite, *operator, "--json", "inventory", "show", "SN-0007-2").stdout)
    assert shown["name"] == "gateways/home-0007/components/SN-0007-2" and shown["tags"] == {"site": "berlin"}
    expect(countersign(suite, *operator, "inventory", "show", "SN-none"), 3, "COMPONENT_UNKNOWN")
    explained = json.loads(countersign(suite, *operator, "--json", "inventory", "explain", "serial=SN-1 OR hall").stdout)
    assert explained["canonical_filter"] == 'ecu_serial = "SN-1" OR "hall"'
    wrong = countersign(suite, *operator, "inventory", "count", "--filter", "colour = red")
    assert wrong.returncode == 7 and "at character 1: there is no field" in wrong.stderr, wrong
    expect(countersign(suite, *operator, "inventory", "count", "--by", "weight"), 7, "GROUP_INVALID")
    expect(countersign(suite, *operator, "inventory", "list", "--order-by", "colour"), 7, "ORDER_INVALID")
    watched = countersign(suite, *operator, "inventory", "watch", "--count", "1")
    assert watched.returncode == 0 and "gateways/home-0000/components/SN-0000-1" in watched.stdout, watched
