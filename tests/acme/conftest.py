"""A registry, an ACME CSE and the guard between it and its applications, as real processes."""

import dataclasses
import datetime
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import sys
import tempfile
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tools" / "scenario"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from acme import Acme  # noqa: E402
from suite import Process, ReservedPort, Suite, wait_for  # noqa: E402

REGISTRAR, GUARD = "registrar/ara", "cse/acme"
POLICY = """
{
  // ACME's own names.
  "cse": {"id": "/id-in", "serviceProvider": "acme.example.com"},
  "findings": {"reason": {"CREDENTIAL_NAMES_NOBODY": "reject"}},
  "classes": {
    "CRITICAL_INFRASTRUCTURE": {"minimumSecurity": "SECURE_ELEMENT", "unreachable": "reject"}
  },
  "attests": {"@HARDWARE_ROOT@": "SECURE_ELEMENT"},
  "grants": [
    {"types": ["thermostat"], "allowedTypes": [3, 4], "acpi": ["cse-in/acpThermostats"],
     "container": {"maxInstances": 5, "maxBytes": 1000}},
    {}
  ]
}
"""


class Authority:
    """A root of trust of applications, and what it issues."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.key, name, [], authority=True)
        self.path = folder / f"{name}.crt"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def _sign(self, key, name: str, uris: list, authority: bool = False):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if authority else self.certificate.subject
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
                   .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(days=1))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), True))
        if uris:
            names = [x509.UniformResourceIdentifier(uri) for uri in uris]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str, *uris: str) -> pathlib.Path:
        """A PEM file with a new key and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / f"{self.name}-{name}.pem"
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + self._sign(key, name, list(uris)).public_bytes(serialization.Encoding.PEM))
        return path


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: str

    @property
    def rsc(self) -> str:
        return self.headers.get("x-m2m-rsc", "")

    @property
    def debug(self) -> str:
        return json.loads(self.body)["m2m:dbg"]

    def json(self):
        return json.loads(self.body)


