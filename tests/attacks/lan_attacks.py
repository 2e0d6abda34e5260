"""Attacks in the home: what a stranger on its network can do to devices, and what a stranger's device can do to the gateway."""

import concurrent.futures
import contextlib
import hashlib
import json
import threading

import grpc
import pytest

from attacker import OPERATOR, as_json, new_key, signed
from suite import CommandFailed

DEVICE = "countersign.device.v1.DeviceService"


class ForgedDevice:
    """A device that answers what its maker likes: functions from the request to the bytes of an answer, by RPC."""

    def __init__(self, target, name: str, **answers) -> None:
        self.asked = threading.Event()

        class Handler(grpc.GenericRpcHandler):
            def service(_, details):  # pylint: disable=no-self-argument
                rpc = details.method.rsplit("/", 1)[1]
                if rpc not in answers:
                    return None

                def answer(request, context):
                    self.asked.set()
                    return answers[rpc](request)

                return grpc.unary_unary_rpc_method_handler(answer)

        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=(Handler(),))
        self._socket = target.story.lan("home-1") / f"{name}.sock"
        self._server.add_insecure_port(f"unix:{self._socket}")
        self._server.start()

    def __enter__(self) -> "ForgedDevice":
        return self

    def __exit__(self, *unused) -> None:
        self._server.stop(None).wait()
        with contextlib.suppress(FileNotFoundError):
            self._socket.unlink()


def description(target, name: str, *serials: str, hardware: str = "ar9271") -> bytes:
    return target.api.message(f"{DEVICE[:-13]}GetDescriptionResponse")(
        device_id=name, manufacturer="acme", model="WL-9", hardware_version="1",
        components=[{"ecu_serial": serial, "hardware_id": hardware} for serial in serials]).SerializeToString()


def reports(target, *envelopes: bytes) -> bytes:
    return target.api.message(f"{DEVICE[:-13]}GetVersionReportsResponse")(reports=envelopes).SerializeToString()


def nonce_of(target, request: bytes) -> str:
    return target.api.message(f"{DEVICE[:-13]}GetVersionReportsRequest").FromString(request).nonce


def report(serial: str, nonce: str, key, **changes) -> bytes:
    content = {
        "_type": "version-report", "ecu_serial": serial, "hardware_id": "ar9271", "manufacturer": "acme", "model": "WL-9",
        "installed_image": {"filepath": "", "fileinfo": {"length": 4, "hashes": {"sha256": hashlib.sha256(b"evil").hexdigest()}}},
        "version": "6.6.6", "release_counter": 0, "report_counter": 2**40, "nonce": nonce, "attacks_detected": "", "proxied": False}
    content.update(changes)
    return as_json(signed(content, key))


def counters(target) -> dict:
    return {c.ecu_serial: c.report_counter for c in target.as_(OPERATOR).call("inventory", "ListComponents", page_size=1000).components
            if c.name.startswith("gateways/home-1/")}


def ask_home(target) -> None:
    """Has the gateway ask its devices and report, now."""
    while True:
        try:
            target.suite.run(*target.story.gateway_command("home-1"), "report")
            return
        except CommandFailed as failure:
            # The agent that runs all the time asked for a challenge in between.
            if "NONCE_MISMATCH" not in str(failure):
                raise


def assert_home_goes_on(target) -> None:
    """The home's own devices report anew, and count as they did."""
    before, states = counters(target), target.components()
    ask_home(target)
    after = counters(target)
    for serial in ("thermostat-0001", "wifi-0001", "settop-0001"):
        assert after[serial] > before[serial], serial
    assert target.components() == states


def nested(depth: int) -> list:
    return [nested(depth - 1)] if depth else []


def test_a_forged_device_of_no_known_serial_is_not_believed(target):
    key = new_key()
    with ForgedDevice(target, "forged", GetDescription=lambda _: description(target, "forged", "forged-0001"),
                      GetVersionReports=lambda r: reports(target, report("forged-0001", nonce_of(target, r), key))) as device:
        assert_home_goes_on(target)
        assert device.asked.is_set()
    assert "forged-0001" not in target.components()


