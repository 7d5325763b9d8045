"""The package huggingface_hub: imported when it is used, its errors in our words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from larqlite.errors import ArgumentError, LarqliteError, MissingFileError

INSTALL = 'pip install "larqlite[hub]"'


def client(where: str, repo_id: Any, token: str | None, needs_token: bool) -> Any:
    """An `HfApi` for a repository of this name.

    Raises:
        ArgumentError: the name is none, or there is no token where one is needed.
        MissingFileError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils import validate_repo_id
    except ImportError as error:
        raise MissingFileError(
            f"{where}: the package huggingface_hub cannot be imported ({error}).\n"
            f"  Fix: {INSTALL}"
        ) from error
    if needs_token and not (token or get_token()):
        raise ArgumentError(
            f"{where}: there is no token, and without one nothing can be pushed to "
            f"{repo_id!r}.\n"
            "  Fix: `hf auth login`, or the variable HF_TOKEN, or token=...; a token with "
            "the right to write is made at https://huggingface.co/settings/tokens."
        )
    try:
        if not isinstance(repo_id, str):
            raise TypeError(f"it is a {type(repo_id).__name__}")
        validate_repo_id(repo_id)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{where}: {repo_id!r} is no name of a repository ({error}).\n"
            '  Fix: "owner/name", e.g. "me/small-binary-vgg".'
        ) from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)


@contextlib.contextmanager
def errors_as(
    kind: type[LarqliteError], where: str, repo_id: str, api: Any, state: str
) -> Iterator[None]:
    """Says which repository it was, what happened, what is left behind, and the fix.

    Args:
        kind: the class of the error that is raised.
        where: the function.
        repo_id: name of the repository.
        api: its client.
        state: a sentence that says what has been written.
    """
    try:
        yield
    except LarqliteError:
        raise
    except Exception as error:  # those of its HTTP clients share no base but Exception
        status = _status(error)
        raise kind(
            f"{where}: {repo_id} at {api.endpoint}: {_reason(error, status)}. {state}\n"
            f"  Fix: {_fix(status)}"
        ) from error


def _status(error: BaseException | None) -> int | None:
    """The status of the answer that an error, or one that caused it, is about."""
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return status
        error = error.__cause__
    return None


def _reason(error: Exception, status: int | None) -> str:
    if status is not None:
        words = {401: "not allowed", 403: "not allowed", 404: "not found"}
        return f"{words.get(status, 'the server failed')} (HTTP {status})"
    cause = "" if error.__cause__ is None else f" ({_one_line(error.__cause__)})"
    return f"{_one_line(error)}{cause}"


def _one_line(error: BaseException) -> str:
    lines = (line.strip() for line in str(error).splitlines())
    text = next(filter(None, lines), "").rstrip(".")
    return f"{type(error).__name__}: {text}".rstrip(": ")


def _fix(status: int | None) -> str:
    if status in (401, 403):
        return "a token with the right to do this (`hf auth login`, HF_TOKEN or token=...)."
    if status == 404:
        return "check the name; a private repository needs a token of somebody who sees it."
    return "try again; check the network, and HF_ENDPOINT if it is set."