class Home:
    """Everything between an application and the CSE that it wants to register at."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.suite = Suite(ROOT, folder / "suite")
        self.acme = None
        self.state = folder / "guard"
        self._port = ReservedPort()
        self._http_port = ReservedPort()
        self.applications = folder / "applications"
        self.applications.mkdir()
        self.root = Authority(self.applications, "root")
        self.hardware_root = Authority(self.applications, "hardware-root")
        self.other_root = Authority(self.applications, "other-root")
        self.unknown_root = Authority(self.applications, "unknown-root")

    def start(self) -> None:
        suite = self.suite
        suite.init_pki()
        suite.issue(REGISTRAR)
        suite.issue(GUARD)
        suite.start_services()
        suite.launch(self.folder, ("appid-registry",))
        self.acme = Acme(self.folder / "acme")
        assert self.acme.ask("POST", "/cse-in", json.dumps({"m2m:acp": {
            "rn": "acpThermostats", "pv": {"acr": [{"acor": ["all"], "acop": 63}]},
            "pvs": {"acr": [{"acor": ["CAdmin"], "acop": 63}]}}}), ty=1)[0] == 201
        bundle = self.applications / "bundle.crt"
        bundle.write_bytes(b"".join(root.path.read_bytes() for root in (self.root, self.hardware_root, self.other_root)))
        (self.folder / "policy.json").write_text(POLICY.replace("@HARDWARE_ROOT@", self.hardware_root.sha256),
                                                 encoding="utf-8")
        server = self.root.issue("guard")
        self._command = [
            suite.binary("tools/cse_guard/cse_guard"), f"--listen={self.address}", f"--http-listen={self.http_address}",
            f"--server-cert={server}", f"--server-key={server}", f"--client-ca={bundle}", f"--cse={self.acme.url}",
            f"--policy={self.folder / 'policy.json'}", f"--registry-address={suite.address('appid-registry')}",
            f"--answer-key={suite.public_key('appid-answer')}", f"--state-dir={self.state}", *suite.tls_flags(GUARD)]
        self.guard = Process("guard", self._command, suite.logs / "guard.log", suite.scratch)
        self.wait_guard()

    @property
    def address(self) -> str:
        return self._port.address

    @property
    def http_address(self) -> str:
        return self._http_port.address

    def wait_guard(self) -> None:
        def ready() -> bool:
            self.guard.check()
            try:
                return self.metrics() != ""
            except OSError:
                return False
        wait_for(ready, "the guard to be ready", 30)

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.http_address}/metrics", timeout=5) as response:
            return response.read().decode()

    def stop(self) -> None:
        for process in (getattr(self, "guard", None), self.acme):
            if process is not None:
                process.kill() if isinstance(process, Process) else process.stop()
        self.suite.stop()

    # The registry.

    def register(self, application: str, **changes) -> str:
        """Registers an application; returns its App-ID."""
        app_id = f"Ra01.com.acme.{application}"
        profile = {
            "name": f"profiles/{app_id}",
            "application_type": "sensor",
            "application_class": "APPLICATION_CLASS_CONSUMER",
            "security_capability": "SECURITY_CAPABILITY_SOFTWARE",
            "authentication_type": "AUTHENTICATION_TYPE_CERTIFICATE",
            "root_of_trust_sha256": self.root.sha256,
            "communications_class": "COMMUNICATIONS_CLASS_PERIODIC_BURST",
            "data_model": {"name": "SDT 4.0"},
            "data_privacy": {"category": "PRIVACY_CATEGORY_NON_PERSONAL", "protection_level": 2},
            **changes,
        }
        path = self.folder / f"{application}.json"
        path.write_text(json.dumps(profile), encoding="utf-8")
        self.suite.ctl(REGISTRAR, "app-id", "register", path)
        return app_id

    def certificate(self, application: str, authority=None) -> pathlib.Path:
        return (authority or self.root).issue(application, f"urn:onem2m:api:Ra01.com.acme.{application}")

    # The application's side.

    def connect(self, certificate: pathlib.Path = None) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.root.path))
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(certificate)
        host, port = self.address.split(":")
        return context.wrap_socket(socket.create_connection((host, int(port)), timeout=30))

    def send(self, certificate, method: str, path: str, originator: str = None, body=None, content_type: str = "",
             headers: tuple = ()) -> Answer:
        """One request through the guard."""
        connection = http.client.HTTPConnection("guard")
        connection.sock = self.connect(certificate)
        data = body if isinstance(body, (bytes, type(None))) else \
            (body if isinstance(body, str) else json.dumps(body)).encode()
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (("X-M2M-RI", "r-1"), ("X-M2M-RVI", "4")):
            connection.putheader(name, value)
        if originator is not None:
            connection.putheader("X-M2M-Origin", originator)
        if content_type:
            connection.putheader("Content-Type", content_type)
        for name, value in headers:
            connection.putheader(name, value)
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        response = connection.getresponse()
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()},
                        response.read().decode())
        connection.close()
        return answer

    def register_ae(self, certificate, app_id: str, originator: str, **attributes) -> Answer:
        content = {"m2m:ae": {"api": app_id, "rr": False, "srv": ["4"], "rn": originator.lower(), **attributes}}
        return self.send(certificate, "POST", "/cse-in", originator, content, "application/json;ty=2")

    def has_ae(self, originator: str) -> bool:
        """Whether the CSE itself knows an application."""
        return self.acme.ask("GET", f"/cse-in/{originator.lower()}")[0] == 200


@pytest.fixture(scope="module")
def home():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    made = Home(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        outputs = pathlib.Path(os.environ.get("TEST_UNDECLARED_OUTPUTS_DIR", tempfile.gettempdir())) / "logs"
        shutil.copytree(made.suite.logs, outputs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
