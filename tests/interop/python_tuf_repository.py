"""Writes a repository of python-tuf's own simulator as files. Run by the Python of python-tuf's environment:
SOURCE FOLDER VARIANT. Prints what is in it as JSON."""

import json
import pathlib
import sys

source, folder, variant = sys.argv[1:]
sys.path.insert(0, source)

from securesystemslib.signer import CryptoSigner  # noqa: E402
from tests.repository_simulator import RepositorySimulator  # noqa: E402
from tuf.api.metadata import TOP_LEVEL_ROLE_NAMES, DelegatedRole, Targets  # noqa: E402

simulator = RepositorySimulator()
site = pathlib.Path(folder)
targets = {"file.txt": "of targets"}


def delegate(parent: str, name: str, paths: list, **more) -> None:
    role = DelegatedRole(name, [], 1, False, paths, **more)
    simulator.add_delegation(parent, role, Targets(expires=simulator.safe_expiry))


if variant in ("ed25519", "ecdsa", "rsa"):
    make = {"ed25519": CryptoSigner.generate_ed25519, "ecdsa": CryptoSigner.generate_ecdsa,
            "rsa": lambda: CryptoSigner.generate_rsa(size=3072)}[variant]
    for role_name in TOP_LEVEL_ROLE_NAMES:
        simulator.root.roles[role_name].keyids.clear()
        simulator.signers[role_name].clear()
        signer = make()
        simulator.root.add_key(signer.public_key, role_name)
        simulator.add_signer(role_name, signer)
    simulator.signed_roots.clear()
    simulator.publish_root()
elif variant == "plain-names":
    simulator.root.consistent_snapshot = False
    simulator.prefix_targets_with_hash = False
    simulator.signed_roots.clear()
    simulator.publish_root()
elif variant == "hashes":
    simulator.compute_metafile_hashes_length = True
elif variant == "nested":
    delegate("targets", "projects", ["projects/*/*", "projects/*"])
    delegate("projects", "Lamp_1.0", ["projects/lamp/*"])
    simulator.add_target("projects", b"of projects", "projects/readme")
    simulator.add_target("Lamp_1.0", b"of the lamp", "projects/lamp/fw.bin")
    targets.update({"projects/readme": "of projects", "projects/lamp/fw.bin": "of the lamp"})
elif variant == "rotated":
    for rotation in range(6):
        signers = dict(simulator.signers["root"])
        simulator.rotate_keys(("root", "timestamp", "snapshot", "targets")[rotation % 4])
        for key_id, signer in signers.items():
            simulator.signers["root"].setdefault(key_id, signer)
        simulator.root.version += 1
        simulator.publish_root()
        for key_id in set(simulator.signers["root"]) - set(simulator.root.roles["root"].keyids):
            del simulator.signers["root"][key_id]
elif variant == "hash-bins":
    delegate("targets", "bin", None, path_hash_prefixes=[f"{digit:x}" for digit in range(16)])
elif variant == "succinct-roles":
    simulator.add_succinct_roles("targets", 2, "bin")

simulator.add_target("targets", b"of targets", "file.txt")
simulator.targets.version += 1
simulator.update_snapshot()

# What a client would be answered, as files.
(site / "metadata").mkdir(parents=True)
consistent = simulator.root.consistent_snapshot
for number, root in enumerate(simulator.signed_roots, 1):
    (site / "metadata" / f"{number}.root.json").write_bytes(root)
for name in ("timestamp", "snapshot", "targets", *simulator.md_delegates):
    version = {"snapshot": simulator.snapshot.version, "targets": simulator.targets.version}.get(name)
    if name in simulator.md_delegates:
        version = simulator.md_delegates[name].signed.version
    prefix = f"{version}." if consistent and name != "timestamp" else ""
    (site / "metadata" / f"{prefix}{name}.json").write_bytes(simulator.fetch_metadata(name, version if consistent else None))
for path, target in simulator.target_files.items():
    file = site / "targets" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if consistent:
        file = file.with_name(f"{target.target_file.hashes['sha256']}.{file.name}")
    file.write_bytes(target.data)
print(json.dumps({"targets": targets, "root": simulator.root.version}))
