"""Downloads in processes of their own: killed midway, and two at once."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from larqlite_zoo._card import WeightFile
from larqlite_zoo._download import fetch
from tests import forks
from tests.zoo.weight_server import serve

CONTENT = random.Random(3).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = {"stall_seconds": 5.0, "pause_seconds": 0.01}
FETCH = """
    import sys
    from larqlite_zoo._card import WeightFile
    from larqlite_zoo._download import fetch
    fetch(WeightFile("weights.h5", sys.argv[1], sys.argv[2], True), "tiny")
"""


@pytest.fixture
def server():
    with serve(CONTENT) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "tiny"


@pytest.fixture
def file(server):
    return WeightFile("weights.h5", server.url(), SHA256, include_top=True)


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def start(url):
    arguments = [sys.executable, "-c", textwrap.dedent(FETCH), url, SHA256]
    environment = os.environ | {"PYTHONPATH": str(forks.ROOT)}
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_at(process, part, size):
    end = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size >= size):
        assert process.poll() is None, "the download ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_download_leaves_no_file_and_the_next_run_goes_on(
    server, file, cache, tmp_path
):
    server.script = [("drip", 0.05)]
    code = f"import os, sys\nos.environ.update({dict(os.environ)!r})\n"
    code += f"sys.argv = ['', {server.url()!r}, {SHA256!r}]\n" + textwrap.dedent(FETCH)
    process = forks.shared().start(code, tmp_path)
    kill_at(process, cache / "weights.h5.part", 100_000)
    assert files_in(cache) == ["weights.h5.part"]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert int(server.asked[1].removeprefix("bytes=").rstrip("-")) >= 100_000
    assert files_in(cache) == ["weights.h5"]


@pytest.mark.slow
def test_downloads_killed_again_and_again_end_with_the_right_file(server, file, cache):
    moments = sorted(random.Random(5).sample(range(len(CONTENT) - 50_000), 6))
    for moment in moments:
        server.script = [("drip", 0.02)]
        kill_at(start(server.url()), cache / "weights.h5.part", moment)
        assert "weights.h5" not in files_in(cache)
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT


@pytest.mark.slow
def test_two_processes_at_once_do_not_disturb_each_other(server, cache):
    server.script = [("drip", 0.05), ("drip", 0.05)]
    processes = [start(server.url()) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert (cache / "weights.h5").read_bytes() == CONTENT
    assert files_in(cache) == ["weights.h5"]
