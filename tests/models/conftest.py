"""What pytest leaves alone here, a script that needs an environment with Larq; and files
that carry code."""

import logging

import pytest

from tests.models.unsafe_files import CARRIED

collect_ignore = ["make_larq_summary_golden.py"]


@pytest.fixture
def marker(tmp_path, monkeypatch):
    path = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(path))
    return path


@pytest.fixture
def saved(tmp_path, marker):
    """Saves the model that carries what its argument says; gives back the path."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def save(what, kind):
        path = tmp_path / f"theirs{kind}"
        CARRIED[what][0]().save(path)
        marker.unlink(missing_ok=True)
        return path

    return save
