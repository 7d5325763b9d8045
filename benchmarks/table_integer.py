"""Rows of integer models: larqlite.integer against QuantizeML, and against float models."""

from rows import Row, Side

PARTS = {
    "quantize": ("quantize() of a CNN with 57,058 parameters, 256 samples", 0.20),
    "first_call": ("first call of the quantized CNN", 0.25),
    "save_and_load": ("save and load of the quantized CNN (.h5)", 0.16),
}
INFERENCE_GOALS = {64: 1.1, 1: 2.0}
CALLS = {"function": "compiled call", "predict": "predict_on_batch"}
FORMS = {
    "frozen": ("larqlite", "frozen", "frozen integer CNN"),
    "": ("larqlite", "inference", "trainable integer CNN"),
    "quantizeml": ("quantizeml", "inference", "CNN of QuantizeML"),
}
# Rows that only tell where the reference is have nothing to reach.
ANYTHING = 100.0


def _once(part: str) -> Row:
    what, reach = PARTS[part]
    options = {"part": part}
    return Row(
        f"integer_{part}",
        f"{what}, once per process, against QuantizeML",
        "integer",
        Side("larqlite", options),
        Side("quantizeml", options),
        reach=reach,
        rounds=5,
    )


def _inference(form: str, batch_size: int, call: str) -> Row:
    options = {"batch_size": batch_size, "call": call}
    library, part, whose = FORMS[form]
    name = f"integer_{call}_{batch_size}{f'_{form}' if form else ''}"
    what = f"{CALLS[call]} of the {whose}, batch {batch_size}, against its float CNN"
    return Row(
        name,
        what,
        "integer",
        Side(library, {"part": part, **options}),
        Side(library, {"part": "float", **options}),
        reach=ANYTHING if library == "quantizeml" else INFERENCE_GOALS[batch_size],
        steps=640 // batch_size if batch_size > 1 else 50,
        agree=None,
    )


INTEGER = (
    *map(_once, PARTS),
    *(
        _inference(form, batch_size, call)
        for call in CALLS
        for batch_size in INFERENCE_GOALS
        for form in FORMS
    ),
)
