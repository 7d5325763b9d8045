"""The names under which Larq's files carry its classes, and ours for them."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import tf_keras

from larqlite import constraints, layers, metrics, quantizers
from larqlite._registration import PACKAGE, NamedFunction

log = logging.getLogger("larqlite.models")

LARQ_OPTIMIZERS = ("Bop", "CaseOptimizer")
# Functions of Larq Zoo 2.4, which its files carry by name, as objects that compute the
# same: the kernel that blurs, and clip(x, 0, 1).
LARQ_ZOO_FUNCTIONS = {
    "blurpool_initializer": {
        "module": "larqlite_zoo.sota.quicknet",
        "class_name": "BlurPool",
        "config": {},
        "registered_name": "larqlite_zoo>BlurPool",
    },
    "clip_by_value_activation": {
        "module": "keras.layers",
        "class_name": "ReLU",
        "config": {"max_value": 1.0},
        "registered_name": None,
    },
}


@functools.cache
def own_classes() -> dict[str, type]:
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


def in_our_names(config):
    """The configuration with Larq's classes, and custom functions, as ours.

    Registered names come with our prefix, so that they resolve beside another
    library that took the bare names; custom functions as objects, since Keras
    cannot read the dictionaries it writes for them into `.h5`.
    """
    if isinstance(config, list):
        return [in_our_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    name, inner = config.get("class_name"), config.get("config")
    if name == "function" and inner in NamedFunction.known:
        return _named("NamedFunction", {"name": inner})
    if name == "function" and inner in LARQ_ZOO_FUNCTIONS:
        return LARQ_ZOO_FUNCTIONS[inner]
    rewritten = {key: _of_larq_zoo(key, value) for key, value in config.items()}
    if name == "function" and "module" in config and isinstance(inner, str):
        return inner if config["module"] == "builtins" else rewritten
    module = config.get("module", "larq.")
    if name not in own_classes() or not (module or "").startswith("larq."):
        return rewritten
    ours = tf_keras.saving.get_registered_name(own_classes()[name])
    if "module" in config:
        return {**rewritten, "module": None, "registered_name": ours}
    return {**rewritten, "class_name": ours}


def by_registered_names(config):
    """A configuration of an `.h5` file, its parts under the names they are known by.

    Keras writes both names of a learning rate schedule, or of a layer in a nested model,
    and looks for the one that is not registered.
    """
    if isinstance(config, list):
        return [by_registered_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    rewritten = {key: by_registered_names(value) for key, value in config.items()}
    registered = config.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        rewritten["class_name"] = registered
    return rewritten


def _of_larq_zoo(key: str, value):
    """The entry of a configuration, the names of Larq Zoo's functions as objects."""
    if key.endswith(("initializer", "activation")) and isinstance(value, str):
        return LARQ_ZOO_FUNCTIONS.get(value, value)
    return in_our_names(value)


def _named(class_name: str, config: dict) -> dict:
    return {
        "module": None,
        "class_name": class_name,
        "config": config,
        "registered_name": f"{PACKAGE}>{class_name}",
    }


def is_larqs_own(optimizer: dict | str | None, path: Path) -> bool:
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
