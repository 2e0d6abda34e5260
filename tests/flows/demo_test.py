"""tools/demo says by its exit status whether all of it held, keeps the logs when not, and leaves nothing else behind."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

from flow import ROOT

DEMO = ["/usr/bin/python3", str(ROOT / "tools/scenario/demo.py")]


def children(pid: int) -> dict:
    """The command lines of a process's children, by their ids."""
    found = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found[int(status.parent.name)] = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_what_did_not_hold_is_said_and_its_logs_are_kept(tmp_path):
    # The same story with another expectation: that somebody else's signature is refused for a reason that there is not.
    scenario = tmp_path / "tools" / "scenario"
    shutil.copytree(ROOT / "tools/scenario", scenario)
    story = scenario / "story.py"
    text = story.read_text(encoding="utf-8")
    wrong = text.replace('"UNKNOWN_KEY", "SIGNATURE_INVALID", "THRESHOLD_NOT_MET"', '"ANOTHER_REASON"')
    wrong = wrong.replace("TOOLS = pathlib.Path(__file__).absolute().parents[1]", f'TOOLS = pathlib.Path("{ROOT / "tools"}")')
    assert wrong.count("ANOTHER_REASON") == 1 and str(ROOT) in wrong
    story.unlink()
    story.write_text(wrong, encoding="utf-8")
    result = subprocess.run(["/usr/bin/python3", str(scenario / "demo.py"), "--binaries", str(ROOT)],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 1, result
    assert "an image whose metadata somebody else signed" in result.stderr and "ANOTHER_REASON" in result.stderr
    assert "All of it held" not in result.stdout
    logs = pathlib.Path(re.search(r"The logs of all processes are in (\S+)", result.stderr).group(1))
    assert (logs / "package-store.log").stat().st_size > 0
    shutil.rmtree(logs)


def test_a_demo_that_is_interrupted_leaves_nothing_behind():
    demo = subprocess.Popen([*DEMO, "--binaries", str(ROOT)], stdout=subprocess.PIPE, text=True)
    for line in demo.stdout:
        if "come up" in line:
            break
    started = children(demo.pid)
    folder = pathlib.Path(re.search(r"(/tmp/countersign-\w+)/", " ".join(started.values())).group(1))
    cluster = pathlib.Path(re.search(r"--database=host=(\S+)", " ".join(started.values())).group(1))
    assert len(started) >= 6 and folder.exists() and cluster.exists()
    server = int((cluster / "data/postmaster.pid").read_text().splitlines()[0])
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    # Not all of it was seen to hold.
    assert demo.returncode == 130
    assert not folder.exists() and not cluster.exists()
    assert not [pid for pid in (*started, server) if os.path.exists(f"/proc/{pid}")]
