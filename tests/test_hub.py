"""lq.hub against a server that speaks the Hub's protocol, loses connections and lies."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tf_keras
import yaml

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError, DownloadError, MissingFileError, UploadError
from larqlite.hub._manifest import read_manifest
from tests import hub_server

constants = pytest.importorskip(
    "huggingface_hub.constants", reason="needs the extra `hub`"
)
# Of huggingface_hub's own call of its HTTP client.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<:DeprecationWarning")
FILES = {"model.onnx", "model.keras", "larqlite.json"}
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    layer = lq.layers.QuantDense(3, input_quantizer="ste_sign", name="d", **binary)
    return tf_keras.Sequential([tf_keras.Input((4,), name="x"), layer], name="net")


@pytest.fixture
def server(monkeypatch, tmp_path):
    """A server that huggingface_hub takes for the Hub, with nothing kept at home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    # What it waits between two tries.
    for name in ("huggingface_hub.file_download", "huggingface_hub.utils._http"):
        monkeypatch.setattr(f"{name}.time.sleep", lambda seconds: None)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with hub_server.serve() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", running.token)
        yield running


@pytest.fixture
def pushed(server, model, monkeypatch, pushed_files):
    """The server with a repository in it, of what a push wrote there."""
    server.repositories["me/net"] = []
    server.commit("me/net", dict(pushed_files))
    monkeypatch.delenv("HF_TOKEN")
    return server


@pytest.fixture(scope="module")
def pushed_files(model):
    """What `push` writes, once for all tests."""
    with pytest.MonkeyPatch.context() as patch, hub_server.serve() as running:
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setenv("no_proxy", "*")
        patch.setenv("HF_ENDPOINT", running.url)
        card = larqlite_zoo.card("binary_vgg_small")
        lq.hub.push(
            model, "me/net", token=running.token, card=card, licence="apache-2.0"
        )
        return running.files("me/net")


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_pushed_is_the_model_packed_and_as_keras_has_it(
    pushed, model, tmp_path
):
    pulled = lq.hub.pull("me/net")
    assert pulled.folder == tmp_path / "net"
    assert set(left(pulled.folder)) == FILES
    assert left(tmp_path) == ["net"]
    expected = model(X).numpy()
    np.testing.assert_array_equal(pulled.model()(X).numpy(), expected)
    np.testing.assert_allclose(pulled.packed()(X), expected, atol=1e-6)
    assert pulled.commit == pushed.repositories["me/net"][-1][0]


def test_the_card_has_the_front_matter_of_the_hub_the_zoos_facts_and_real_sizes(
    pushed_files, model
):
    text = pushed_files["README.md"].decode()
    _, front, body = text.split("---\n", 2)
    read = yaml.safe_load(front)
    assert read["license"] == "apache-2.0"
    assert read["library_name"] == "larqlite"
    assert 'lq.hub.pull("me/net")' in body
    assert "https://arxiv.org/abs/1807.10029" in body
    packed = lq.models.profile(model).deployed_bytes
    assert f"weights of {packed:,} bytes" in body
    widths = [line.count("|") for line in body.splitlines() if line.startswith("|")]
    assert len(widths) > 10
    # Every table that a rule follows is one for Markdown.
    for head, rule in re.findall(r"^(\|.*)\n(\|[-|]+)$", body, re.M):
        assert head.count("|") == rule.count("|")


def test_a_second_push_is_another_commit_of_the_same_repository(server, model):
    first = lq.hub.push(model, "me/net", card="Trained by me.")
    second = lq.hub.push(model, "me/net", card="Trained by me, again.")
    assert first.url == second.url == f"{server.url}/me/net"
    assert b"Trained by me, again." in server.files("me/net")["README.md"]
    assert first.commit != second.commit
    assert lq.hub.pull("me/net", "old", revision=first.commit).commit == first.commit
    assert first.report.weight_bytes == lq.models.profile(model).deployed_bytes


def test_a_push_without_a_token_says_so_before_anything_is_read(server, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ArgumentError, match=r"(?s)no token.*'me/net'.*Fix:.*HF_TOKEN"):
        lq.hub.push("no model at all", "me/net")
    assert server.asked == []


@pytest.mark.parametrize("name", ["a/b/c", "-net", "me/ne t", 3, None])
def test_what_is_no_name_is_refused(server, name):
    for call in (lambda: lq.hub.push(None, name), lambda: lq.hub.pull(name)):
        with pytest.raises(ArgumentError, match=r"(?s)no name of a repository.*Fix:"):
            call()
    assert server.asked == []


def test_a_card_of_another_kind_is_refused(server, model):
    with pytest.raises(ArgumentError, match=r"(?s)card=3 is a int.*Fix:"):
        lq.hub.push(model, "me/net", card=3)
    assert server.asked == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (("POST /api/repos/create", 403), "HTTP 403.*Fix: a token with the right"),
        (("POST .*/preupload", 404), "HTTP 404.*Fix: check the name"),
        (("PUT /lfs/", 400), "HTTP 400.*Fix: try again"),
        (("POST .*/commit/", 500), "HTTP 500.*Fix: try again"),
        (("POST .*/commit/", "reset"), "disconnected.*Fix: try again"),
    ],
)
def test_a_push_that_fails_commits_nothing(server, model, fault, says):
    server.faults.append(fault)
    with pytest.raises(UploadError, match=f"(?s)lq.hub.push: me/net at http.*{says}"):
        lq.hub.push(model, "me/net")
    assert server.repositories.get("me/net", []) == []


