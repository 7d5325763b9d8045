"""Rows of 8-bit inputs against kernels of few bits: peaks, bandwidth, other forms."""

from rows import Row, Side

ISA = "avx512"
FEATURES = CHANNELS = 2048
PRODUCTS = FEATURES * CHANNELS
# Bytes of the kernel: 2 bits a weight; 1 bit, 15 of which take 16.
BYTES = {"CONV_CODES": PRODUCTS // 4, "CONV_LOOKUPS": 64 * 137 * 64}
NAMES = {"CONV_CODES": "ternary", "CONV_LOOKUPS": "1-bit"}
# Of the peak of products of bytes; the form by tables has more than one a byte.
GOALS = {"CONV_CODES": 0.90, "CONV_LOOKUPS": 1.4}


def _side(what: str, **options) -> Side:
    return Side("larqlite", {"what": what, "isa": ISA, **options})


def _step(kind: str, batch: int, **options) -> Side:
    bits = 2 if kind == "CONV_CODES" else 1
    return _side("step", kind=kind, batch=batch, **{"bits": bits, **options})


def _row(
    name: str, what: str, ours: Side, other: Side, reach: float, steps: int
) -> Row:
    return Row(
        f"codes_{name}",
        what,
        "codes",
        ours,
        other,
        reach=reach,
        steps=steps,
        agree=None,
    )


def _gemm(kind: str, batch: int) -> Row:
    return _row(
        f"gemm_{NAMES[kind]}_{batch}",
        f"{batch}x2048x2048, {NAMES[kind]} kernel, against the peak of products of bytes",
        _step(kind, batch),
        _side("peak", products=PRODUCTS * batch),
        1 / GOALS[kind],
        max(4, 256 // batch),
    )


def _gemv(kind: str) -> Row:
    return _row(
        f"gemv_{NAMES[kind]}",
        f"2048x2048 times one vector, {NAMES[kind]} kernel, against ONNX Runtime's int8",
        _step(kind, 1),
        _side("int8", batch=1),
        0.45,
        1000,
    )


def _cold(kind: str) -> Row:
    return _row(
        f"gemv_cold_{NAMES[kind]}",
        f"the same, {NAMES[kind]} kernel from memory, against reading it",
        _step(kind, 1, cold=True),
        _side("read", size=BYTES[kind]),
        1 / 0.85,
        1000,
    )


def _counted(planes: int, bits: int) -> Row:
    """Which form is faster from how many bits on, of inputs and of kernels."""
    kind = "CONV_LOOKUPS" if bits == 1 else "CONV_CODES"
    return _row(
        f"counted_{planes}_{bits}",
        f"32x2048x2048, {planes}-bit inputs, {bits}-bit kernel: codes against planes of bits",
        _step(kind, 32, bits=bits),
        _side("step", kind="CONV", batch=32, bits=bits, planes=planes),
        1.0,
        10,
    )


CODES = (
    *(_gemm(kind, batch) for kind in GOALS for batch in (32, 256)),
    *map(_gemv, GOALS),
    *map(_cold, GOALS),
    *(_counted(planes, 1) for planes in (3, 4, 8)),
    *(_counted(planes, 2) for planes in (2, 3, 4)),
)
