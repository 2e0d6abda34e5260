"""The six services, their certificates and keys, as real processes in a scratch folder."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from postgres import Cluster

TRUST_DOMAIN = "demo.countersign.example"
SERVICES = ("appid-registry", "inventory", "package-store", "liaison", "consent", "rollout")
PEERS = {
    "appid-registry": (),
    "consent": (),
    "inventory": ("appid-registry", "package-store", "rollout"),
    "liaison": ("package-store",),
    "package-store": (),
    "rollout": ("inventory", "liaison", "package-store", "consent"),
}
# The services' keys that are online; what signs roots, targets and roles never comes near a service.
KEYS = {
    "appid-registry": {"answer-key": "appid-answer"},
    "consent": {"record-key": "consent-record"},
    "inventory": {},
    "liaison": {},
    "package-store": {"snapshot-key": "snapshot", "timestamp-key": "timestamp", "log-key": "log"},
    "rollout": {
        "director-targets-key": "director-targets",
        "director-snapshot-key": "director-snapshot",
        "director-timestamp-key": "director-timestamp",
    },
}
START_SECONDS = 60


class CommandFailed(RuntimeError):
    """A command of `countersign` or another program ended with an error, which is its text."""

    def __init__(self, command: list, status: int, error: str) -> None:
        super().__init__(error.strip())
        self.command = command
        self.status = status


class ReservedPort:
    """A port that is ours for as long as this lives: bound here, so that nobody is given it, and not listened on,
    so that the server that it is for may bind it too."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._socket.getsockname()[1]


