"""Attacks on the wire: wrong certificates, impostors, and bytes that are no calls."""

import concurrent.futures
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from attacker import OPERATOR, load_key, new_key
from suite import SERVICES, TRUST_DOMAIN, CommandFailed

HEALTH = "/grpc.health.v1.Health/Check"


class Forger:
    """Certificates with any content, signed by the suite's CA or by another."""

    def __init__(self, target) -> None:
        self._ca = x509.load_pem_x509_certificate((target.suite.pki / "ca.crt").read_bytes())
        self._ca_key = load_key(target.suite.pki / "ca.key")

    def issue(self, name: str, uris: list, *, days: tuple = (-1, 1), own_ca: bool = False, usage=None) -> tuple:
        """(certificate, key) in PEM."""
        key = new_key()
        now = datetime.datetime.utcnow()
        issuer, issuer_key = self._ca.subject, self._ca_key
        if own_ca:
            issuer_key = new_key()
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names += [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])).issuer_name(issuer)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0])).not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName(names), False)
            .add_extension(x509.ExtendedKeyUsage(usage or [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(issuer_key, hashes.SHA256()))
        return (certificate.public_bytes(serialization.Encoding.PEM),
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


@pytest.fixture(name="forger", scope="module")
def _forger(target):
    return Forger(target)


def spiffe(path: str, domain: str = TRUST_DOMAIN) -> str:
    return f"spiffe://{domain}/{path}"


def knock(target, service: str, pair: tuple | None, method: str = HEALTH) -> grpc.StatusCode:
    """Calls with a certificate; returns the code of the answer."""
    ca = (target.suite.certificates / "ca.crt").read_bytes()
    certificate, key = pair or (None, None)
    with grpc.secure_channel(target.suite.address(service), grpc.ssl_channel_credentials(ca, key, certificate)) as channel:
        try:
            channel.unary_unary(method)(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


LIST = {"appid-registry": "AppIdRegistryService/ListProfiles", "inventory": "InventoryService/ListGateways",
        "package-store": "PackageStoreService/GetMetadata", "liaison": "LiaisonService/ListManufacturers",
        "consent": "ConsentService/ListRecords", "rollout": "RolloutService/ListRollouts"}


@pytest.fixture(name="paths", scope="module")
def _paths(target):
    """A method of each service that the operator may call."""
    return {service: "/{}/{}".format(method.containing_service.full_name, method.name)
            for service in SERVICES for method in target.api.methods(service) if method.name == LIST[service].split("/")[1]}


@pytest.mark.parametrize("service", SERVICES)
def test_no_handshake_succeeds_with_a_certificate_that_is_not_valid(target, forger, paths, service):
    # FOTA-B
    operator = [spiffe(OPERATOR)]
    for pair in (None, forger.issue("other-ca", operator, own_ca=True), forger.issue("expired", operator, days=(-9, -1)),
                 forger.issue("early", operator, days=(1, 9)),
                 forger.issue("server-only", operator, usage=[ExtendedKeyUsageOID.SERVER_AUTH])):
        assert knock(target, service, pair, paths[service]) == grpc.StatusCode.UNAVAILABLE
    # The certificate that the forger can make as well as the CA is good: the others failed for what was wrong with them.
    assert knock(target, service, forger.issue("good", operator), paths[service]) not in (
        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize("service", SERVICES)
def test_no_identity_is_read_from_a_certificate_that_says_anything_else(target, forger, paths, service):
    for uris in ([], [spiffe(OPERATOR, "elsewhere.example")], [spiffe(OPERATOR), spiffe("gateway/home-1")], [spiffe("root/ops")],
                 [spiffe("operator")], [spiffe("operator/ops/more")], [spiffe("operator/")], [spiffe("operator/OPS%2f")],
                 [f"https://{TRUST_DOMAIN}/operator/ops"], [spiffe(OPERATOR, TRUST_DOMAIN.upper() + ".")],
                 [spiffe(OPERATOR) + "?role=operator"], [spiffe(OPERATOR, f"u@{TRUST_DOMAIN}")], [spiffe(OPERATOR, f"{TRUST_DOMAIN}:1")]):
        assert knock(target, service, forger.issue("odd", uris), paths[service]) == grpc.StatusCode.UNAVAILABLE, uris
    assert knock(target, service, forger.issue("good", [spiffe(OPERATOR)]), paths[service]) != grpc.StatusCode.UNAVAILABLE


# Impostors.


@pytest.fixture(name="impostor")
def _impostor(target):
    """A gRPC server at an address of its own that answers every call, with the certificate of a service; returns a function."""
    servers = []

    def serve(pair: tuple) -> str:
        calls = []

        class Anything(grpc.GenericRpcHandler):
            def service(self, handler_call_details):
                calls.append(handler_call_details.method)
                return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")

        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=(Anything(),))
        ca = (target.suite.certificates / "ca.crt").read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pair[1], pair[0])], ca, True))
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}", calls

    yield serve
    for server in servers:
        server.stop(None)


def test_an_impostor_at_the_address_of_a_service_hears_no_call(target, forger, impostor):
    # FOTA-B: neither the operator nor a gateway says a word to anyone but the service itself.
    suite = target.suite
    for name, uris, own_ca in (("consent", [spiffe("service/consent")], False), ("gateway", [spiffe("gateway/home-1")], False),
                               ("domain", [spiffe("service/rollout", "elsewhere.example")], False),
                               ("ca", [spiffe("service/rollout")], True)):
        address, calls = impostor(forger.issue(name, uris, own_ca=own_ca))
        with pytest.raises(CommandFailed):
            suite.run(suite.binary("tools/ctl/countersign"), "--config", suite.config(OPERATOR), "--timeout=3",
                      f"--rollout-address={address}", "rollout", "list")
        with pytest.raises(CommandFailed):
            suite.run(*target.story.gateway_command("home-1"), "--timeout=3", f"--rollout-address={address}", "updates")
        assert not calls, name
    # With the service's own certificate it is heard: it is the certificate that was wrong.
    address, calls = impostor(forger.issue("rollout", [spiffe("service/rollout")]))
    suite.run(suite.binary("tools/ctl/countersign"), "--config", suite.config(OPERATOR), f"--rollout-address={address}", "rollout", "list")
    assert calls


