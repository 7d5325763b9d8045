"""Methods of quantization by name: a quantizer of kernels and one of inputs, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from larqlite.errors import ArgumentError, near_matches
from larqlite.internal import Registry

FLOAT = "float"
# Name to the quantizers of kernels and of inputs.
_METHODS: dict[str, tuple[str, str]] = Registry()
# The same for methods of any width: {w} and {a} are the bits, as in "lsq_w2a4".
_FAMILIES: dict[str, tuple[str, str]] = Registry()
_WIDTHS = re.compile(r"(\w+)_w(\d+)a(\d+)")


@dataclass(frozen=True)
class Method:
    """How the layers of a network are quantized.

    Attributes:
        name: as it was asked for.
        kernel_quantizer, input_quantizer: what `lq.quantizers.get` takes, or "float".
    """

    name: str
    kernel_quantizer: str
    input_quantizer: str


def add_method(name: str, kernel_quantizer: str, input_quantizer: str) -> None:
    """Lists a method under a name, for `lqz sweep`.

    Args:
        name: of the method; of one of any width without it.
        kernel_quantizer: a name that `lq.quantizers.get` takes, with arguments if need be;
            "float" for none. With `{w}` in it, and `{a}` in that of inputs, the method is
            one of any width: its name is then followed by the bits, as in `lsq_w2a4`.
        input_quantizer: likewise.

    Example:
        >>> from larqlite_zoo import training
        >>> training.add_method("mine", "dorefa({w}, mode=\\"weights\\")", "dorefa({a})")
        >>> training.method("mine_w3a4").input_quantizer
        'dorefa(4)'
    """
    of_any_width = "{w}" in kernel_quantizer or "{a}" in input_quantizer
    table = _FAMILIES if of_any_width else _METHODS
    table[name] = kernel_quantizer, input_quantizer


def method(word: str) -> Method:
    """The method that a word means.

    Args:
        word: "float", a name of `method_names()`, that of a family with its widths, such
            as "lsq_w2a4", or two quantizers, "KERNEL/INPUT".

    Raises:
        ArgumentError: it means none; the message lists near matches.

    Example:
        >>> from larqlite_zoo import training
        >>> training.method("dorefa_w2a4").kernel_quantizer
        'dorefa(2, mode="weights")'
        >>> training.method("ste_sign/approx_sign").input_quantizer
        'approx_sign'
    """
    if word == FLOAT:
        return Method(word, FLOAT, FLOAT)
    if word in _METHODS:
        return Method(word, *_METHODS[word])
    widths = _WIDTHS.fullmatch(word)
    if widths and widths[1] in _FAMILIES:
        kernel, inputs = _FAMILIES[widths[1]]
        return Method(
            word,
            kernel.replace("{w}", widths[2]),
            inputs.replace("{a}", widths[3]),
        )
    kernel, slash, inputs = word.partition("/")
    if slash and kernel and inputs:
        return Method(word, kernel, inputs)
    raise ArgumentError(
        f'no method "{word}".{near_matches(word, method_names())}\n'
        f"  Fix: one of {', '.join(method_names())}; or two quantizers, KERNEL/INPUT, such "
        "as ste_sign/approx_sign."
    )


def method_names() -> list[str]:
    """Names of all methods, sorted; those of any width end in `_wNaN`.

    Example:
        >>> from larqlite_zoo import training
        >>> "lsq_wNaN" in training.method_names()
        True
    """
    return sorted([FLOAT, *_METHODS, *(f"{name}_wNaN" for name in _FAMILIES)])


# The papers' own pairs, or their quantizer of weights beside one of inputs that fits.
add_method("bnn", "ste_sign", "ste_sign")
add_method("xnor_net", "xnor_scale", "ste_sign")
add_method("xnor_net_plus", "xnor_plus", "ste_sign")
add_method("birealnet", "magnitude_aware_sign", "approx_sign")
add_method("bnn_plus", "swish_sign", "swish_sign")
add_method("ir_net", "libra", "ede_sign")
add_method("recu", "recu", "approx_sign")
add_method("reactnet", "magnitude_aware_sign", "rsign")
add_method("adabin", "adabin_weights", "adabin_activations")
add_method("binary_connect", "stochastic_sign", FLOAT)
add_method("ternary", "ste_tern", "ste_tern")
add_method("stochastic_ternary", "stochastic_ternary", "ste_tern")
add_method("ttq", "ttq", FLOAT)
add_method("bitnet", "absmean_ternary", "absmax_int8")
add_method("dorefa", 'dorefa({w}, mode="weights")', "dorefa({a})")
add_method("lsq", "lsq({w})", "lsq({a})")
add_method("lsq_plus", "lsq_plus({w})", "lsq_plus({a})")
add_method("pact", 'dorefa({w}, mode="weights")', "pact({a})")
add_method("lq_nets", "lq_levels({w})", "lq_levels({a})")
add_method("uniform", "uniform({w})", "uniform({a})")
add_method("int_symmetric", "int_symmetric({w})", "uniform({a})")
add_method("seq", "seq({w})", "lsq({a})")
