"""`countersign repository export` of a running store: incremental, whole at every moment, and served by a real nginx."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from clients import CLIENTS, Ours, served
from suite import CommandFailed, ReservedPort, wait_for
from world import RELEASES, WITHOUT_CONSENT

TARGETS = [release.target_path for release in RELEASES]


def files(folder: pathlib.Path) -> dict:
    """What is served: each file and when it was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for top in ("metadata", "targets", "log", "proofs")
            for path in (folder / top).rglob("*") if path.is_file()}


def test_the_second_export_writes_nothing(published, tmp_path):
    first = published.export(tmp_path / "out")
    before = files(tmp_path / "out")
    assert first["images_written"] == first["images"] == len(RELEASES) + 1 and first["bytes_written"] > 0
    second = published.export(tmp_path / "out")
    assert (second["metadata_written"], second["images_written"], second["log_written"]) == (0, 0, 0)
    assert files(tmp_path / "out") == before


def test_only_what_is_new_is_fetched(published, tmp_path):
    shutil.copytree(published.old, tmp_path / "out")
    report = published.export(tmp_path / "out")
    assert report["images_written"] == 1
    assert report["bytes_written"] == pathlib.Path(WITHOUT_CONSENT.image).stat().st_size


def test_the_first_export_needs_a_root(published, tmp_path):
    command = [str(part) for part in published.command(tmp_path / "out")]
    at = command.index("--root")
    with pytest.raises(CommandFailed) as refusal:
        published.story.suite.run(*command[:at], *command[at + 2:])
    assert "ROOT_REQUIRED" in str(refusal.value)


def test_a_root_of_another_repository_is_refused(published, tmp_path):
    command = [str(part) for part in published.command(tmp_path / "out")]
    command[command.index("--root") + 1] = str(published.story.metadata("director-1.root.json"))
    with pytest.raises(CommandFailed) as refusal:
        published.story.suite.run(*command)
    assert "THRESHOLD_NOT_MET" in str(refusal.value)
    assert files(tmp_path / "out") == {}


def test_a_manufacturer_exports_nothing_that_is_not_its_own(published, tmp_path):
    # The store's roles hold for an export as for every other client.
    suite = published.story.suite
    command = published.command(tmp_path / "out")
    command[command.index("--config") + 1] = suite.config("manufacturer/zenith")
    with pytest.raises(CommandFailed) as refusal:
        suite.run(*command)
    assert "NOT_FOUND" in str(refusal.value)
    assert not (tmp_path / "out" / "metadata").exists()


def test_an_export_that_is_killed_anywhere_leaves_a_whole_repository(published, tmp_path):
    folder = tmp_path / "out"
    started = time.monotonic()
    published.export(tmp_path / "measured")
    takes = time.monotonic() - started
    moments = random.Random(1)
    killed = 0
    with served(folder) as site:
        for attempt in range(200):
            if killed == 25:
                break
            if attempt % 4 == 0:
                # Afresh from the older repository; otherwise from where the one before was killed.
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(published.old, folder)
            process = subprocess.Popen(list(map(str, published.command(folder))), stdout=subprocess.DEVNULL)
            time.sleep(moments.uniform(0, takes))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            outcome = Ours(tmp_path / f"client-{attempt}", published.root).update(site, TARGETS[0], WITHOUT_CONSENT.target_path)
            assert outcome.error == "", outcome.message
            assert outcome.files[TARGETS[0]] == pathlib.Path(RELEASES[0].image).read_bytes()
            assert outcome.files[WITHOUT_CONSENT.target_path] in (None, pathlib.Path(WITHOUT_CONSENT.image).read_bytes())
        assert killed == 25  # how long an export takes depends on who else is at work
        published.export(folder)
        assert Ours(tmp_path / "last", published.root).update(site, *TARGETS, WITHOUT_CONSENT.target_path).error == ""


def test_a_full_disk_leaves_a_whole_repository(published, tmp_path):
    # No file may grow beyond 1 MiB: for the program that is as a disk that is full. One image is larger.
    folder = tmp_path / "out"
    shutil.copytree(published.old, folder)
    large = max(folder.glob("targets/**/*.bin"), key=lambda path: path.stat().st_size)
    assert large.stat().st_size > 1 << 20
    large.unlink()
    timestamp = (folder / "metadata" / "timestamp.json").read_bytes()
    command = ["prlimit", f"--fsize={1 << 20}", *map(str, published.command(folder))]
    # Python ignores SIGXFSZ, and so do its children unless told otherwise: the write fails, as on a full disk.
    full = subprocess.run(command, capture_output=True, text=True, check=False, restore_signals=False)
    assert full.returncode != 0 and "DISK_FULL" in full.stderr, full.stderr
    assert (folder / "metadata" / "timestamp.json").read_bytes() == timestamp
    report = published.export(folder)
    assert large.exists()
    # It went on with the megabyte that had come.
    size = large.stat().st_size + pathlib.Path(WITHOUT_CONSENT.image).stat().st_size
    assert report["bytes_written"] <= size - (1 << 20)


