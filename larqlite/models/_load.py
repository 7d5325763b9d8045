"""Loading saved models, those of Larq among them."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py
import tf_keras

from larqlite import constraints, layers, metrics, quantizers
from larqlite._registration import PACKAGE, NamedFunction
from larqlite.errors import KerasVersionError, MissingFileError, UnsupportedModelError

__all__ = ["load"]

log = logging.getLogger("larqlite.models")

LARQ_OPTIMIZERS = ("Bop", "CaseOptimizer")


def load(path, custom_objects: dict | None = None, compile: bool = True):
    """Loads a model from `.keras`, `.h5` or a SavedModel folder.

    Beyond `tf_keras.models.load_model` it reads files saved by Larq 0.14, also
    beside another library that took the bare names first, and `.h5` files with
    custom activation functions. An optimizer that only Larq has (Bop and
    CaseOptimizer, whose state depends on the process that saved it) is left
    out with a warning: the model comes uncompiled.

    Args:
        path: the file or folder.
        custom_objects: names mapped to classes or functions of your own.
        compile: whether to restore the optimizer, loss and metrics.

    Returns:
        The tf_keras model.

    Raises:
        MissingFileError: there is nothing at `path`.
        KerasVersionError: the file was saved by Keras 3.
        UnsupportedModelError: the file holds no model, or names a class or
            function that is not known.

    Example:
        >>> import tempfile, os
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(3)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.keras"))
        ...     lq.models.load(os.path.join(folder, "model.keras")).layers[0].units
        3
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(
            f"lq.models.load: there is no file or folder {str(path)!r} "
            f"(working directory: {os.getcwd()})."
        )
    with tf_keras.saving.custom_object_scope(custom_objects or {}):
        try:
            if path.is_dir():
                return _load_saved_model(path, compile)
            if h5py.is_hdf5(path):
                return _load_h5(path, compile)
            if zipfile.is_zipfile(path):
                return _load_keras(path, compile)
        except (TypeError, ValueError, KeyError, OSError) as error:
            if isinstance(error, (KerasVersionError, UnsupportedModelError)):
                raise
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} could not be read as a model: {error}\n"
                "  Fix: if it names a class or function of your own, import its module "
                "first (lq: --import MODULE) or pass custom_objects={'Name': Name}."
            ) from error
    raise UnsupportedModelError(
        f"lq.models.load: {str(path)!r} is neither a .keras file, nor HDF5 (.h5), nor a "
        "SavedModel folder."
    )


@functools.cache
def _own_classes() -> dict[str, type]:
    """Our classes by the bare names that Larq's files carry."""
    classes = {
        name: getattr(module, name)
        for module in (layers, constraints, metrics)
        for name in module.__all__
        if isinstance(getattr(module, name), type)
    }
    for entry in quantizers.entries():
        if entry.target.__module__.startswith("larqlite."):
            classes[entry.target.__name__] = entry.target
    return {
        **classes,
        "DoReFaQuantizer": quantizers.DoReFa,
        "NoOpQuantizer": quantizers.NoOp,
    }


def _in_our_names(config):
    """The configuration with Larq's classes, and custom functions, as ours.

    Registered names come with our prefix, so that they resolve beside another
    library that took the bare names; custom functions as objects, since Keras
    cannot read the dictionaries it writes for them into `.h5`.
    """
    if isinstance(config, list):
        return [_in_our_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    name, inner = config.get("class_name"), config.get("config")
    if name == "function" and inner in NamedFunction.known:
        return _named("NamedFunction", {"name": inner})
    rewritten = {key: _in_our_names(value) for key, value in config.items()}
    if name == "function" and "module" in config and isinstance(inner, str):
        return inner if config["module"] == "builtins" else rewritten
    module = config.get("module", "larq.")
    if name not in _own_classes() or not (module or "").startswith("larq."):
        return rewritten
    ours = tf_keras.saving.get_registered_name(_own_classes()[name])
    if "module" in config:
        return {**rewritten, "module": None, "registered_name": ours}
    return {**rewritten, "class_name": ours}


def _named(class_name: str, config: dict) -> dict:
    return {
        "module": None,
        "class_name": class_name,
        "config": config,
        "registered_name": f"{PACKAGE}>{class_name}",
    }


def _load_keras(path: Path, compile: bool):
    with zipfile.ZipFile(path) as archive:
        files = set(archive.namelist())
        if "config.json" not in files:
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} is a zip file without a config.json, so "
                "not a .keras model."
            )
        config = json.loads(archive.read("config.json"))
        metadata = {}
        if "metadata.json" in files:
            metadata = json.loads(archive.read("metadata.json"))
    version = metadata.get("keras_version", "2")
    if not version.startswith("2"):
        raise KerasVersionError(
            f"lq.models.load: {str(path)!r} was saved by Keras {version}, but larqlite "
            "works with tf_keras (Keras 2).\n"
            "  Fix: save it with tf_keras, or with TF_USE_LEGACY_KERAS=1 set."
        )
    optimizer = (config.get("compile_config") or {}).get("optimizer")
    compile = compile and not _is_larqs_own(optimizer, path)
    readable = _in_our_names(config) if '"larq.' in json.dumps(config) else config
    if readable == config:
        return tf_keras.models.load_model(path, compile=compile)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for item in old.infolist():
                content = old.read(item)
                if item.filename == "config.json":
                    content = json.dumps(readable).encode()
                new.writestr(item, content)
        return tf_keras.models.load_model(copy, compile=compile)


def _load_h5(path: Path, compile: bool):
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} holds weights but no model.\n"
                "  Fix: build the model and call model.load_weights(path)."
            )
        config = json.loads(file.attrs["model_config"])
        training = json.loads(file.attrs.get("training_config", "{}"))
    compile = compile and not _is_larqs_own(training.get("optimizer_config"), path)
    readable = _in_our_names(config)
    if readable == config:
        return tf_keras.models.load_model(path, compile=compile)
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(path, Path(folder, path.name))
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(readable).encode()
        return tf_keras.models.load_model(copy, compile=compile)


def _load_saved_model(path: Path, compile: bool):
    if not (path / "saved_model.pb").exists():
        raise UnsupportedModelError(
            f"lq.models.load: the folder {str(path)!r} holds no saved_model.pb."
        )
    with tf_keras.saving.custom_object_scope(_own_classes()):
        model = tf_keras.models.load_model(path, compile=compile)
    if not isinstance(model, tf_keras.Model):
        raise UnsupportedModelError(
            f"lq.models.load: {str(path)!r} is a SavedModel without Keras metadata.\n"
            "  Fix: save it with model.save(path), not with tf.saved_model.save."
        )
    unknown = [
        layer.name
        for layer in model.submodules
        if type(layer).__module__.endswith("saving.saved_model.load")
        and isinstance(layer, tf_keras.layers.Layer)
    ]
    if unknown:
        log.warning(
            "lq.models.load: %s: Keras knows no class for the layers %s and restored "
            "their computation only. Fix: pass their classes as custom_objects.",
            path,
            unknown,
        )
    return model


def _is_larqs_own(optimizer: dict | str | None, path: Path) -> bool:
    if not isinstance(optimizer, dict):
        return False
    if optimizer.get("class_name") not in LARQ_OPTIMIZERS:
        return False
    if str(optimizer.get("registered_name", "")).startswith("larqlite>"):
        return False
    log.warning(
        "lq.models.load: %s was saved with Larq's %s, whose state cannot be carried over; "
        "the model is not compiled. Fix: compile it with lq.optimizers.%s.",
        path,
        optimizer["class_name"],
        optimizer["class_name"],
    )
    return True