@pytest.mark.parametrize("name", ["aaa-first", "zzz-last"])
def test_a_forged_device_with_the_serial_of_another_displaces_it_not(target, name):
    # Whichever of the two the gateway finds first.
    key = new_key()
    with ForgedDevice(target, name, GetDescription=lambda _: description(target, name, "wifi-0001"),
                      GetVersionReports=lambda r: reports(target, report("wifi-0001", nonce_of(target, r), key))) as device:
        assert_home_goes_on(target)
        assert device.asked.is_set()
    assert target.components()["wifi-0001"][1] != "6.6.6"


def test_a_forged_device_has_nothing_signed_that_its_gateway_did_not_ask(target):
    # The constrained thermostat's serial, with "constrained" left out, so that the gateway would pass on what the stranger signed.
    key = new_key()
    with ForgedDevice(target, "zzz-thermostat", GetDescription=lambda _: description(target, "zzz-thermostat", "thermostat-0001"),
                      GetVersionReports=lambda r: reports(target, report("thermostat-0001", nonce_of(target, r), key))):
        assert_home_goes_on(target)


NONSENSE = {
    "no message": lambda target, nonce: b"\xff" * 100,
    "no JSON": lambda target, nonce: reports(target, b"\x00", b"{", b"null", b"\xff"),
    "deep": lambda target, nonce: reports(target, report("odd-0001", nonce, new_key(), extra=nested(14))),
    "many values": lambda target, nonce: reports(target, *[report("odd-0001", nonce, new_key(), extra=[0] * 5000)] * 32),
    "control characters": lambda target, nonce: reports(target, report("odd-0001", nonce, new_key(), version="\x00\x1b[2J")),
    "a manifest": lambda target, nonce: reports(target, as_json(signed({"_type": "gateway-manifest", "nonce": nonce}, new_key()))),
    "many": lambda target, nonce: reports(target, *[b"{}"] * 5000),
    "huge": lambda target, nonce: reports(target, b" " * (8 << 20)),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_device_that_talks_nonsense_silences_nobody(target, what):
    with ForgedDevice(target, "odd", GetDescription=lambda _: description(target, "odd", "odd-0001"),
                      GetVersionReports=lambda r: NONSENSE[what](target, nonce_of(target, r))) as device:
        assert_home_goes_on(target)
        assert device.asked.is_set()


def test_many_devices_with_reports_as_long_as_may_be_silence_nobody(target):
    # Together they are more than a manifest holds.
    key = new_key()
    with contextlib.ExitStack() as stack:
        for number in range(4):
            name = f"zz-bloat-{number}"
            serials = [f"bloat-{number}-{i}" for i in range(32)]
            stack.enter_context(ForgedDevice(
                target, name, GetDescription=lambda _, name=name, serials=serials: description(target, name, *serials),
                GetVersionReports=lambda r, serials=serials: reports(target, *(
                    report(serial, nonce_of(target, r), key, attacks_detected="x" * 1000, extra=["y" * 250] * 45) for serial in serials))))
        assert_home_goes_on(target)


def test_a_device_that_describes_nonsense_silences_nobody(target):
    for answer in (b"\xff" * 9, description(target, "somebody-else", "odd-0001"), description(target, "odd", ""),
                   description(target, "odd", *(f"odd-{i}" for i in range(2000))), description(target, "odd\x00", "odd-0001")):
        with ForgedDevice(target, "odd", GetDescription=lambda _, answer=answer: answer) as device:
            assert_home_goes_on(target)
            assert device.asked.is_set()


def test_what_is_no_device_in_the_folder_of_devices_is_passed_over(target):
    lan = target.story.lan("home-1")
    (lan / "file.sock").write_text("no socket")
    (lan / "folder.sock").mkdir()
    (lan / "link.sock").symlink_to("/dev/zero")
    try:
        assert_home_goes_on(target)
    finally:
        (lan / "file.sock").unlink()
        (lan / "folder.sock").rmdir()
        (lan / "link.sock").unlink()


# A stranger at a device.


def stranger(target, rpc: str, requests: list):
    """Calls the wifi's socket as anyone on the network can."""
    message = target.api.message
    response = {"InstallImage": "InstallImageResponse", "ActivateImage": "ActivateImageResponse"}[rpc]
    with grpc.insecure_channel(f"unix:{target.story.lan('home-1') / 'wifi.sock'}") as channel:
        parse = message(f"{DEVICE[:-13]}{response}").FromString
        if rpc == "InstallImage":
            return channel.stream_unary(f"/{DEVICE}/{rpc}", response_deserializer=parse)(
                iter([r.SerializeToString() for r in requests]), timeout=20)
        return channel.unary_unary(f"/{DEVICE}/{rpc}", response_deserializer=parse)(requests[0].SerializeToString(), timeout=20)


def metadata_files(target, service: str, identity: str, method: str, names: list) -> list:
    return [{"file_name": name, "content": target.as_(identity).call(service, method, file_name=name).content} for name in names]


def test_a_stranger_installs_nothing_on_a_device(target):
    # FOTA-G, FOTA-R5: an image of the stranger's, with no metadata, with genuine metadata of something else, and with forged.
    image = b"evil" * 100
    digest = hashlib.sha256(image).hexdigest()
    versions = target.repository()["roles"]
    genuine = metadata_files(target, "package-store", "gateway/home-1", "GetMetadata",
                             ["timestamp.json", f"{target.repository()['snapshot']}.snapshot.json",
                              f"{versions['targets.json']}.targets.json", f"{versions['acme.json']}.acme.json"])
    director = metadata_files(target, "rollout", "gateway/home-1", "GetDirectorMetadata", target.director_files("home-1"))
    thief = new_key()
    forged = [dict(file, content=as_json(signed(json.loads(file["content"])["signed"], thief))) for file in director]
    request = target.api.message(f"{DEVICE[:-13]}InstallImageRequest")
    for director_files, image_files in (([], []), (director, genuine), (forged, genuine), ([{"file_name": "timestamp.json",
                                        "content": b"\xff"}], []), ([{"file_name": "../../evil", "content": b"{}"}], genuine)):
        header = {"ecu_serial": "wifi-0001", "director_metadata": director_files, "image_metadata": image_files,
                  "image": {"target_path": "acme/wifi/wifi-1.4.0.bin", "length_bytes": len(image), "sha256": digest}}
        try:
            answer = stranger(target, "InstallImage", [request(header=header), request(data=image)])
            assert not answer.installed and answer.failure_reason != 0
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE)
    assert_home_goes_on(target)


