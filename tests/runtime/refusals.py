"""How tests ask for a refusal: the words that its message must have."""

from __future__ import annotations

import pytest

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime.reader import read


def refused(model, *words: str, **options) -> str:
    """The message with which a model is refused; it has all of the words and a fix."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ModelFileError) as caught:
        read(data, **options)
    message = str(caught.value)
    for word in (*words, "Fix: "):
        assert word in message, message
    assert len(message) < 1500
    return message
