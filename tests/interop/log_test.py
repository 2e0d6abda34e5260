"""The transparency log as files: whoever has the root verifies, offline and without our code, that a package's approval is in
it (https://c2sp.org/tlog-proof, RFC 6962)."""

import base64
import hashlib
import json
import pathlib

from cryptography.hazmat.primitives.asymmetric import ed25519

from world import RELEASES


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def open_checkpoint(note: str, vkey: str) -> tuple:
    """Size and root of a tree whose head the log's key has signed (https://c2sp.org/tlog-checkpoint, signed-note)."""
    name, key_id, key = vkey.split("+", 2)
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    [signature] = [line.split(" ")[2] for line in signatures.splitlines() if line.startswith(f"\u2014 {name} ")]
    raw = base64.b64decode(signature)
    assert raw[:4].hex() == key_id
    public = base64.b64decode(key)
    assert public[0] == 1  # Ed25519
    ed25519.Ed25519PublicKey.from_public_bytes(public[1:]).verify(raw[4:], text.encode())
    origin, size, root = text.splitlines()[:3]
    assert origin == name
    return int(size), base64.b64decode(root)


def verify_inclusion(leaf: bytes, index: int, size: int, path: list, root: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    assert index < size
    fn, sn, r = index, size - 1, hashlib.sha256(b"\x00" + leaf).digest()
    for sibling in path:
        assert sn > 0
        if fn % 2 == 1 or fn == sn:
            r = node(sibling, r)
            while fn % 2 == 0 and fn > 0:
                fn, sn = fn // 2, sn // 2
        else:
            r = node(r, sibling)
        fn, sn = fn // 2, sn // 2
    assert sn == 0 and r == root


def log_key(published) -> str:
    return json.loads((published.new / "metadata" / "1.root.json").read_text())["signed"]["custom"]["logKey"]


def test_each_package_has_a_proof_that_its_approval_is_public(published):
    # PLUS-3
    for release in RELEASES:
        text = (published.new / "proofs" / f"{release.target_path}.tlog-proof").read_text()
        lines, checkpoint = text.split("\n\n", 1)
        header, extra, index, *path = lines.splitlines()
        assert header == "c2sp.org/tlog-proof@v1"
        leaf = base64.b64decode(extra.removeprefix("extra "))
        size, root = open_checkpoint(checkpoint, log_key(published))
        verify_inclusion(leaf, int(index.removeprefix("index ")), size, [base64.b64decode(one) for one in path], root)
        entry = json.loads(leaf)
        assert (entry["kind"], entry["targetPath"]) == ("package_approved", release.target_path)
        assert entry["imageSha256"] == hashlib.sha256(pathlib.Path(release.image).read_bytes()).hexdigest()


def test_the_tiles_are_those_of_the_head(published):
    # So few entries are one tile.
    size, root = open_checkpoint((published.new / "log" / "checkpoint").read_text(), log_key(published))
    tile = (published.new / "log" / "tile" / "0" / f"000.p/{size}").read_bytes()
    hashes = [tile[at:at + 32] for at in range(0, len(tile), 32)]
    assert len(hashes) == size < 256
    bundle = (published.new / "log" / "tile" / "entries" / f"000.p/{size}").read_bytes()
    for expected in hashes:
        length = int.from_bytes(bundle[:2], "big")
        assert hashlib.sha256(b"\x00" + bundle[2:2 + length]).digest() == expected
        bundle = bundle[2 + length:]
    assert bundle == b""

    def tree(part: list) -> bytes:
        if len(part) == 1:
            return part[0]
        split = 1 << (len(part) - 1).bit_length() - 1
        return node(tree(part[:split]), tree(part[split:]))

    assert tree(hashes) == root
