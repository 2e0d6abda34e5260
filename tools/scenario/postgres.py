"""A private PostgreSQL cluster in a folder of its own, on a Unix socket only."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

BINARIES = pathlib.Path("/usr/lib/postgresql/15/bin")


class Cluster:
    """Starts when made; `stop()` ends it and removes its folder. initdb refuses root, so root runs it as postgres."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="countersign-pg-", dir="/tmp"))
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        try:
            self._create()
        except BaseException:
            self.stop()
            raise

    def _create(self) -> None:
        self._run("initdb", "--pgdata", self.folder / "data", "--auth", "trust", "--encoding", "UTF8", "--locale", "C")
        with open(self.folder / "data" / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\nmax_connections = 200\n")
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", "--pgdata", self.folder / "data", "--log", self.folder / "log")

    def kill(self) -> None:
        """SIGKILL to the postmaster and all of its children, as if the machine had lost its power. `start` follows."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        # Stopped, so that it makes no children meanwhile; they are in sessions of their own.
        os.kill(postmaster, signal.SIGSTOP)
        children = [int(pid) for pid in subprocess.run(
            ["pgrep", "--parent", str(postmaster)], capture_output=True, text=True, check=False).stdout.split()]
        for pid in (postmaster, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(self._runs(pid) for pid in (postmaster, *children)):
            time.sleep(0.01)
        # Its id may live on: in a process that nobody has waited for, or after a new start of the machine in another one.
        (self.folder / "data" / "postmaster.pid").unlink()

    @staticmethod
    def _runs(pid: int) -> bool:
        try:
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", self.folder / "data", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Creates an empty database and returns its connection string."""
        self._run("createdb", "--host", self.folder, "--username", self.user, name)
        return f"host={self.folder} user={self.user} dbname={name}"

    def _run(self, program: str, *arguments, check: bool = True) -> None:
        command = [str(BINARIES / program), *map(str, arguments)]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", *command]
        # pg_ctl's server inherits what it is given: it must not hold a pipe of ours.
        log = self.folder / "commands.log"
        with open(log, "ab") as out:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", check=False)
        if check and result.returncode != 0:
            raise RuntimeError(f"{program} failed; see {log}:\n{log.read_text(errors='replace')[-2000:]}")
