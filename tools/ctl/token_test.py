"""Keys on a PKCS#11 token, as an operator makes, lists and uses them (FOTA-R4). SoftHSM is the token; the signatures are
verified by python3-cryptography."""

import json
import os
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

MODULE = "/usr/lib/softhsm/libsofthsm2.so"


class Token:
    def __init__(self, folder):
        self.folder = folder
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
        (folder / "pin").write_text("1234\n")
        self.environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "ops", "--so-pin", "12345678", "--pin", "1234"],
                       env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def uri(self, key=None, pin="pin"):
        return f"pkcs11:token=ops{';object=' + key if key else ''}?module-path={MODULE}&pin-source={self.folder / pin}"

    def countersign(self, *arguments, status=0):
        result = subprocess.run(["tools/ctl/countersign", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, timeout=60, check=False, env=self.environment)
        assert result.returncode == status, result
        return result.stderr if status else result.stdout


@pytest.fixture(name="token")
def fixture_token(tmp_path):
    return Token(tmp_path)


def verify(public_pem: bytes, signature: bytes, message: bytes) -> None:
    key = load_pem_public_key(public_pem)
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    else:
        key.verify(signature, message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519", "rsa-pss"])
def test_a_key_is_made_listed_and_signs_metadata(token, kind, tmp_path):
    key_id = token.countersign("key", "create", tmp_path / "root", "--type", kind, "--token", token.uri("root")).strip()
    assert not (tmp_path / "root").exists()
    public = tmp_path / "root.pub"
    assert token.countersign("key", "id", public).strip() == key_id

    listed = token.countersign("key", "list", "--token", token.uri()).split()
    assert listed[0] == key_id
    assert listed[2].startswith("pkcs11:token=ops;object=root;id=%")

    token.countersign("root", "create", "--out", tmp_path / "1.root.json",
                      *(f"--{role}-key={public}" for role in ("root", "targets", "snapshot", "timestamp")))
    token.countersign("metadata", "sign", tmp_path / "1.root.json", "--key", token.uri("root"))
    root = json.loads((tmp_path / "1.root.json").read_text())
    assert [signature["keyid"] for signature in root["signatures"]] == [key_id]
    signature = bytes.fromhex(root["signatures"][0]["sig"])
    # Canonical JSON has no escape but for quotes and backslashes: a PEM's line breaks stand there as they are.
    message = json.dumps(root["signed"], sort_keys=True, separators=(",", ":")).replace("\\n", "\n").encode()
    verify(public.read_bytes(), signature, message)
    with pytest.raises(InvalidSignature):
        verify(public.read_bytes(), signature, message + b" ")


def test_what_cannot_be_done_is_said(token, tmp_path):
    token.countersign("key", "create", tmp_path / "k", "--token", token.uri("k"))
    # Neither a file nor a key is ever replaced.
    assert "move it away" in token.countersign("key", "create", tmp_path / "k", "--token", token.uri("k2"), status=5)
    assert "KEY_EXISTS" in token.countersign("key", "create", tmp_path / "again", "--token", token.uri("k"), status=5)
    assert not (tmp_path / "again.pub").exists()

    (tmp_path / "wrong").write_text("999999")
    (tmp_path / "m.json").write_text('{"signatures":[],"signed":{"_type":"root","version":1}}')
    for uri, reason in (
            (token.uri("nothing"), "KEY_NOT_FOUND"),
            (token.uri("k").replace("token=ops", "token=other"), "TOKEN_ABSENT"),
            (token.uri("k", pin="wrong"), "PIN_WRONG"),
            (token.uri("k", pin="none"), "PIN_MISSING"),
            (token.uri("k").replace(MODULE, "/nowhere.so"), "PKCS11_MODULE_UNUSABLE"),
            (token.uri("k") + "&pin-value=1234", "PKCS11_URI_INVALID"),
            ("pkcs11:object=k", "PKCS11_URI_INVALID")):
        result = subprocess.run(["tools/ctl/countersign", "metadata", "sign", tmp_path / "m.json", "--key", uri],
                                capture_output=True, text=True, check=False, env=token.environment)
        assert result.returncode not in (0, 1), result
        assert reason in result.stderr, result
        assert "999999" not in result.stderr
