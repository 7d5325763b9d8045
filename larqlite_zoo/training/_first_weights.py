"""Where the first weights of a student, and those of its teacher, come from."""

from __future__ import annotations

from pathlib import Path

from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models


def weight_file(name: str | None, output: Path, model: str) -> str | None:
    """What to give as `weights=`: a path, that of an earlier stage's student, or a word.

    Args:
        name: a path, the Keras name of a student of an earlier stage, a word for
            published weights of the model, or None.
        output: the folder of this run; earlier stages leave their weights beside it.
        model: the registered model that the weights are for.

    Raises:
        ArgumentError: none of these exists.
    """
    if name is None or Path(name).is_file():
        return name
    earlier = earlier_student(output, name)
    if earlier.exists():
        return str(earlier)
    words = {file.dataset for file in _registered_models.find(model).weights}
    if name in words:
        return name
    raise ArgumentError(
        f'{model}: weights "{name}": there is no such file, and no earlier stage has left '
        f"{earlier}.\n  Fix: the path of a weight file, or run the earlier stages"
        + "".join(f', or "{word}"' for word in sorted(words))
        + "."
    )


def earlier_student(output: Path, name: str) -> Path:
    """Where the stages of one run keep the weights of the student of that Keras name."""
    return output.parent / "models" / f"{name}_weights.h5"
