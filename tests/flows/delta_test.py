"""An update that comes as what the new image differs in from the old one, and costs the store as much less to send."""

import hashlib
import pathlib
import re
import subprocess
import urllib.request

from flow import story  # noqa: F401  pylint: disable=unused-import
from world import RELEASES, Release

AUTHORITY, OPERATOR = "authority/ma", "operator/ops"
ATH9K = "/lib/firmware/ath9k_htc/"
WIFI_NEXT = Release("wifi-1.5.0", "acme", "wifi", "WL-9", "ar9271", "1.5.0", 15, ATH9K + "htc_7010-1.4.0.fw")


def sent_bytes(suite, kind: str) -> int:
    """What the package store has sent of images or deltas."""
    with urllib.request.urlopen(f"http://{suite.http_address('package-store')}/metrics", timeout=5) as response:
        text = response.read().decode()
    found = re.search(rf'^countersign_package_store_sent_bytes_total{{kind="{kind}"}} (\S+)$', text, re.MULTILINE)
    return int(float(found.group(1))) if found else 0


def digest_of(path: str) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def test_a_device_is_updated_by_a_delta_that_costs_a_fraction_of_its_image(story, tmp_path):  # noqa: F811
    suite = story.suite
    story.set_up()
    story.publish()
    story.report()
    rollout = story.launch()
    story.consent_in_vehicle()
    story.complete(rollout)

    proposal = story.push([WIFI_NEXT])
    suite.ctl(AUTHORITY, "proposal", "approve", proposal["name"], "--key", suite.key("authority"))
    images, deltas = sent_bytes(suite, "image"), sent_bytes(suite, "delta")
    rollout = story.create_rollout("The next one", [WIFI_NEXT])
    suite.ctl(OPERATOR, "rollout", "start", rollout)
    # FOTA-E, FOTA-G, FOTA-H: verified, installed, and proved with the device's signature, as any other.
    story.expect_phase(rollout, "wifi-0001", "SUCCEEDED")
    story.expect_version("wifi-0001", "1.5.0")
    whole = pathlib.Path(WIFI_NEXT.image).stat().st_size
    assert sent_bytes(suite, "image") == images
    assert 0 < sent_bytes(suite, "delta") - deltas < whole / 3

    # Who cares to look needs nothing but `countersign` and zstd.
    old = next(release.image for release in RELEASES if release.component == "wifi")
    pair = digest_of(old), digest_of(WIFI_NEXT.image)
    shown = suite.ctl(OPERATOR, "delta", "show", *pair)
    assert shown["state"] == "STATE_READY"
    assert int(shown["length_bytes"]) == sent_bytes(suite, "delta") - deltas
    suite.ctl(OPERATOR, "delta", "get", *pair, tmp_path / "delta.zst")
    assert digest_of(tmp_path / "delta.zst") == shown["delta_sha256"]
    subprocess.run(["zstd", "-q", "-d", f"--patch-from={old}", tmp_path / "delta.zst", "-o", tmp_path / "image"], check=True)
    assert digest_of(tmp_path / "image") == pair[1]
    story.refuse("a delta of an image to itself", lambda: suite.ctl(OPERATOR, "delta", "show", pair[0], pair[0]), "SAME_IMAGE")
    story.refuse("a delta of an image that nobody has",
                 lambda: suite.ctl(OPERATOR, "delta", "get", pair[0], "0" * 64, tmp_path / "none"), "IMAGE_NOT_FOUND")
