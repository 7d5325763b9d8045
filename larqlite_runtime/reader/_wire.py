"""Protocol-buffer bytes into plain dictionaries and back, by the tables of `_schema`.

A decoder of our own, because the usual ones allocate many times the size of a file made
for that purpose before anything of it can be checked; here every field is counted, and
long values stay views of the file's bytes.

The encoding: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct

import numpy as np

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime.reader._schema import REFUSED, SCHEMA, Field

MAX_FIELDS = (
    500_000  # numbers, texts and messages in one file; a large model has 50,000
)
DAMAGED = (
    "\n  Fix: the file is damaged, incomplete, or no packed model: copy or download it "
    "again, or write it again with `lq.deploy.export(model, path)`."
)

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_WIRE_TYPES = {"int": _VARINT, "float": _FIXED32}  # all others: _BYTES


def decode(message: str, data: bytes | memoryview) -> dict:
    """The fields of a message by name.

    Repeated fields are lists (arrays, where numbers came as one block), fields that are
    absent are missing, "bytes" are views of `data`.

    Args:
        message: its name in `SCHEMA`.
        data: its bytes.

    Raises:
        ModelFileError: the bytes are no such message, or it has more than
            `MAX_FIELDS` fields or one that is refused.

    >>> decode("Opset", bytes([0x0A, 2, 97, 105, 0x10, 18]))
    {'domain': 'ai', 'version': 18}
    """
    view = memoryview(data)
    return _Decoder(view).message(message, 0, len(view))


class _Decoder:
    def __init__(self, view: memoryview):
        self.view = view
        self.fields = 0

    def message(self, message: str, at: int, end: int) -> dict:
        table = SCHEMA[message]
        result: dict = {}
        while at < end:
            key, at = self.varint(at, end)
            field = table.get(key >> 3)
            if field is None:
                raise ModelFileError(
                    f"byte {at}: field {key >> 3} of {message} is not known" + DAMAGED
                )
            if field.kind == "refused":
                raise ModelFileError(
                    f"byte {at}: it has {_meaning(message, field)}, which packed models "
                    "do not use.\n  Fix: write the file with "
                    "`lq.deploy.export(model, path)`."
                )
            self.count(1)
            value, at = self.value(message, field, key & 7, at, end)
            is_one = not field.is_repeated or isinstance(value, (np.ndarray, list))
            if not is_one:
                earlier = result.setdefault(field.name, [])
                is_one = not isinstance(earlier, list)
            if is_one and field.name in result:
                raise ModelFileError(
                    f"byte {at}: {message} has the field {field.name} twice" + DAMAGED
                )
            if is_one:
                result[field.name] = value
            else:
                earlier.append(value)
        return result

    def value(self, message: str, field: Field, wire: int, at: int, end: int):
        """What a field holds, and where the next one begins."""
        expected = _WIRE_TYPES.get(field.kind, _BYTES)
        is_block = field.is_repeated and wire == _BYTES and expected != _BYTES
        if wire != expected and not is_block:
            raise ModelFileError(
                f"byte {at}: {message}.{field.name} has wire type {wire}, not {expected}"
                + DAMAGED
            )
        if wire == _VARINT:
            number, at = self.varint(at, end)
            return _signed(number), at
        if wire == _FIXED32:
            self.need(at, 4, end, message, field)
            return struct.unpack_from("<f", self.view, at)[0], at + 4
        size, at = self.varint(at, end)
        self.need(at, size, end, message, field)
        if is_block:
            return self.block(field, expected, at, at + size), at + size
        if field.kind == "text":
            return self.text(message, field, at, at + size), at + size
        if field.kind == "bytes":
            return self.view[at : at + size], at + size
        if field.kind == "skipped":
            return None, at + size
        return self.message(field.kind, at, at + size), at + size

    def text(self, message: str, field: Field, at: int, end: int) -> str:
        try:
            return str(self.view[at:end], "utf-8")
        except UnicodeDecodeError as error:
            raise ModelFileError(
                f"byte {at}: {message}.{field.name} is not UTF-8 text ({error.reason})"
                + DAMAGED
            ) from None

    def block(self, field: Field, wire: int, at: int, end: int) -> list | np.ndarray:
        """Numbers of one repeated field that came as one block."""
        if wire == _VARINT:
            numbers = []
            while at < end:
                self.count(1)
                number, at = self.varint(at, end)
                numbers.append(_signed(number))
            return numbers
        if (end - at) % 4:
            raise ModelFileError(
                f"byte {at}: {field.name} has {end - at} bytes, not a multiple of 4"
                + DAMAGED
            )
        return np.frombuffer(self.view[at:end], "<f4")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        number = shift = 0
        while at < end and shift < 70:
            byte = self.view[at]
            at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise ModelFileError(f"byte {at}: a number does not end" + DAMAGED)

    def need(self, at: int, size: int, end: int, message: str, field: Field) -> None:
        if size > end - at:
            raise ModelFileError(
                f"byte {at}: {message}.{field.name} is said to have {size} bytes, but "
                f"only {end - at} follow" + DAMAGED
            )

    def count(self, number: int) -> None:
        self.fields += number
        if self.fields > MAX_FIELDS:
            raise ModelFileError(
                f"the file has more than {MAX_FIELDS} fields (numbers, texts, messages), "
                "far more than a network needs" + DAMAGED
            )


def _meaning(message: str, field: Field) -> str:
    return REFUSED.get(field.name, f"the field {field.name} of {message}")


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def encode(message: str, fields: dict) -> bytes:
    """The bytes of a message, from a dictionary as `decode` returns it.

    >>> decode("Opset", encode("Opset", {"domain": "ai.onnx", "version": 18}))
    {'domain': 'ai.onnx', 'version': 18}
    """
    numbers = {field.name: (number, field) for number, field in SCHEMA[message].items()}
    parts = []
    for name, value in fields.items():
        number, field = numbers[name]
        for item in value if field.is_repeated else [value]:
            parts.append(_encoded(number, field.kind, item))
    return b"".join(parts)


def _encoded(number: int, kind: str, value) -> bytes:
    if kind == "int":
        return _varint(number << 3 | _VARINT) + _varint(int(value) % (1 << 64))
    if kind == "float":
        return _varint(number << 3 | _FIXED32) + struct.pack("<f", value)
    if kind == "text":
        value = value.encode()
    elif kind != "bytes":
        value = encode(kind, value)
    return b"".join([_varint(number << 3 | _BYTES), _varint(len(value)), value])


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    result.append(number)
    return bytes(result)