def test_a_wrong_token_is_named(server, model):
    with pytest.raises(UploadError, match=r"(?s)not allowed.*HTTP 401.*Fix: a token"):
        lq.hub.push(model, "me/net", token="hf_wrong")


def test_a_connection_lost_midway_is_taken_up_again(pushed, pushed_files):
    pushed.faults.append(("GET .*model.keras", ("cut", 1000)))
    pulled = lq.hub.pull("me/net")
    assert pulled.keras.read_bytes() == pushed_files["model.keras"]


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (
            [("GET .*model.onnx", "corrupt")],
            "model.onnx is not the file that was pushed",
        ),
        ([("GET .*model.keras", 500)], "HTTP 500.*Nothing was written"),
        (
            [("HEAD .*model.keras", 404)],
            "it lacks a file .*model.keras.*Nothing was written",
        ),
        ([("GET .*model.keras", ("cut", 10))] * 20, "Nothing was written.*try again"),
        ([("GET /api/models/me/net", 503)] * 20, "HTTP 503.*Fix: try again"),
    ],
    ids=["wrong hash", "500", "404", "lost for good", "503"],
)
def test_a_pull_that_fails_leaves_the_folder_as_it_was(
    pushed, tmp_path, monkeypatch, faults, says
):
    earlier = lq.hub.pull("me/net")
    before = {name: (earlier.folder / name).read_bytes() for name in FILES}
    pushed.faults += faults
    for folder in ("net", "new"):
        kept = list(pushed.faults)
        with pytest.raises(DownloadError, match=f"(?s)lq.hub.pull: me/net.*{says}"):
            lq.hub.pull("me/net", folder)
        pushed.faults[:] = kept
    assert {name: (earlier.folder / name).read_bytes() for name in FILES} == before
    assert left(tmp_path) == ["net"]


@pytest.mark.parametrize(
    ("repo_id", "revision", "says"),
    [("me/none", None, "HTTP 404"), ("me/net", "nowhere", "HTTP 404")],
)
def test_what_is_not_there_is_named(pushed, tmp_path, repo_id, revision, says):
    with pytest.raises(DownloadError, match=f"(?s){repo_id}.*{says}.*Fix: check"):
        lq.hub.pull(repo_id, revision=revision)
    assert left(tmp_path) == []


def test_a_repository_of_others_is_named_as_such(pushed):
    pushed.commit("me/net", {"README.md": b"# Mine"})
    with pytest.raises(DownloadError, match=r"(?s)lacks a file.*larqlite.json.*Fix:"):
        lq.hub.pull("me/net")


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 2},
        {"files": {"model.onnx": {"sha256": "ab"}}},
        {"files": []},
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(pushed, pushed_files, changed):
    content = json.loads(pushed_files["larqlite.json"]) | changed
    files = {**pushed_files, "larqlite.json": json.dumps(content).encode()}
    pushed.commit("me/net", files)
    with pytest.raises(DownloadError, match=r"(?s)larqlite\.json.*Fix:"):
        lq.hub.pull("me/net")


def test_a_folder_with_something_else_in_it_is_left_alone(pushed, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for folder, says in (
        (None, "thesis.tex"),
        ("file", "is a file"),
        ("a/b", "no folder"),
    ):
        with pytest.raises(ArgumentError, match=f"(?s){says}.*Fix:"):
            lq.hub.pull("me/net", folder)
    assert pushed.asked == []
    assert (tmp_path / "net" / "thesis.tex").read_text() == "mine"


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(
        MissingFileError, match=r"(?s)Fix: pip install .larqlite\[hub\]"
    ):
        lq.hub.push(None, "me/net")


@pytest.mark.parametrize("folder", ["", ".", ".."])
def test_the_present_folder_is_not_replaced(pushed, tmp_path, folder):
    with pytest.raises(
        ArgumentError, match=r"(?s)the present folder.*Fix: a name in it"
    ):
        lq.hub.pull("me/net", folder)
    assert Path.cwd().is_dir()


def test_an_earlier_pull_comes_back_where_the_new_one_finds_no_place(
    pushed, tmp_path, monkeypatch
):
    earlier = lq.hub.pull("me/net")
    before = {path.name: path.read_bytes() for path in earlier.folder.iterdir()}
    rename = Path.rename

    def fails_once(path, target):
        if path.name == "fetched":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails_once)
    with pytest.raises(DownloadError, match=r"(?s)Nothing was written.*Fix: another"):
        lq.hub.pull("me/net")
    after = {path.name: path.read_bytes() for path in earlier.folder.iterdir()}
    assert after == before


def test_a_manifest_of_a_later_format_asks_for_a_later_larqlite(tmp_path):
    path = tmp_path / "larqlite.json"
    path.write_text('{"format": 2, "models": []}')
    with pytest.raises(
        DownloadError, match=r"(?s)format 2.*Fix: pip install --upgrade"
    ):
        read_manifest(path, "lq.hub.pull")
