"""Fetching against a real server that cuts, corrupts, stalls and refuses."""

from __future__ import annotations

import hashlib
import io
import random
import resource
import sys
import threading
import time
from dataclasses import replace

import pytest

from larqlite.errors import DownloadError, MissingFileError
from larqlite_zoo._cache import cache_directory, partial_file
from larqlite_zoo._card import WeightFile
from larqlite_zoo._download import fetch
from tests.zoo.weight_server import serve

CONTENT = random.Random(3).randbytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = {"stall_seconds": 5.0, "pause_seconds": 0.01}


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


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(server, file, cache):
    path = fetch(file, "tiny", **QUICK)
    assert path == cache / "weights.h5"
    assert path.read_bytes() == CONTENT
    assert fetch(file, "tiny", **QUICK) == path
    assert server.asked == [None]
    assert files_in(cache) == ["weights.h5"]


def test_a_connection_cut_midway_goes_on_where_it_stopped(server, file):
    server.script = [("cut", 100_000), ("cut", 50_000)]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_is_asked_for_everything_again(server, file):
    server.ranges = False
    server.script = [("cut", 100_000)]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_an_answer_with_another_part_is_not_appended(server, file):
    server.script = [("cut", 100_000), "other part"]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", None]


def test_a_download_that_failed_is_continued_by_the_next_one(server, file, cache):
    server.script = [("cut", 1000)] * 3
    with pytest.raises(
        DownloadError, match="after 3000 of 400000 bytes; tried 3 times"
    ):
        fetch(file, "tiny", **QUICK)
    assert files_in(cache) == ["weights.h5.part"]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=3000-"
    assert files_in(cache) == ["weights.h5"]


@pytest.mark.parametrize("left", [b"not the beginning", CONTENT + b"more"])
def test_a_left_over_part_of_another_file_does_no_harm(server, file, cache, left):
    cache.mkdir(parents=True)
    (cache / "weights.h5.part").write_bytes(left)
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(left)}-", None]


def test_a_part_that_was_complete_already_is_not_fetched_again(server, file, cache):
    cache.mkdir(parents=True)
    (cache / "weights.h5.part").write_bytes(CONTENT)
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == []


def test_corrupted_bytes_are_fetched_again(server, file):
    server.script = ["corrupt"]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_file_that_stays_corrupted_is_never_used_and_nothing_is_left(
    server, file, cache
):
    server.script = ["corrupt"] * 9
    with pytest.raises(DownloadError, match="what arrived has the SHA-256") as caught:
        fetch(file, "tiny", **QUICK)
    assert SHA256 in str(caught.value)
    assert len(server.asked) == 3
    assert files_in(cache) == []


def test_a_server_that_stalls_is_left_and_asked_again(server, file):
    server.script = [("stall", 70_000)]
    begin = time.monotonic()
    path = fetch(file, "tiny", stall_seconds=0.3, pause_seconds=0.01)
    assert path.read_bytes() == CONTENT
    assert 0.3 <= time.monotonic() - begin < 4
    assert server.asked == [None, "bytes=70000-"]


def test_a_server_that_always_stalls_is_named_as_such(server, file, cache):
    server.script = [("stall", 0)] * 9
    with pytest.raises(DownloadError, match=r"nothing arrived for 0\.2 seconds"):
        fetch(file, "tiny", tries=2, stall_seconds=0.2, pause_seconds=0.01)
    assert files_in(cache) == []


@pytest.mark.parametrize("failure", [500, 503, 429, "reset"])
def test_a_passing_failure_is_tried_again(server, file, failure):
    server.script = [failure, failure]
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT
    assert len(server.asked) == 3


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3)])
def test_a_refusal_names_the_status(server, file, cache, status, requests):
    server.script = [status] * 9
    with pytest.raises(DownloadError, match=f"the server answers {status}"):
        fetch(file, "tiny", **QUICK)
    assert len(server.asked) == requests
    assert files_in(cache) == []


def test_offline_the_error_says_what_to_put_where_and_how_to_check(cache):
    with serve(CONTENT) as server:
        url = server.url()
    file = WeightFile("weights.h5", url, SHA256, include_top=True)
    with pytest.raises(DownloadError) as caught:
        fetch(file, "tiny", **QUICK)
    message = str(caught.value)
    for part in (url, str(cache / "weights.h5"), f"sha256sum {cache}", SHA256):
        assert part in message
    assert isinstance(caught.value, OSError)
    # What the message asks for helps.
    (cache / "weights.h5").write_bytes(CONTENT)
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_fetched_anew(server, file, cache):
    cache.mkdir(parents=True)
    (cache / "weights.h5").write_bytes(CONTENT[:-1])
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT


def test_a_damaged_file_in_the_cache_is_refused_offline(server, file, cache):
    cache.mkdir(parents=True)
    (cache / "weights.h5").write_bytes(b"x")
    server.script = ["reset"] * 9
    digest = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(DownloadError, match=rf"is damaged \(SHA-256 {digest}\)"):
        fetch(file, "tiny", **QUICK)


def test_two_at_once_do_not_disturb_each_other(server, file, cache):
    server.script = [("drip", 0.01), ("drip", 0.005)]
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(file, "tiny", **QUICK)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None, None]
    assert [path.read_bytes() == CONTENT for path in paths] == [True, True]
    assert files_in(cache) == ["weights.h5"]


def test_a_partial_file_belongs_to_one_at_a_time(tmp_path):
    target = tmp_path / "a.h5"
    with partial_file(target) as (first, first_path):
        with partial_file(target) as (second, second_path):
            first.write(b"1")
            second.write(b"2")
            assert first_path.name == "a.h5.part"
            assert second_path.name == "a.h5.1.part"
    with partial_file(target) as (again, again_path):
        assert again_path == first_path
        again.seek(0)
        assert again.read() == b"1"


def test_file_addresses_are_checked_and_used_in_place(tmp_path):
    path = tmp_path / "with space.h5"
    path.write_bytes(CONTENT)
    file = WeightFile(path.name, path.as_uri(), SHA256, include_top=True)
    assert fetch(file, "tiny") == path
    with pytest.raises(DownloadError, match="not the published file"):
        fetch(replace(file, sha256="0" * 64), "tiny")
    path.unlink()
    with pytest.raises(MissingFileError, match="there is no file"):
        fetch(file, "tiny")


def test_a_cache_that_cannot_be_written_is_named(server, file, tmp_path, monkeypatch):
    (tmp_path / "occupied").write_bytes(b"")
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(DownloadError, match="LARQLITE_ZOO_CACHE"):
        fetch(file, "tiny", **QUICK)
    assert server.asked == []


def test_a_disk_without_room_is_no_reason_to_ask_the_server_again(server, file, cache):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DownloadError, match="cannot be written here"):
            fetch(file, "tiny", **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert server.asked == [None]
    assert "weights.h5" not in files_in(cache)
    assert fetch(file, "tiny", **QUICK).read_bytes() == CONTENT


def test_the_cache_is_where_the_variable_or_the_platform_says(monkeypatch, tmp_path):
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("LARQLITE_ZOO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory().as_posix() == "/xdg/larqlite_zoo"


def test_progress_is_shown_on_a_terminal_only(file, monkeypatch, capsys, cache):
    fetch(file, "tiny", **QUICK)
    assert capsys.readouterr() == ("", "")
    (cache / "weights.h5").unlink()
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    fetch(file, "tiny", **QUICK)
    assert "weights.h5" in terminal.getvalue()
    assert "400.0/400.0 kB" in terminal.getvalue()