def test_a_stranger_boots_no_device_into_anything(target):
    request = target.api.message(f"{DEVICE[:-13]}ActivateImageRequest")
    for serial, digest in (("wifi-0001", "00" * 32), ("wifi-0001", hashlib.sha256(b"evil").hexdigest()), ("wifi-0001", ""),
                           ("wifi-0001", "../../factory"), ("other", "00" * 32)):
        with pytest.raises(grpc.RpcError) as refusal:
            stranger(target, "ActivateImage", [request(ecu_serial=serial, sha256=digest)])
        assert refusal.value.code() in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert_home_goes_on(target)


def test_a_stranger_who_sends_no_end_keeps_no_gateway_out(target):
    request = target.api.message(f"{DEVICE[:-13]}InstallImageRequest")
    with grpc.insecure_channel(f"unix:{target.story.lan('home-1') / 'wifi.sock'}") as channel:
        stop = threading.Event()

        def endless():
            yield request(header={"ecu_serial": "wifi-0001"}).SerializeToString()
            while not stop.wait(0.05):
                yield request(data=b"x" * 1000).SerializeToString()

        calls = [channel.stream_unary(f"/{DEVICE}/InstallImage").future(endless()) for _ in range(8)]
        try:
            assert_home_goes_on(target)
        finally:
            stop.set()
            for call in calls:
                call.cancel()
    target.suite.processes["wifi"].check()
