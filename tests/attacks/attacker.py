"""What an attacker has: certificates that were issued to them, keys that are theirs, and every byte that they care to send."""

import contextlib
import datetime
import hashlib
import json
import pathlib
import subprocess
import uuid

import grpc
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from flow import ROOT, channel
from suite import SERVICES

OPERATOR, AUTHORITY = "operator/ops", "authority/ma"
PROTO_PACKAGES = {name: f"countersign.{name.replace('-', '_')}.v1" for name in SERVICES}


class Refused(Exception):
    """A call that was answered with an error."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str) -> None:
        super().__init__(f"{code.name} {reason}: {message}")
        self.code, self.reason, self.message = code, reason, message


class Api:
    """The whole API, from its .proto files, without generated code."""

    def __init__(self, folder: pathlib.Path) -> None:
        root = ROOT / "proto"
        protos = sorted(str(path.relative_to(root)) for path in root.rglob("*.proto"))
        out = folder / "attacks.binpb"
        subprocess.run(["protoc", f"-I{root}", "--include_imports", f"--descriptor_set_out={out}", *protos], check=True)
        self.pool = descriptor_pool.DescriptorPool()
        self.files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
        for file in self.files:
            self.pool.Add(file)
        self._factory = message_factory.MessageFactory(self.pool)

    def message(self, name_or_descriptor):
        descriptor = name_or_descriptor
        if isinstance(descriptor, str):
            descriptor = self.pool.FindMessageTypeByName(descriptor)
        return self._factory.GetPrototype(descriptor)

    def methods(self, service: str):
        """The method descriptors of a service of the suite."""
        for file in self.files:
            if file.package == PROTO_PACKAGES[service]:
                for declared in file.service:
                    yield from self.pool.FindServiceByName(f"{file.package}.{declared.name}").methods

    def method(self, service: str, name: str):
        return next(method for method in self.methods(service) if method.name == name)


class Caller:
    """Somebody with a certificate."""

    def __init__(self, target: "Target", identity: str) -> None:
        self.identity = identity
        self._target = target
        self._channels: dict[str, grpc.Channel] = {}

    def call(self, service: str, rpc: str, /, **fields):
        """Calls; returns the response (a list for a stream that ends). `fields` that are missing and every request has are made up."""
        method = self._target.api.method(service, rpc)
        if "request_id" in method.input_type.fields_by_name:
            fields.setdefault("request_id", str(uuid.uuid4()))
        return self.send(service, method, self._target.api.message(method.input_type)(**fields).SerializeToString())

    def send(self, service: str, method, request: bytes, timeout: float = 20):
        """Sends bytes as the request of `method`."""
        proto = self._target.api.files
        declared = next(m for file in proto for s in file.service for m in s.method
                        if f"{file.package}.{s.name}.{m.name}" == method.full_name)
        path = f"/{method.containing_service.full_name}/{method.name}"
        if service not in self._channels:
            self._channels[service] = channel(self._target.suite, self.identity, service)
        open_channel = self._channels[service]
        parse = self._target.api.message(method.output_type).FromString
        try:
            if declared.client_streaming:
                return open_channel.stream_unary(path, response_deserializer=parse)(iter([request]), timeout=timeout)
            if declared.server_streaming:
                return list(open_channel.unary_stream(path, response_deserializer=parse)(request, timeout=timeout))
            return open_channel.unary_unary(path, response_deserializer=parse)(request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._target.refused(error) from None

    def close(self) -> None:
        for open_channel in self._channels.values():
            open_channel.close()


class Target:
    """The suite under attack, and what can be seen of it."""

    def __init__(self, story) -> None:
        self.story = story
        self.suite = story.suite
        self.api = Api(self.suite.folder)
        self._callers: dict[str, Caller] = {}

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *unused) -> None:
        for caller in self._callers.values():
            caller.close()

    def director_files(self, gateway: str) -> list:
        """The names of the files that a gateway's Director repository has now."""
        def signed_part(name: str) -> dict:
            return json.loads(self.as_(f"gateway/{gateway}").call("rollout", "GetDirectorMetadata", file_name=name).content)["signed"]

        snapshot = f"{signed_part('timestamp.json')['meta']['snapshot.json']['version']}.snapshot.json"
        return ["timestamp.json", snapshot, f"{signed_part(snapshot)['meta']['targets.json']['version']}.targets.json"]

    def as_(self, identity: str) -> Caller:
        """A caller with `identity`, whose certificate is issued if need be."""
        if identity not in self._callers:
            if not (self.suite.certificates / f"{identity.replace('/', '-')}.crt").exists():
                self.suite.issue(identity)
            self._callers[identity] = Caller(self, identity)
        return self._callers[identity]

    def refused(self, error: grpc.RpcError) -> Refused:
        reason = ""
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in self.api.message("google.rpc.Status").FromString(value).details:
                    if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                        reason = self.api.message("google.rpc.ErrorInfo").FromString(detail.value).reason
        return Refused(error.code(), reason, error.details() or "")

    def repository(self) -> dict:
        """What the image repository has published: versions of every role, and the packages."""
        operator = self.as_(OPERATOR)
        timestamp = json.loads(operator.call("package-store", "GetMetadata", file_name="timestamp.json").content)
        version = timestamp["signed"]["meta"]["snapshot.json"]["version"]
        snapshot = json.loads(operator.call("package-store", "GetMetadata", file_name=f"{version}.snapshot.json").content)
        packages = operator.call("package-store", "ListPackages", parent="manufacturers/-", page_size=1000).packages
        return {"roles": {name: meta["version"] for name, meta in snapshot["signed"]["meta"].items()}, "snapshot": version,
                "packages": {package.target_path: package.sha256 for package in packages}}

    def components(self) -> dict:
        """State, version and counter of every component, as the inventory has them."""
        return {c.ecu_serial: (c.state, c.installed.version, c.installed.sha256) for c in
                self.as_(OPERATOR).call("inventory", "ListComponents", page_size=1000).components}

    @contextlib.contextmanager
    def unchanged(self):
        """Whatever happens inside changes nothing that is published, and nothing that any component is known to run."""
        before = self.repository(), self.components()
        yield
        assert (self.repository(), self.components()) == before

    def assert_all_serve(self) -> None:
        """Every service answers a caller with a right to it."""
        for service, method in (("inventory", "ListGateways"), ("package-store", "ListPackages"), ("liaison", "ListManufacturers"),
                                ("consent", "ListRecords"), ("rollout", "ListRollouts"), ("appid-registry", "ListProfiles")):
            fields = {}
            if method == "ListPackages":
                fields["parent"] = "manufacturers/-"
            if method == "ListRecords":
                fields["parent"] = "gateways/-"
            self.as_(OPERATOR).call(service, method, **fields)
        for process in self.suite.processes.values():
            process.check()


# Signed JSON, written here anew so that it can be wrong.


def canonical(value) -> bytes:
    """OLPC's canonical JSON: what is signed."""
    if isinstance(value, dict):
        return b"{" + b",".join(canonical(key) + b":" + canonical(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, str):
        return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
    return json.dumps(value).encode()


def as_json(value) -> bytes:
    """JSON that any parser takes: what is sent."""
    return json.dumps(value).encode()


def load_key(path: pathlib.Path):
    return serialization.load_pem_private_key(path.read_bytes(), None)


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def public_pem(key) -> str:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def tuf_key(key) -> dict:
    """The public half as TUF writes it."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": raw.hex()}}
    return {"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": public_pem(key)}}


def key_id(key) -> str:
    return hashlib.sha256(canonical(tuf_key(key))).hexdigest()


def raw_signature(key, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def signed(content: dict, *keys) -> dict:
    """A TUF envelope."""
    data = canonical(content)
    return {"signatures": [{"keyid": key_id(key), "sig": raw_signature(key, data).hex()} for key in keys], "signed": content}


def in_days(days: int) -> str:
    return (datetime.datetime.utcnow() + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_json(message) -> dict:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