# Bytes.


def address(target, service: str) -> tuple:
    host, port = target.suite.address(service).split(":")
    return host, int(port)


def http_address(target, service: str) -> tuple:
    host, port = target.suite.http_address(service).split(":")
    return host, int(port)


def tls(target, service: str, identity: str = "gateway/home-1", protocols=("h2",)) -> ssl.SSLSocket:
    """A connection of somebody with a certificate, to write on what they like."""
    context = ssl.create_default_context(cafile=str(target.suite.certificates / "ca.crt"))
    name = identity.replace("/", "-")
    context.load_cert_chain(target.suite.certificates / f"{name}.crt", target.suite.certificates / f"{name}.key")
    context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(socket.create_connection(address(target, service), timeout=10), server_hostname="localhost")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
RUBBISH = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 4096, b"\xff" * 4096, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    PREFACE + b"\xff" * 4096, PREFACE + frame(9, 0, 1, b"x" * 100), PREFACE + frame(1, 4, 1, b"\xff" * 500),
    PREFACE + frame(0, 1, 7, b"data of no stream"), PREFACE + frame(6, 0, 0, b"12345678") * 5000, PREFACE + frame(4, 0, 0) * 5000,
    PREFACE + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3, PREFACE + frame(3, 0, 1, b"\0\0\0\0") * 1000,
    b"\x16\x03\x01" + b"\xff\xff" + b"\x01" * 1000,
)


@pytest.mark.parametrize("service", SERVICES)
def test_bytes_that_are_no_calls_disturb_nobody(target, service):
    for bytes_ in RUBBISH:
        with contextlib.suppress(OSError), socket.create_connection(address(target, service), timeout=10) as plain:
            plain.sendall(bytes_)
        with contextlib.suppress(OSError), tls(target, service) as encrypted:
            encrypted.sendall(bytes_)
        with contextlib.suppress(OSError), tls(target, service, protocols=("http/1.1",)) as encrypted:
            encrypted.sendall(bytes_)
    target.assert_all_serve()


@pytest.mark.parametrize("service", SERVICES)
def test_half_open_connections_keep_nobody_out(target, service):
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            half = stack.enter_context(socket.create_connection(address(target, service), timeout=10))
            half.sendall(b"\x16\x03\x01")
        # Others have a right to be there and say nothing.
        for _ in range(20):
            stack.enter_context(tls(target, service))
        assert knock_as_operator(target, service) == grpc.StatusCode.OK


def knock_as_operator(target, service: str) -> grpc.StatusCode:
    """On a new connection."""
    name = OPERATOR.replace("/", "-")
    pair = tuple((target.suite.certificates / f"{name}.{kind}").read_bytes() for kind in ("crt", "key"))
    return knock(target, service, pair)


@pytest.mark.parametrize("service", SERVICES)
def test_ten_thousand_headers_and_huge_messages_are_refused(target, paths, service):
    name = "operator-ops"
    read = lambda file: (target.suite.certificates / file).read_bytes()  # noqa: E731
    credentials = grpc.ssl_channel_credentials(read("ca.crt"), read(f"{name}.key"), read(f"{name}.crt"))
    options = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 64 << 20)]
    with grpc.secure_channel(target.suite.address(service), credentials, options) as channel:
        call = channel.unary_unary(paths[service])
        with pytest.raises(grpc.RpcError) as headers:
            call(b"", metadata=[(f"x-{i}", "y" * 20) for i in range(10_000)], timeout=20)
        assert headers.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(grpc.RpcError) as huge:
            call(b"\x0a" + b"\xff" * (64 << 20), timeout=20)
        assert huge.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    assert knock_as_operator(target, service) == grpc.StatusCode.OK
    target.suite.processes[service].check()


@pytest.mark.parametrize("service", ["rollout"])
def test_slow_requests_do_not_silence_the_health_page(target, service):
    """Each of many connections sends a byte now and then and never comes to an end; probes are answered all the same."""
    stop = threading.Event()

    def drip() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(http_address(target, service), timeout=20) as slow:
                slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
                while not stop.wait(0.5):
                    slow.sendall(b"x")

    drips = [threading.Thread(target=drip) for _ in range(8)]
    for thread in drips:
        thread.start()
    try:
        begin = time.monotonic()
        for _ in range(3):
            with urllib.request.urlopen(f"http://{target.suite.http_address(service)}/healthz", timeout=10) as response:
                assert response.status == 200
        assert time.monotonic() - begin < 10
    finally:
        stop.set()
        for thread in drips:
            thread.join()


def test_the_http_port_tells_a_stranger_no_secret(target):
    for service in SERVICES:
        for path in ("/", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/debug", "/metrics/../healthz"):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                urllib.request.urlopen(f"http://{target.suite.http_address(service)}{path}", timeout=10)
            assert refusal.value.code in (400, 404), path
        with urllib.request.urlopen(f"http://{target.suite.http_address(service)}/metrics", timeout=10) as response:
            metrics = response.read().decode()
        for secret in ("home-1", "car-1", "wifi-0001", "driver-4", "host=", "PRIVATE"):
            assert secret not in metrics, (service, secret)
