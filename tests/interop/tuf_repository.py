"""A TUF repository of plain files, made by hand from the specification and without our code, so that it can be wrong."""

import hashlib
import json
import pathlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from attacker import canonical, in_days

TOP_LEVEL = ("root", "timestamp", "snapshot", "targets")


def new_key(kind: str = "ed25519"):
    return {"ed25519": ed25519.Ed25519PrivateKey.generate, "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
            "rsa": lambda: rsa.generate_private_key(65537, 3072)}[kind]()


def describe(key) -> dict:
    """The KEY object of the specification, 4.2."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": raw.hex()}}
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    keytype, scheme = ("ecdsa", "ecdsa-sha2-nistp256") if isinstance(key, ec.EllipticCurvePrivateKey) else (
        "rsa", "rsassa-pss-sha256")
    return {"keytype": keytype, "scheme": scheme, "keyval": {"public": pem}}


def key_id(key) -> str:
    return hashlib.sha256(canonical(describe(key))).hexdigest()


def sign(key, data: bytes) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(hashes.SHA256()))
    return key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def envelope(content: dict, keys: list) -> bytes:
    data = canonical(content)
    return json.dumps({"signatures": [{"keyid": key_id(key), "sig": sign(key, data).hex()} for key in keys],
                       "signed": content}).encode()


class Repository:
    """Change what is public here, then publish(): it signs what is there in the versions that stand there. Attacks change the
    files afterwards, or the keys before."""

    def __init__(self, folder: pathlib.Path, kind: str = "ed25519", consistent: bool = True) -> None:
        self.folder = folder
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()
        self.keys = {role: [new_key(kind)] for role in TOP_LEVEL}
        self.signed = {role: {"_type": role, "spec_version": "1.0.31", "version": 1, "expires": in_days(30)} for role in TOP_LEVEL}
        self.root = self.signed["root"]
        self.root.update(consistent_snapshot=consistent, keys={}, roles={})
        for role in TOP_LEVEL:
            self.set_keys(role, self.keys[role])
        self.signed["targets"].update(targets={})
        self.delegated: list = []
        # Whether the snapshot says more of the roles than their versions.
        self.hashes = False
        self.publish_root()
        self.publish()

    # Roles.

    def set_keys(self, role: str, keys: list, threshold: int = 1) -> None:
        """The keys of a top-level role, in the root that is published next."""
        self.keys[role] = keys
        self.root["keys"].update({key_id(key): describe(key) for key in keys})
        self.root["roles"][role] = {"keyids": [key_id(key) for key in keys], "threshold": threshold}

    def delegate(self, parent: str, role: str, *paths: str, terminating: bool = False, key=None, threshold: int = 1) -> None:
        self.keys.setdefault(role, [key or new_key()])
        if role not in self.signed:
            self.signed[role] = dict(self.signed["targets"], targets={}, version=1)
            self.signed[role].pop("delegations", None)
            self.delegated.append(role)
        delegations = self.signed[parent].setdefault("delegations", {"keys": {}, "roles": []})
        delegations["keys"].update({key_id(one): describe(one) for one in self.keys[role]})
        delegations["roles"].append({"name": role, "keyids": [key_id(one) for one in self.keys[role]], "threshold": threshold,
                                     "paths": list(paths or ["*", "*/*"]), "terminating": terminating})

    def add_target(self, role: str, path: str, image: bytes) -> None:
        digest = hashlib.sha256(image).hexdigest()
        self.signed[role]["targets"][path] = {"length": len(image), "hashes": {"sha256": digest}}
        self.image(path, digest).parent.mkdir(parents=True, exist_ok=True)
        self.image(path, digest).write_bytes(image)

    def image(self, path: str, digest: str) -> pathlib.Path:
        file = self.folder / "targets" / path
        return file.with_name(f"{digest}.{file.name}") if self.root["consistent_snapshot"] else file

    # Files.

    def path(self, role: str) -> pathlib.Path:
        prefixed = role == "root" or role != "timestamp" and self.root["consistent_snapshot"]
        return self.folder / "metadata" / (f"{self.signed[role]['version']}." * prefixed + f"{role}.json")

    def write(self, role: str, keys: list | None = None) -> None:
        self.path(role).write_bytes(envelope(self.signed[role], self.keys[role] if keys is None else keys))

    def publish_root(self, keys: list | None = None) -> None:
        self.write("root", keys)

    def next_root(self, *before: list, **changes) -> None:
        """The next root, signed by its own keys and by those that are given."""
        self.root["version"] += 1
        self.root.update(changes)
        self.publish_root([*self.keys["root"], *(key for keys in before for key in keys)])

    def meta(self, role: str, hashes_too: bool) -> dict:
        data = self.path(role).read_bytes()
        more = {"length": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}} if hashes_too else {}
        return {"version": self.signed[role]["version"], **more}

    def write_roles(self) -> None:
        for role in ("targets", *self.delegated):
            self.write(role)

    def write_snapshot(self) -> None:
        self.signed["snapshot"]["meta"] = {f"{role}.json": self.meta(role, self.hashes) for role in ("targets", *self.delegated)}
        self.write("snapshot")

    def write_timestamp(self) -> None:
        self.signed["timestamp"]["meta"] = {"snapshot.json": self.meta("snapshot", True)}
        self.write("timestamp")

    def publish(self, *raised: str) -> None:
        """Writes everything below the root, with `raised` one version higher."""
        for role in raised:
            self.signed[role]["version"] += 1
        self.write_roles()
        self.write_snapshot()
        self.write_timestamp()

    def publish_next(self) -> None:
        self.publish("targets", "snapshot", "timestamp", *self.delegated)
