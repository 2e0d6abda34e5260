"""A real S3 server, versitygw as tests/s3/build makes it, on a folder, with TLS and one bucket."""

import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path.cwd() / "tools" / "scenario"))

from suite import Process, ReservedPort, wait_for  # noqa: E402  pylint: disable=wrong-import-position

SECRET = "test/secret+of the store"


class Versitygw:
    """Starts when made, with the certificate and key of a server at 127.0.0.1 and the CA that vouches for it."""

    def __init__(self, folder: pathlib.Path, certificate: pathlib.Path, key: pathlib.Path, ca: pathlib.Path,
                 prefix: list | None = None) -> None:
        program = os.environ.get("COUNTERSIGN_VERSITYGW")
        assert program, "COUNTERSIGN_VERSITYGW does not say where the S3 server is: tests/s3/build does"
        self._port = ReservedPort()
        self.data = folder / "data"
        self.ca = ca
        self.credentials = folder / "credentials"
        (self.data / "firmware").mkdir(parents=True)
        (folder / "metadata").mkdir()
        self.credentials.write_text(f"[default]\naws_access_key_id = test-key\naws_secret_access_key = {SECRET}\n",
                                    encoding="utf-8")
        self.process = Process(
            "versitygw",
            [*(prefix or ()), program, "--quiet", "--keep-alive", "--access=test-key", f"--secret={SECRET}",
             f"--port={self._port.address}", f"--cert={certificate}", f"--key={key}",
             "posix", f"--sidecar={folder / 'metadata'}", self.data],
            folder / "log", folder)
        self.wait()

    def wait(self) -> None:
        host, port = self._port.address.split(":")

        def up() -> bool:
            self.process.check()
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return True
            except OSError:
                return False

        wait_for(up, "the S3 server", 60)

    def flags(self) -> list:
        """Where the images are, for a package store."""
        return [f"--blob-s3=https://{self._port.address}/firmware/store", f"--blob-s3-credentials={self.credentials}",
                f"--blob-s3-ca={self.ca}"]

    def images(self) -> list:
        """The files of the images that are visible."""
        return [path for path in (self.data / "firmware" / "store" / "images").rglob("*") if path.is_file()]
