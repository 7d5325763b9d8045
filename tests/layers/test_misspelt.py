"""A misspelt argument of a Quant layer is answered with the one that was meant."""

import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnknownArgumentError

LAYERS = [
    name
    for name, kind in vars(lq.layers).items()
    if isinstance(kind, type) and getattr(kind, "quantized_weights", None)
]


def made(class_name, **arguments):
    kind = getattr(lq.layers, class_name)
    first = {"QuantDense": (4,)}.get(class_name, (4, 3))
    sizes = (3,) if "Depthwise" in class_name else first
    return kind(*sizes, **arguments)


@pytest.mark.parametrize("name", LAYERS)
def test_an_argument_that_no_layer_has(name):
    for wrong, meant in (
        ("input_quantiser", "input_quantizer"),
        ("activatoin", "activation"),
        ("biasconstraint", "bias_constraint"),
        ("nmae", "name"),
    ):
        with pytest.raises(
            UnknownArgumentError, match=f'Did you mean "{meant}"'
        ) as error:
            made(name, **{wrong: None})
        assert isinstance(error.value, TypeError)  # as Keras has it
        assert str(error.value).startswith(f"{name}: there is no argument {wrong}")
    for role in getattr(lq.layers, name).quantized_weights.values():
        wrong = role.replace("quantizer", "quantzer")
        with pytest.raises(UnknownArgumentError, match=f'Did you mean "{role}"'):
            made(name, **{wrong: "ste_sign"})


@pytest.mark.parametrize(
    ("argument", "wrong", "meant"),
    [
        ("bias_constraint", "weight_clp", "weight_clip"),
        ("bias_constraint", "non_ngative", "non_neg"),
        ("bias_initializer", "zeross", "zeros"),
        ("bias_regularizer", "l1l2", "l1_l2"),
        ("activation", "rleu", "relu"),
        ("activation", "ste_sing", "ste_sign"),
    ],
)
def test_a_name_that_nothing_has(argument, wrong, meant):
    for name in LAYERS:
        with pytest.raises(ArgumentError, match=f'[Mm]ean .*"{meant}"') as error:
            made(name, name="mine", **{argument: wrong})
        assert isinstance(error.value, ValueError)
        assert f'{name} "mine"' in str(error.value)


def test_other_mistakes_are_those_of_keras():
    with pytest.raises(ValueError, match="units"):
        lq.layers.QuantDense(-1)
    with pytest.raises(TypeError, match="units"):
        lq.layers.QuantDense()
    assert isinstance(lq.layers.QuantDense(2, input_dim=3), tf_keras.layers.Dense)
