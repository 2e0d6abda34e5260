"""What an operator orders reaches the device, and the device's own word comes back."""

from flow import story  # noqa: F401  pylint: disable=unused-import
from story import OPERATOR
from suite import wait_for
from world import DEVICES

PATIENCE_SECONDS = 60


def component(story_, ecu_serial: str) -> dict | None:
    return next((c for c in story_.components() if c["ecu_serial"] == ecu_serial), None)


def expect(story_, ecu_serial: str, what: str, holds) -> dict:
    def found() -> dict | None:
        now = component(story_, ecu_serial)
        return now if now is not None and holds(now) else None

    return wait_for(found, f"{ecu_serial}: {what}", PATIENCE_SECONDS)


# FOTA-R3, FOTA-R2: from the operator's word to the device's own.
def test_an_order_to_stop_goes_all_the_way_and_back(story):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    wifi = next(device for device in DEVICES if device.id == "wifi")
    name = f"gateways/{wifi.gateway}/components/{wifi.ecu_serial}"
    ordered = suite.ctl(OPERATOR, "component", "quarantine", name, "--reason", "it scans the neighbours")
    assert ordered["state"] == "STATE_QUARANTINED" and "confirm_time" not in ordered["quarantine"]
    confirmed = expect(story, wifi.ecu_serial, "its own word that it has stopped", lambda c: c.get("quarantine", {}).get("confirm_time"))
    assert confirmed["stopped"]
    suite.ctl(OPERATOR, "component", "release", name, "--reason", "a false alarm")
    expect(story, wifi.ecu_serial, "back at work", lambda c: c["state"] == "STATE_VERIFIED" and not c["stopped"])
    history = suite.ctl(OPERATOR, "component", "history", name)
    assert [change["actor"] for change in history if change["cause"] == "ORDER"] == [OPERATOR, OPERATOR]
