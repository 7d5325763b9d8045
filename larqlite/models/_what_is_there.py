"""What stands at a path that holds no model, and what the user may have meant."""

from __future__ import annotations

import os
from pathlib import Path

import h5py

from larqlite.errors import near_matches

_MODELS = (".keras", ".h5", ".hdf5")
_DEPLOYED = {
    ".onnx": "a deployed model, for lq run FILE, lq benchmark FILE and lq verify MODEL FILE",
    ".tflite": "a TFLite file, for a TFLite interpreter",
}
_CHECKPOINT = (
    "a checkpoint of TensorFlow, which holds weights without the network.\n"
    "  Fix: build the model and call model.load_weights({prefix!r})."
)
_SAVE = 'a saved model is what model.save("model.keras") writes.'
_ITS_MODEL = "pass the saved model (.keras, .h5) that it was made of."


def nothing_at(path: Path) -> str:
    """What to say of a path at which there is nothing."""
    if Path(f"{path}.index").exists():
        return f"{str(path)!r} is " + _CHECKPOINT.format(prefix=str(path))
    beside = path.parent.glob("*") if path.parent.is_dir() else ()
    names = [each.name for each in beside if each.suffix in _MODELS or each.is_dir()]
    return (
        f"there is no file or folder {str(path)!r} (working directory: {os.getcwd()})."
        f"{near_matches(path.name, names)}\n  Fix: check the path; {_SAVE}"
    )


def no_model_in(path: Path) -> str:
    """What to say of a file or folder that is no saved model."""
    if not path.is_dir():
        if path.suffix == ".index" or ".data-" in path.suffix:
            return f"{str(path)!r} is of " + _CHECKPOINT.format(
                prefix=str(path.with_suffix(""))
            )
        what = _DEPLOYED.get(path.suffix.lower())
        return (
            f"{str(path)!r} is neither a .keras file, nor HDF5 (.h5), nor a SavedModel "
            f"folder{f', but {what}' if what else ''}.\n"
            f"  Fix: {_ITS_MODEL if what else _SAVE}"
        )
    start = f"the folder {str(path)!r} holds no saved_model.pb"
    inside = _models_inside(path)
    if inside:
        return (
            f"{start}, so it is no saved model itself.\n  Fix: pass "
            f"{'the model' if len(inside) == 1 else 'one of the models'} in it: "
            + ", ".join(repr(str(each)) for each in inside)
            + "."
        )
    checkpoints = sorted(
        [*path.glob("*.index"), *path.glob("*/*.index")],
        key=lambda each: each.stat().st_mtime_ns,
    )
    if checkpoints:
        prefix = str(checkpoints[-1].with_suffix(""))
        return (
            f"{start}; {prefix!r} is "
            + _CHECKPOINT.format(prefix=prefix)
            + " Of an unfinished run of lqz train, let the run finish: it saves a model."
        )
    return f"{start}, nor a .keras or .h5 file.\n  Fix: {_SAVE}"


def _models_inside(folder: Path) -> list[Path]:
    """The saved models of a folder and of its folders, the newest first."""
    found = [
        path
        for pattern in ("*", "*/*")
        for path in folder.glob(pattern)
        if (path.suffix in _MODELS and _is_model(path)) or _is_saved_model(path)
    ]
    found.sort(key=lambda each: (len(each.parts), -each.stat().st_mtime_ns))
    return found[:5]


def _is_saved_model(path: Path) -> bool:
    return path.is_dir() and (path / "saved_model.pb").exists()


def _is_model(path: Path) -> bool:
    """Whether a file by its name a model is one, and not weights alone."""
    if path.suffix == ".keras":
        return path.is_file()
    try:
        with h5py.File(path) as file:
            return "model_config" in file.attrs
    except OSError:
        return False