def test_of_two_exports_at_once_one_says_so(published, tmp_path):
    folder = tmp_path / "out"
    running = subprocess.Popen(list(map(str, published.command(folder, "--follow", "3600"))), stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: (folder / "metadata" / "timestamp.json").exists(), "the first export", 30)
        # While it only waits for the next time it holds nothing up.
        wait_for(lambda: attempt(published, folder), "the second export", 30)
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def attempt(published, folder) -> bool:
    try:
        published.export(folder)
        return True
    except CommandFailed as refusal:
        assert "EXPORT_RUNNING" in str(refusal)
        return False


def test_following_brings_what_is_published(published, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(published.old, folder)
    running = subprocess.Popen(list(map(str, published.command(folder, "--follow", "1"))), stdout=subprocess.DEVNULL)
    try:
        newest = (published.new / "metadata" / "timestamp.json").read_bytes()
        timestamp = folder / "metadata" / "timestamp.json"
        wait_for(lambda: json.loads(timestamp.read_bytes())["signed"]["version"] >= json.loads(newest)["signed"]["version"],
                 "the newest timestamp", 30)
        store = published.story.suite.processes["package-store"]
        store.stop()
        store.start()
        published.story.suite.wait_ready("package-store")
        (folder / "metadata" / "1.root.json").unlink()
        wait_for((folder / "metadata" / "1.root.json").exists, "an export after the store's restart", 60)
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


# nginx.


@pytest.fixture(name="nginx")
def _nginx(published, tmp_path):
    """A real nginx with the configuration of deploy/, but for its port and folder."""
    folder = tmp_path / "repository"
    shutil.copytree(published.new, folder)
    port = ReservedPort()
    server = pathlib.Path("deploy/nginx/repository.conf").read_text()
    assert "listen 8080;" in server and "root /var/lib/countersign/repository;" in server
    server = server.replace("listen 8080;", f"listen {port.address};").replace("/var/lib/countersign/repository", str(folder))
    scratch = tmp_path / "nginx"
    scratch.mkdir()
    paths = "".join(f"{name}_temp_path {scratch}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (scratch / "nginx.conf").write_text(
        f"daemon off; pid {scratch}/pid; error_log stderr; user root;\n"
        f"events {{}}\nhttp {{ access_log off; {paths}\n{server}\n}}\n")
    process = subprocess.Popen(["/usr/sbin/nginx", "-c", scratch / "nginx.conf", "-p", scratch], stderr=subprocess.DEVNULL)
    site = f"http://{port.address}"

    def answers() -> bool:
        assert process.poll() is None, "nginx ended"
        try:
            return get(site + "/metadata/timestamp.json")[0] == 200
        except urllib.error.URLError:
            return False

    wait_for(answers, "nginx", 30)
    yield site
    process.terminate()
    process.wait()


def get(url: str, method: str = "GET", **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=10) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, b""


def test_all_clients_are_served_by_nginx(nginx, published, tmp_path):
    for kind in CLIENTS:
        outcome = kind(tmp_path / kind.name, published.root).update(nginx, *TARGETS)
        assert outcome.error == "", (kind.name, outcome.message)
        assert outcome.files == {release.target_path: pathlib.Path(release.image).read_bytes() for release in RELEASES}


def test_nginx_lets_caches_keep_what_never_changes_and_nothing_else(nginx, published):
    assert get(nginx + "/metadata/timestamp.json")[1]["Cache-Control"] == "no-cache"
    assert "immutable" in get(nginx + "/metadata/1.root.json")[1]["Cache-Control"]
    status, headers, _ = get(nginx + "/metadata/999.root.json")
    assert (status, headers["Cache-Control"]) == (404, "public, max-age=60")
    image = next(path for path in published.new.glob("targets/**/*.bin"))
    url = f"{nginx}/{image.relative_to(published.new)}"
    status, headers, body = get(url, Range="bytes=100-199")
    assert (status, body) == (206, image.read_bytes()[100:200])
    assert "immutable" in headers["Cache-Control"]
    assert get(nginx + "/log/checkpoint")[1]["Cache-Control"] == "no-cache"
    tile = next(path for path in published.new.glob("log/tile/**/*") if path.is_file())
    assert "immutable" in get(f"{nginx}/{tile.relative_to(published.new)}")[1]["Cache-Control"]
    proof = f"{nginx}/proofs/{RELEASES[0].target_path}.tlog-proof"
    assert get(proof)[:1] + (get(proof)[1]["Cache-Control"],) == (200, "no-cache")


def test_nginx_serves_nothing_of_what_the_export_keeps(nginx, published):
    assert (published.new / ".export" / "trusted" / "root.json").exists()
    for path in ("/.export/trusted/root.json", "/.export/lock", "/", "/metadata/", "/metadata/../.export/lock", "/targets/"):
        assert get(nginx + path)[0] in (403, 404), path
    assert get(nginx + "/metadata/timestamp.json", method="POST")[0] == 405
