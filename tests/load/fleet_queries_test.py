"""The benchmark of the inventory's queries in small: it compares each answer with what was generated, and tells all that it is for.
How fast things are is no test."""

import re
import subprocess

import pytest


@pytest.fixture(scope="module")
def output():
    done = subprocess.run(["tests/load/fleet_queries", "--gateways=10000", "--rounds=2", "--shared-buffers-mib=64"],
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


# HOME-9: who runs what, what is outstanding, what failed and why, of a fleet.
def test_a_generated_fleet_is_counted_as_it_was_generated(output):
    match = re.search(r"^10000 gateways, (\d+) devices, (\d+) components; seed 1$", output, re.MULTILINE)
    assert 45_000 < int(match[2]) < 60_000
    assert int(match[1]) < int(match[2])
    counted = re.search(r"^FILTER .*?\n +(\d+) ", output, re.DOTALL | re.MULTILINE)
    assert counted[1] == match[2], "no filter is everything"


def test_every_question_is_timed(output):
    table = output.split("QUESTION")[1].split("\n\n")[0].splitlines()[1:]
    assert len(table) == 14
    for line in table:
        question, p50, p95, rows, plan = re.split(r"  +", line)
        assert float(p50.split()[0]) <= float(p95.split()[0]), question
        assert int(rows) > 0 or "in trouble" in question or "ring" in question or "outdated" in question or "selection" in question
        assert plan


def test_what_answers_filters_takes_no_report_out_of_its_page(output):
    """Reports that say what the last one said, with all indexes and with none but the key."""
    lines = [re.split(r"  +", line) for line in output.split("UPDATE ")[1].splitlines()[1:]]
    assert len(lines) == 6
    (_, rows, with_all, _), (_, _, with_none, _) = [line for line in lines if "what the last one said" in line[0]]
    assert int(rows) > 3000
    assert float(with_all.split()[0]) > float(with_none.split()[0]) - 5
