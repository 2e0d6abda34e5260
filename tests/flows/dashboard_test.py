"""Every query of the Grafana dashboard finds data in a real Prometheus that watched the whole path."""

import json
import re
import urllib.parse
import urllib.request

import pytest

from flow import ROOT, story  # noqa: F401  pylint: disable=unused-import
from monitoring import start_prometheus
from suite import wait_for

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/rollout-status.json").read_text(encoding="utf-8"))
PATIENCE_SECONDS = 60
# What makes a panel show a zero where nothing has happened yet; a query has to find data without it.
OR_ZERO = re.compile(r"\s+or\s+vector\(0\)\s*$")


def ask(address: str, path: str, **parameters):
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def query(address: str, expression: str) -> list:
    """(labels, value) of what an expression of the dashboard finds, with all rollouts chosen."""
    expression = OR_ZERO.sub("", expression).replace("$rollout", ".*")
    return [(row["metric"], float(row["value"][1])) for row in ask(address, "query", query=expression)["result"]]


def expressions() -> list:
    panels = list(DASHBOARD["panels"])
    panels += [inner for panel in panels for inner in panel.get("panels", [])]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def expect(what: str, found) -> None:
    """Prometheus scrapes every two seconds, and a service counts its tables every few."""
    wait_for(found, what, PATIENCE_SECONDS)


def test_every_query_of_the_dashboard_finds_data(story):  # noqa: F811
    story.set_up()
    prometheus = start_prometheus(story.suite)

    def value(expression: str) -> float:
        return sum(number for _, number in query(prometheus, expression))

    # Rates need a first value to count from.
    expect("the first scrapes of all services", lambda: value("count(up{job=~\"countersign-.*\"} == 1)") == 6)
    story.publish()
    story.report()
    rollout = story.launch()
    story.consent_in_vehicle()
    story.complete(rollout)
    story.try_wrong_signature()
    story.try_altered_image()
    story.try_without_consent()
    story.try_other_home()

    by_title = dict(expressions())
    assert len(by_title) >= 10
    # A number that means something, and not the NaN of a quantile of nothing.
    for title, expression in expressions():
        expect(f"data in the panel \"{title}\": {expression}",
               lambda e=expression: any(number == number for _, number in query(prometheus, e)))

    def by_label(title: str, label: str) -> dict:
        return {labels[label]: number for labels, number in query(prometheus, by_title[title])}

    # What the story made of the fleet is what the panels say.
    for title, label, numbers in (
        ("Components by phase", "phase", {"SUCCEEDED": 6, "FAILED": 1, "CANCELLED": 1}),
        ("Components by state", "state", {"verified": 4, "proxied": 2, "compromised": 1}),
        ("Users' decisions", "decision", {"granted": 7, "denied": 1}),
    ):
        expect(f"the panel \"{title}\" to show {numbers}",
               lambda t=title, l=label, n=numbers: n.items() <= by_label(t, l).items())
    assert value(by_title["Completed"]) == 6
    assert value(by_title["Failed or rolled back"]) == 1
    assert value(by_title["Signed reports"]) > 0
    # FOTA-P1, HOME-9: the inventory heard of the one failure from the rollout.
    expect("the failure that the inventory counts", lambda: value(by_title["Failed updates by reason"]) == 1)
    assert {"root", "targets", "snapshot", "timestamp"} <= by_label("Time until metadata expires", "role").keys()
    # The rate of what has failed for the first time just now is known after two scrapes more.
    expect("the refusals among the calls that failed",
           lambda: {"InvalidArgument", "PermissionDenied"} <= by_label("Calls that failed", "grpc_code").keys())
    assert len(query(prometheus, by_title["Resident memory"])) == 6


@pytest.mark.parametrize("variable", DASHBOARD["templating"]["list"], ids=lambda variable: variable["name"])
def test_a_variable_of_the_dashboard_offers_what_there_is(story, variable):  # noqa: F811
    asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
    assert asked, f"{variable['query']} is not of the form that this test can ask"
    metric, label = asked.groups()
    story.set_up()
    prometheus = start_prometheus(story.suite)
    story.publish()
    story.report()
    rollout = story.launch()
    expect(f"{rollout} among the values of {label}",
           lambda: rollout.removeprefix("rollouts/") in ask(prometheus, f"label/{label}/values", **{"match[]": metric}))
