"""Models of Keras, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import tf_keras

from larqlite.outputs import written_whole


def save_model(model: tf_keras.Model, path: Path) -> None:
    """Saves a model to a `.keras` or `.h5` file; what was there stays if that fails."""
    with written_whole(path) as temporary:
        model.save(temporary, save_format="h5" if path.suffix == ".h5" else None)
