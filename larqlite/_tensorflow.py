"""Imports TensorFlow and tf_keras, and checks that they are there and fit together."""

from __future__ import annotations

import contextlib
import sys

from larqlite._version import require_same_minor
from larqlite_runtime.start import command_of, messages_held_back, what_is_missing

if (_said := what_is_missing("larqlite", ("tensorflow", "tf_keras"))) is not None:
    raise ModuleNotFoundError(
        f"{_said}\n  To run exported networks, import larqlite_runtime: it needs neither."
    )

_command = command_of(sys.orig_argv)
_tf_keras_is_known = "tf_keras" in sys.modules
_kept = messages_held_back if _command else contextlib.nullcontext
with _kept():
    import tensorflow
    import tf_keras

require_same_minor(tensorflow.__version__, tf_keras.__version__)

from larqlite._two_kerases import (  # noqa: E402  (it imports tf_keras)
    look_at_what_tf_keras_is_given,
    say_which_keras,
)

look_at_what_tf_keras_is_given()
if not _command and not _tf_keras_is_known:
    say_which_keras()
