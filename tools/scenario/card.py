"""Smart cards for devices: SoftHSM, with the key of who approves on it."""

import hashlib
import pathlib
import subprocess

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"


def key_id(public_key: pathlib.Path) -> str:
    """A key's id in TUF's metadata: what signatures name it by."""
    pem = public_key.read_text(encoding="ascii")
    canonical = '{"keytype":"ecdsa","keyval":{"public":"' + pem + '"},"scheme":"ecdsa-sha2-nistp256"}'
    return hashlib.sha256(canonical.encode()).hexdigest()


class Card:
    """A card with one ECDSA P-256 key, which the device that has it in its reader verifies with."""

    def __init__(self, folder: pathlib.Path, public_key: pathlib.Path) -> None:
        (folder / "tokens").mkdir(parents=True)
        self._configuration = folder / "softhsm2.conf"
        self._configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n", encoding="utf-8")
        self._run("softhsm2-util", "--init-token", "--free", "--label", "card", "--so-pin", "12345678", "--pin", PIN)
        der = folder / "key.der"
        self._run("openssl", "pkey", "-pubin", "-in", public_key, "-outform", "DER", "-out", der)
        self._run("pkcs11-tool", "--module", MODULE, "--token-label", "card", "--login", "--pin", PIN,
                  "--write-object", der, "--type", "pubkey", "--id", key_id(public_key))
        self.uri = f"pkcs11:token=card?module-path={MODULE}"

    @property
    def reader(self) -> list:
        """What stands before the command of the process that has the card."""
        return ["env", f"SOFTHSM2_CONF={self._configuration}"]

    def _run(self, *command) -> None:
        subprocess.run([*map(str, command)], env={"PATH": "/usr/bin:/bin", "SOFTHSM2_CONF": str(self._configuration)},
                       check=True, capture_output=True)
