"""`push`: a trained network becomes a repository of the Hugging Face Hub."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite import deploy, models, outputs
from larqlite.errors import UploadError
from larqlite.graph import require_model
from larqlite.hub._hub_client import client, errors_as
from larqlite.hub._manifest import FILES, KERAS, NAME, PACKED, write_manifest
from larqlite.hub._model_card import model_card, require_card

if TYPE_CHECKING:
    import tf_keras

WHERE = "lq.hub.push"


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What `lq.hub.push` wrote.

    Attributes:
        url: of the repository.
        commit: the commit's hash, which `lq.hub.pull(revision=...)` takes.
        report: of the packed file.
    """

    url: str
    commit: str
    report: deploy.Report


def push(
    model: tf_keras.Model,
    repo_id: str,
    *,
    card: Any = None,
    licence: str | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = "Push a model",
) -> Pushed:
    """Pushes a trained model to the Hugging Face Hub: packed, and as Keras has it.

    One commit holds `model.onnx` (of `lq.deploy.export`, verified), `model.keras`, the card
    `README.md`, and a manifest with the SHA-256 of both models. The repository is made
    if it is missing. Needs `pip install "larqlite[hub]"`.

    Args:
        model: as in `lq.deploy.export`.
        repo_id: `"owner/name"`.
        card: Markdown for the card, or a card of the zoo (`larqlite_zoo.card(name)`). The
            layers of the model and the report of the export follow it.
        licence: its short name on the Hub, e.g. `"apache-2.0"`.
        private: whether a repository that is made is private.
        token: of the Hub; by default that of `hf auth login` or the variable `HF_TOKEN`.
        message: of the commit.

    Returns:
        Where it is.

    Raises:
        ArgumentError: no token (said before anything is read), `repo_id` is no name, or
            `card` is no card.
        UploadError: the Hub refused it, failed or could not be reached; the files are
            committed all together or not at all.
        MissingFileError: huggingface_hub is not installed.
        UnsupportedModelError, UnsupportedLayerError, VerificationError: as
            `lq.deploy.export`.

    Example:
        >>> lq.hub.push(tf_keras.Sequential(), "me/net")  # doctest: +SKIP
    """
    api = client(WHERE, repo_id, token, needs_token=True)
    require_card(card, WHERE)
    require_model(model, WHERE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = deploy.export(model, folder / PACKED)
        report = dataclasses.replace(report, path=Path(PACKED))
        outputs.save_model(model, folder / KERAS)
        write_manifest(folder)
        text = model_card(repo_id, card, report, models.profile(model), licence)
        (folder / "README.md").write_text(text, encoding="utf-8")
        return _commit(api, repo_id, folder, report, private, message)


def _commit(api, repo_id, folder, report, private, message) -> Pushed:
    from huggingface_hub import CommitOperationAdd

    names = (*FILES, NAME, "README.md")
    added = [CommitOperationAdd(name, str(folder / name)) for name in names]
    state = "The files are committed all together or not at all."
    with errors_as(UploadError, WHERE, repo_id, api, state):
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.create_commit(url.repo_id, added, commit_message=message)
    return Pushed(str(url), commit.oid, report)
