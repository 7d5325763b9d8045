"""Random networks: Keras, a stock ONNX Runtime and ours agree, layer by layer."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import larqlite as lq
import larqlite_runtime
from tests.common.samples import few_or_more
from tests.deploy.inside_a_file import metadata, tensors
from tests.deploy.keras_and_file import export, with_random_weights
from tests.deploy.random_networks import networks


@pytest.mark.parametrize("examples", few_or_more(10, 60))
def test_each_packed_layer_gives_what_keras_gives_for_the_same_input(
    examples, tmp_path_factory
):
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(network=networks())
    def check(network):
        check_network(network, tmp_path_factory)

    check()


def check_network(network, tmp_path_factory) -> None:
    model = with_random_weights(network)
    path = tmp_path_factory.mktemp("random") / "model.onnx"
    report = export(model, path)
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes
    entries = metadata(path)["larqlite.layers"]
    (given,) = model.input_names
    x = np.random.default_rng(2).normal(size=(3, *model.input_shape[1:]))
    x = x.astype(np.float32)
    roles = ("input", "quantized", "accumulator", "output")
    names = {entry[role] for entry in entries for role in roles} - {None, given}
    found = tensors(path, x, names)
    for entry in entries:
        check_layer(model, entry, found | {given: x})
    runtime = larqlite_runtime.load(path).run(x)
    for name in model.output_names:
        close(runtime[name], found[name])


def check_layer(model, entry, found) -> None:
    layer = model.get_layer(entry["layer"])
    is_image = hasattr(layer, "data_format")

    def in_keras(role) -> np.ndarray:
        name, array = entry[role], found[entry[role]]
        outside = {*model.input_names, *model.output_names}
        return np.moveaxis(array, 1, -1) if is_image and name not in outside else array

    before, quantized = in_keras("input"), in_keras("quantized")
    if layer.input_quantizer is not None:
        expected = layer.input_quantizer(before).numpy()
        np.testing.assert_array_equal(quantized, expected)
    if entry["accumulator"] is not None:
        sums = found[entry["accumulator"]]
        np.testing.assert_array_equal(sums, np.rint(sums))
    if entry["output"] is not None:
        close(in_keras("output"), layer(before).numpy())


def close(found, expected) -> None:
    assert found.shape == expected.shape
    largest = max(abs(expected).max(), 1e-3)
    np.testing.assert_allclose(found / largest, expected / largest, rtol=0, atol=1e-5)
