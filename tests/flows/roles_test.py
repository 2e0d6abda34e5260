"""Every RPC is refused to every role that has no right to it.

The API says in the comment of each RPC who may call it ("Roles: ..."). This test reads the comments from the descriptors, and holds
the running services to them: who is not named gets PERMISSION_DENIED with the reason ROLE_NOT_ALLOWED, who is named does not.
"""

import pathlib
import re
import subprocess

import grpc
from google.protobuf import descriptor_pb2

from flow import ROOT, channel, story  # noqa: F401  pylint: disable=unused-import
from suite import SERVICES

ROLES = ("operator", "authority", "manufacturer", "gateway", "cse", "registrar", "service")
SERVICE_IDS = SERVICES
SERVICE_OF_PACKAGE = {f"countersign.{name.replace('-', '_')}.v1": name for name in SERVICES}
IDENTITIES = (
    "operator/ops", "authority/ma", "manufacturer/acme", "gateway/home-1", "cse/cse-1", "registrar/ara",
    *(f"service/{name}" for name in SERVICE_IDS),
)


def allowed_identities(comment: str, method: str) -> set:
    """Which of IDENTITIES the comment of an RPC names."""
    found = re.search(r"Roles: (.*?)\.(\s|$)", " ".join(comment.split()), re.DOTALL)
    assert found, f"the comment of {method} does not say who may call it"
    words = re.findall(r"[a-z-]+", found.group(1))
    if "all" in words[:1]:
        return set(IDENTITIES)
    roles = {word for word in words if word in ROLES}
    roles |= {word.removesuffix("s") for word in words if word.removesuffix("s") in ROLES}
    assert roles, f"the comment of {method} names no role: {found.group(1)}"
    named_services = {word for word in words if word in SERVICE_IDS}
    return {
        identity for identity in IDENTITIES
        if identity.split("/")[0] in roles
        and (not identity.startswith("service/") or not named_services or identity.split("/")[1] in named_services)
    }


def methods(folder: pathlib.Path):
    """(service of the suite, full method, request and response streaming, comment) of the whole API."""
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "countersign").rglob("*.proto"))
    out = folder / "api.binpb"
    subprocess.run(["protoc", f"-I{ROOT / 'proto'}", "--include_source_info", f"--descriptor_set_out={out}", *protos], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for file in files:
        if file.package not in SERVICE_OF_PACKAGE:
            continue
        comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
        for i, service in enumerate(file.service):
            for j, method in enumerate(service.method):
                yield (SERVICE_OF_PACKAGE[file.package], f"/{file.package}.{service.name}/{method.name}",
                       method.client_streaming, method.server_streaming, comments[(6, i, 2, j)])


def call(open_channel: grpc.Channel, method: str, client_streaming: bool, server_streaming: bool) -> tuple:
    """Calls with an empty request; returns the status code and the details that came with it."""
    kind = {(False, False): open_channel.unary_unary, (False, True): open_channel.unary_stream,
            (True, False): open_channel.stream_unary, (True, True): open_channel.stream_stream}
    stub = kind[client_streaming, server_streaming](method)
    request = iter([b""]) if client_streaming else b""
    try:
        answer = stub(request, timeout=2)
        if server_streaming:
            for _ in answer:
                answer.cancel()
                break
    except grpc.RpcError as error:
        details = {key: value for key, value in error.trailing_metadata() or ()}
        return error.code(), details.get("grpc-status-details-bin", b"")
    return grpc.StatusCode.OK, b""


def test_every_method_is_closed_to_every_role_without_a_right(story, tmp_path):  # noqa: F811
    suite = story.suite
    story.set_up()
    suite.issue("cse/cse-1")
    wrong = []
    checked = 0
    for identity in IDENTITIES:
        channels = {service: channel(suite, identity, service) for service in SERVICES}
        for service, method, client_streaming, server_streaming, comment in methods(tmp_path):
            code, details = call(channels[service], method, client_streaming, server_streaming)
            denied = code == grpc.StatusCode.PERMISSION_DENIED and b"ROLE_NOT_ALLOWED" in details
            if denied == (identity in allowed_identities(comment, method)):
                wrong.append(f"{identity} {'is refused' if denied else 'gets through'}: {method} ({code.name})")
            checked += 1
        for open_channel in channels.values():
            open_channel.close()
    assert checked >= 40 * len(IDENTITIES)
    assert not wrong, "\n".join(wrong)


def test_nobody_without_a_certificate_gets_a_word_in(story):  # noqa: F811
    # FOTA-B, FOTA-C
    suite = story.suite
    story.set_up()
    for service in SERVICES:
        credentials = grpc.ssl_channel_credentials((suite.certificates / "ca.crt").read_bytes())
        with grpc.secure_channel(suite.address(service), credentials) as stranger:
            code, _ = call(stranger, "/grpc.health.v1.Health/Check", False, False)
            assert code == grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(suite.address(service)) as stranger:
            code, _ = call(stranger, "/grpc.health.v1.Health/Check", False, False)
            assert code == grpc.StatusCode.UNAVAILABLE