class Process:
    """A program with its log; `kill` is SIGKILL, `stop` SIGTERM and the exit status."""

    def __init__(self, name: str, command: list, log: pathlib.Path, scratch: pathlib.Path) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        # What a killed program leaves there goes with the suite's folder.
        self._environment = {**os.environ, "TMPDIR": str(scratch)}
        self.start()

    def start(self) -> None:
        with open(self.log, "ab") as out:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=self._environment,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def stop(self) -> int:
        self._process.terminate()
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def check(self) -> None:
        status = self._process.poll()
        if status is not None:
            raise RuntimeError(f"{self.name} ended with status {status}; its log {self.log} ends with:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Suite:
    """Everything of an operator, from its certificates to its running services.

    With `replicas` each service runs that often, on one database. Their peers and the gateways have all addresses and take
    one that answers; `countersign` has the last.
    """

    def __init__(self, binaries: pathlib.Path, folder: pathlib.Path, replicas: int = 1) -> None:
        self.binaries = binaries.resolve()
        self.folder = folder
        self.pki = folder / "pki"
        self.keys = folder / "keys"
        self.certificates = folder / "certificates"
        self.logs = folder / "logs"
        self.scratch = folder / "tmp"
        for path in (self.keys, self.certificates, self.logs, self.scratch, folder / "metadata", folder / "blobs"):
            path.mkdir(parents=True)
        self.cluster: Cluster | None = None
        self.processes: dict[str, Process] = {}
        self.replicas = replicas
        # What a service's command is put behind, by the service's name: a program that changes its surroundings.
        self.prefixes: dict[str, list] = {}
        # Where the package store has its images.
        self.blob_flags = [f"--blob-dir={folder / 'blobs'}"]
        # Of the programs that run to their end.
        self.environment: dict[str, str] = {}
        self._ports = {process: (ReservedPort(), ReservedPort())
                       for name in SERVICES for process in self.processes_of(name)}

    # Programs.

    def binary(self, label: str) -> pathlib.Path:
        return self.binaries / label

    def run(self, *command, given: str = "") -> str:
        """Runs a program to its end, with `given` on its standard input, and returns what it printed."""
        command = [str(part) for part in command]
        result = subprocess.run(command, input=given, capture_output=True, text=True, check=False,
                                env={**os.environ, **self.environment})
        if result.returncode != 0:
            raise CommandFailed(command, result.returncode, result.stderr or result.stdout)
        return result.stdout

    def offline(self, *arguments) -> str:
        """`countersign` without an identity, on files."""
        return self.run(self.binary("tools/ctl/countersign"), *arguments)

    def ctl(self, identity: str, *arguments):
        """`countersign --json` as an identity, e.g. "operator/ops"; returns what it answered."""
        text = self.run(
            self.binary("tools/ctl/countersign"), "--config", self.config(identity), "--json", *arguments
        )
        return json.loads(text) if text.strip() else None

    # Identities.

    def init_pki(self) -> None:
        self.run(self.binary("tools/pki/pki"), "init", self.pki, "--trust-domain", TRUST_DOMAIN)

    def issue(self, identity: str) -> None:
        self.run(self.binary("tools/pki/pki"), "issue", self.pki, identity, "--out", self.certificates)

    def reissue(self, identity: str) -> None:
        """A new certificate and key in the place of those that are there, under whoever runs with them."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            self.run(self.binary("tools/pki/pki"), "issue", self.pki, identity, "--out", folder)
            for kind in ("key", "crt"):
                name = f"{identity.replace('/', '-')}.{kind}"
                os.replace(pathlib.Path(folder) / name, self.certificates / name)

    def tls_flags(self, identity: str) -> list:
        name = identity.replace("/", "-")
        return [
            f"--tls-cert={self.certificates}/{name}.crt",
            f"--tls-key={self.certificates}/{name}.key",
            f"--tls-ca={self.certificates}/ca.crt",
            f"--trust-domain={TRUST_DOMAIN}",
        ]

    def config(self, identity: str) -> pathlib.Path:
        """The file that --config of `countersign` takes for an identity."""
        path = self.folder / (identity.replace("/", "-") + ".toml")
        if not path.exists():
            flags = self.tls_flags(identity) + [
                f"--{name}-address={self.address(self.processes_of(name)[-1])}" for name in SERVICES]
            lines = [flag[2:].replace("=", ' = "', 1) + '"' for flag in flags]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    # Keys.

    def create_key(self, name: str, kind: str = "ecdsa-p256") -> pathlib.Path:
        path = self.keys / f"{name}.pem"
        self.offline("key", "create", path, "--type", kind)
        return path

    def key(self, name: str) -> pathlib.Path:
        return self.keys / f"{name}.pem"

    def public_key(self, name: str) -> pathlib.Path:
        return self.keys / f"{name}.pem.pub"

    def log_vkey(self) -> str:
        """The verifier key of the image repository's transparency log."""
        return self.offline("key", "vkey", self.public_key("log"), "--origin", f"{TRUST_DOMAIN}/image-repository").strip()

    # Services.

    def processes_of(self, service: str) -> list:
        """The names of a service's replicas: the service's own, and with a number from the second on."""
        return [service, *(f"{service}-{number}" for number in range(2, self.replicas + 1))]

    def address(self, process: str) -> str:
        return self._ports[process][0].address

    def addresses(self, service: str) -> str:
        """Where clients find a service: its address, or gRPC's name for several."""
        if self.replicas == 1:
            return self.address(service)
        return "ipv4:" + ",".join(self.address(process) for process in self.processes_of(service))

    def http_address(self, process: str) -> str:
        return self._ports[process][1].address

    def start_services(self) -> None:
        self.cluster = Cluster()
        for name in SERVICES:
            self.issue(f"service/{name}")
            for key in KEYS[name].values():
                self.create_key(key, "ed25519" if key == "log" else "ecdsa-p256")

    def launch(self, image_root: pathlib.Path, services: tuple = SERVICES) -> None:
        """Starts the services, or some of them, and waits until each is ready."""
        self.environment["COUNTERSIGN_IMAGE_ROOT"] = str(image_root)
        for name in services:
            database = self.cluster.create_database(name.replace("-", "_"))
            for process in self.processes_of(name):
                self.start(process, self._command(name, process, database, image_root))
        for name in services:
            for process in self.processes_of(name):
                self.wait_ready(process)

    def _command(self, name: str, process: str, database: str, image_root: pathlib.Path) -> list:
        module = name.replace("-", "_")
        command = [
            *self.prefixes.get(name, ()),
            self.binary(f"services/{module}/{module}"),
            f"--listen={self.address(process)}",
            f"--http-listen={self.http_address(process)}",
            f"--database={database}",
            *self.tls_flags(f"service/{name}"),
            *(f"--{peer}-address={self.addresses(peer)}" for peer in PEERS[name]),
            *(f"--{flag}={self.key(key)}" for flag, key in KEYS[name].items()),
        ]
        if name == "appid-registry":
            command.append("--authorities=ara=a01")
        if name == "package-store":
            command += self.blob_flags
        if name == "rollout":
            command.append(f"--consent-public-key={self.public_key('consent-record')}")
            command.append(f"--image-root={image_root}")
        return command

    def start(self, name: str, command: list) -> Process:
        process = Process(name, command, self.logs / f"{name}.log", self.scratch)
        self.processes[name] = process
        return process

    def restart_killed(self, name: str) -> None:
        """SIGKILL, and a start with the same command."""
        self.processes[name].kill()
        self.processes[name].start()

    def wait_ready(self, name: str) -> None:
        url = f"http://{self.http_address(name)}/readyz"

        def ready() -> bool:
            self.processes[name].check()
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    return response.status == 200
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                return False

        wait_for(ready, f"{name} to be ready at {url}", START_SECONDS)

    def stop(self) -> None:
        for process in reversed(list(self.processes.values())):
            process.kill()
        if self.cluster is not None:
            self.cluster.stop()


def wait_for(condition, what: str, seconds: float):
    """Asks `condition` until its answer is true, and returns it; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:.0f} seconds in vain for {what}")
        time.sleep(0.1)
