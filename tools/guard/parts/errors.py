"""Texts of errors that mistakes at public names raise; nothing but the text is looked at."""

from __future__ import annotations

import functools

from .. import texts
from . import errors_deploy, errors_training


def entries() -> dict:
    """An entry for each package, with a field for each mistake."""
    groups = (
        errors_deploy.deploy,
        errors_deploy.functions,
        errors_deploy.runtime,
        errors_training.qat,
        errors_training.integer,
        errors_training.onnx_files,
        errors_training.zoo,
        errors_training.layers,
    )
    return {group.__name__: functools.partial(_frozen, group) for group in groups}


def _frozen(group):
    for what, call in group().items():
        yield what, texts.error(call)
