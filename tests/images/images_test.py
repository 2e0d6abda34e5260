"""Images through the package store's program and `countersign` over mutual TLS, kept in a folder and in a bucket.

COUNTERSIGN_IMAGE_MIB makes the large image larger, e.g. 4096 for one of 4 GiB.
"""

import hashlib
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tools" / "scenario"))
sys.path.insert(0, str(ROOT / "tests" / "s3"))

from postgres import Cluster  # noqa: E402  pylint: disable=wrong-import-position
from suite import KEYS, CommandFailed, Suite  # noqa: E402  pylint: disable=wrong-import-position
from versitygw import Versitygw  # noqa: E402  pylint: disable=wrong-import-position

OEM = "manufacturer/acme"
MIB = 1 << 20
# Larger by far than what a service may hold in memory.
LARGE = int(os.environ.get("COUNTERSIGN_IMAGE_MIB", "600")) * MIB
MOST_RESIDENT = 200 * MIB


class Store:
    """A package store that runs alone, its bucket if it has one, and `countersign` of one manufacturer."""

    def __init__(self, folder: pathlib.Path, kind: str, bucket_prefix: list | None = None) -> None:
        self.suite = Suite(ROOT, folder)
        self.bucket = None
        try:
            self._start(kind, bucket_prefix)
        except BaseException:
            self.stop()
            raise

    def _start(self, kind: str, bucket_prefix: list | None) -> None:
        suite = self.suite
        suite.init_pki()
        for identity in ("service/package-store", "service/storage", OEM):
            suite.issue(identity)
        for key in KEYS["package-store"].values():
            suite.create_key(key, "ed25519" if key == "log" else "ecdsa-p256")
        if kind == "bucket":
            (suite.folder / "s3").mkdir()
            self.bucket = Versitygw(
                suite.folder / "s3", suite.certificates / "service-storage.crt",
                suite.certificates / "service-storage.key", suite.certificates / "ca.crt", bucket_prefix)
            suite.blob_flags = self.bucket.flags()
        suite.cluster = Cluster()
        self.command = suite._command(  # pylint: disable=protected-access
            "package-store", "package-store", suite.cluster.create_database("package_store"), suite.folder)
        suite.start("package-store", self.command)
        suite.wait_ready("package-store")

    @property
    def process(self):
        return self.suite.processes["package-store"]

    def ctl(self, *arguments, address: str | None = None) -> int:
        """`countersign` as the manufacturer, to the store itself or to another address; its largest resident size."""
        suite = self.suite
        command = [suite.binary("tools/ctl/countersign"), "--config", suite.config(OEM)]
        if address:
            command += ["--package-store-address", address]
        error = suite.scratch / "error"
        with open(error, "wb") as out, subprocess.Popen(
                [str(part) for part in (*command, *arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=out) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            self.process.check()
            raise CommandFailed(command, process.returncode, error.read_text(errors="replace"))
        return usage.ru_maxrss * 1024

    def most_resident(self) -> int:
        """The largest resident size that the store's process has had."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not tell")

    def images(self) -> list:
        """The files of the images that are visible."""
        if self.bucket:
            return self.bucket.images()
        return [path for path in (self.suite.folder / "blobs" / "images").rglob("*") if path.is_file()]

    def stop(self) -> None:
        if self.bucket:
            self.bucket.process.kill()
        self.suite.stop()


@pytest.fixture(params=["folder", "bucket"])
def kind(request):
    return request.param


@pytest.fixture
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="countersign-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def store(kind, folder):  # pylint: disable=redefined-outer-name
    store_ = Store(folder, kind)
    yield store_
    store_.stop()


def make_image(path: pathlib.Path, size: int, seed: int) -> str:
    """Writes bytes that do not compress, and returns their SHA-256."""
    generator = random.Random(seed)
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        for at in range(0, size, MIB):
            block = generator.randbytes(min(MIB, size - at))
            out.write(block)
            digest.update(block)
    return digest.hexdigest()


def test_a_large_image_goes_up_and_down_in_little_memory(store, kind):  # pylint: disable=redefined-outer-name
    image = store.suite.folder / "large.bin"
    sha256 = make_image(image, LARGE, 1)
    begin = time.monotonic()
    up = store.ctl("image", "upload", "acme", image)
    middle = time.monotonic()
    store_up = store.most_resident()
    down = store.ctl("image", "download", sha256, store.suite.folder / "back.bin")
    end = time.monotonic()
    figures = (f"{kind}: {LARGE // MIB} MiB up in {middle - begin:.1f} s, down in {end - middle:.1f} s; resident at most: "
               f"store {store_up // MIB} MiB and {store.most_resident() // MIB} MiB, upload {up // MIB} MiB, "
               f"download {down // MIB} MiB")
    print(figures)
    assert (store.suite.folder / "back.bin").stat().st_size == LARGE
    assert store.most_resident() < MOST_RESIDENT, figures
    assert max(up, down) < MOST_RESIDENT, figures


class CuttingProxy:
    """Passes connections on to a server, and cuts each of the first after so many bytes from either side."""

    def __init__(self, server: str, cuts: list) -> None:
        host, port = server.split(":")
        self._server = (host, int(port))
        self._cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def all_cut(self) -> bool:
        return not self._cuts

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            left = [self._cuts.pop(0) if self._cuts else None]
            server = socket.create_connection(self._server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink, left), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket, left: list) -> None:
        try:
            while data := source.recv(65536):
                if left[0] is not None:
                    data, over = data[:left[0]], len(data) >= left[0]
                    left[0] -= len(data)
                    sink.sendall(data)
                    if over:
                        break
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()


def test_connections_that_are_cut_at_any_byte_are_resumed(store):  # pylint: disable=redefined-outer-name
    for seed in range(12):
        generator = random.Random(seed)
        image = store.suite.folder / "image.bin"
        size = 24 * MIB + generator.randrange(MIB)
        sha256 = make_image(image, size, seed)
        for arguments in (("upload", "acme", image), ("download", sha256, store.suite.folder / "back.bin")):
            cuts = [generator.randrange(1, size) for _ in range(3)]
            proxy = CuttingProxy(store.suite.address("package-store"), cuts)
            store.ctl("image", *arguments, address=proxy.address)
            proxy.close()
            assert len(proxy._cuts) < 3, f"seed {seed}: nothing was cut"  # pylint: disable=protected-access
        assert (store.suite.folder / "back.bin").read_bytes() == image.read_bytes(), f"seed {seed}"
        assert sha256 in {path.name for path in store.images()}


def test_a_full_bucket_loses_nothing_and_takes_the_rest_when_there_is_room(folder):  # pylint: disable=redefined-outer-name
    data = folder / "s3" / "data"
    store_ = Store(folder, "bucket", [
        "unshare", "--mount", "sh", "-c",
        f'mount -t tmpfs -o size=20m tmpfs {data} && mkdir {data}/firmware && exec "$@"', "sh"])
    try:
        image = folder / "image.bin"
        sha256 = make_image(image, 40 * MIB, 3)
        with pytest.raises(CommandFailed) as refusal:
            store_.ctl("image", "upload", "acme", image)
        assert "RESOURCE_EXHAUSTED" in str(refusal.value) and "room" in str(refusal.value), refusal.value
        inside = pathlib.Path(f"/proc/{store_.bucket.process.pid}/root{data}/firmware/store")
        assert not [path for path in (inside / "images").rglob("*") if path.is_file()]
        [record] = [path for path in (inside / "uploads").iterdir() if path.name.endswith(sha256)]
        assert int(record.read_text(encoding="ascii").split("\n")[3]) == 16 * MIB
        store_.suite.wait_ready("package-store")

        store_.suite.run("nsenter", f"--target={store_.bucket.process.pid}", "--mount",
                         "mount", "-o", "remount,size=256m", data)
        store_.ctl("image", "upload", "acme", image)
        store_.ctl("image", "download", sha256, folder / "back.bin")
    finally:
        store_.stop()


def test_a_store_whose_bucket_is_configured_wrong_says_which_flag(folder):  # pylint: disable=redefined-outer-name
    store_ = Store(folder, "bucket")
    try:
        def start(*changed) -> str:
            names = [flag.split("=")[0] for flag in changed]
            kept = [part for part in map(str, store_.command)
                    if part.split("=")[0] not in (*names, "--listen", "--http-listen")]
            result = subprocess.run([*kept, *changed, "--listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"],
                                    capture_output=True, text=True, check=False, timeout=120)
            assert result.returncode != 0
            output = result.stdout + result.stderr
            assert "WRONG" not in output, "a key is in the log"
            return output

        wrong = folder / "wrong"
        wrong.write_text("aws_access_key_id = test-key\naws_secret_access_key = WRONG\n", encoding="utf-8")
        url = next(str(part) for part in store_.command if str(part).startswith("--blob-s3="))
        assert "--blob-s3-credentials" in start(f"--blob-s3-credentials={wrong}")
        assert "--blob-s3-region" in start("--blob-s3-region=mars-1")
        assert "--blob-s3-ca" in start("--blob-s3-ca=/etc/ssl/certs/ca-certificates.crt")
        assert "--blob-s3 " in start(url.replace("/firmware/", "/no-such-bucket/"))
        assert "either --blob-dir or --blob-s3" in start(f"--blob-dir={folder / 'blobs'}")
        # Another place has not this store's images.
        image = folder / "image.bin"
        make_image(image, 100, 1)
        store_.ctl("image", "upload", "acme", image)
        assert "belong together" in start(url.replace("/store", "/other"))
    finally:
        store_.stop()
