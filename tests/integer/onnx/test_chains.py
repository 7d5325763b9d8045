"""Random chains of operators: every integer exact, and near to float with 16 bits."""

import numpy as np
from hypothesis import given, settings, strategies as st

from larqlite.integer.onnx import quantize_onnx
from tests.integer.onnx.networks import images, model_of
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

# Of a tensor {0}, to {1}; with the kernels that the chain makes for it.
SAME_SIZE = (
    "{1} = Relu ({0})",
    "{1} = Sigmoid ({0})",
    "{1} = LeakyRelu <alpha = 0.2> ({0})",
    "{1} = HardSigmoid ({0})",
    "{1} = PRelu ({0}, slope_{2})",
    "{1}_h = HardSigmoid ({0}) {1} = Mul ({0}, {1}_h)",
    "{1} = Conv <pads = [1, 1, 1, 1]> ({0}, conv_{2}, bias_{2})",
    "{1} = Conv <pads = [1, 1, 1, 1], group = {2}> ({0}, depthwise_{2})",
    "{1}_c = Conv ({0}, point_{2}) {1}_m = Mul ({1}_c, two) {1} = Add ({1}_m, slope_{2})",
    "{1} = Add ({0}, {3})",
    "{1} = Sub ({0}, {3})",
    "{1} = Mul ({0}, {3})",
    "{1} = Sum ({0}, {3}, {0})",
    "{1}_g = GlobalAveragePool ({0}) {1}_s = Sigmoid ({1}_g) {1} = Mul ({0}, {1}_s)",
    "{1}_g = GlobalMaxPool ({0}) {1}_s = Tanh ({1}_g) {1} = Mul ({0}, {1}_s)",
    "{1}_p = Pad ({0}, around) {1} = MaxPool <kernel_shape = [3, 3]> ({1}_p)",
    "{1}_t = Transpose <perm = [0, 1, 3, 2]> ({0}) {1} = "
    "Transpose <perm = [0, 1, 3, 2]> ({1}_t)",
)
OTHER_SIZE = (
    ("{1} = Concat <axis = 1> ({0}, {3})", 2, 1),
    ("{1}_a, {1} = Split <axis = 1, num_outputs = 2> ({0})", 0.5, 1),
    ("{1} = ConvTranspose <strides = [2, 2]> ({0}, spread_{2})", 1, 2),
    ('{1} = Resize <mode = "nearest"> ({0}, , by_two)', 1, 2),
    ("{1} = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> ({0})", 1, 0.5),
    ("{1} = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> ({0})", 1, 0.5),
    ("{1} = DepthToSpace <blocksize = 2> ({0})", 0.25, 2),
    ("{1} = SpaceToDepth <blocksize = 2> ({0})", 4, 0.5),
)


@st.composite
def chains(draw):
    """The text of a network, and its weights."""
    channels, size, name, before = 4, 4, "x", "x"
    text, random = [], np.random.default_rng(draw(st.integers(0, 99)))
    weights = {
        "two": np.float32(2),
        "around": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "by_two": np.float32([1, 1, 2, 2]),
    }
    for step in range(draw(st.integers(1, 5))):
        new = f"t{step}"
        fitting = [
            item
            for item in OTHER_SIZE
            if 1 <= channels * item[1] <= 16 and channels * item[1] % 1 == 0
            if 2 <= size * item[2] <= 8
        ]
        same = [(operation, 1, 1) for operation in SAME_SIZE]
        operation, more, larger = draw(st.sampled_from(same + fitting))
        text.append(operation.format(name, new, channels, before))
        shapes = {
            "slope": (channels, 1, 1),
            "conv": (channels, channels, 3, 3),
            "depthwise": (channels, 1, 3, 3),
            "point": (channels, channels, 1, 1),
            "spread": (channels, channels, 2, 2),
            "bias": (channels,),
        }
        for key, shape in shapes.items():
            scale = 0.5 if key in ("slope", "bias") else 1 / np.sqrt(np.prod(shape[1:]))
            values = random.normal(size=shape, scale=scale).astype(np.float32)
            weights.setdefault(f"{key}_{channels}", values)
        is_same = more == larger == 1
        channels, size = int(channels * more), int(size * larger)
        name, before = new, (name if is_same else new)
    text.append(f"y = Conv ({name}, last)")
    last = random.normal(size=(3, channels, 1, 1), scale=channels**-0.5)
    weights["last"] = last.astype(np.float32)
    body = " ".join(text)
    words = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return body, {key: value for key, value in weights.items() if key in words}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(chains(), st.booleans())
def test_random_chains_are_exact_to_the_bit(chain, per_tensor):
    body, weights = chain
    model = model_of(body, weights, "float[N, 4, 4, 4] x", "float[N, 3, H, W] y")
    samples = images(16, 4, 4, 4)
    wanted = run(model, samples)[0]
    for bits in (8, 16):
        quantized = quantize_onnx(
            model,
            samples=samples,
            activation_bits=bits,
            weight_bits=bits,
            input_weight_bits=bits,
            per_tensor_activations=per_tensor,
        )
        assert {n.domain for n in quantized.graph.node} == {"ai.larqlite"}
        assert_every_integer_is_exact(quantized, samples[:4])
    error = np.linalg.norm(run(quantized, samples)[0] - wanted)
    assert error <= 0.01 * np.linalg.norm(wanted) + 1e-6
