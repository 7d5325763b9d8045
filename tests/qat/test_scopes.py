"""Objects of one's own are known by name in a scope, and larqlite's take no other's name."""

import pytest
import tf_keras

from larqlite import qat
from tests.qat.error_cases import dense, sequential


class Doubled(tf_keras.regularizers.Regularizer):
    """Keras writes its name into a config, and does not know it."""

    def __call__(self, x):
        return 2.0 * tf_keras.backend.sum(x)

    def get_config(self):
        return {}


def test_a_keras_object_of_ones_own_needs_no_scope_within_the_process():
    model = sequential(dense(kernel_regularizer=Doubled()))
    quantized = qat.quantize_model(model)
    assert type(quantized.layers[-1].layer.kernel_regularizer) is Doubled


@pytest.mark.slow
def test_a_custom_object_outside_of_the_scope_is_named_when_a_file_is_read(
    tmp_path, run_fork
):
    path = str(tmp_path / "model.keras")
    own = """
    import numpy as np, tf_keras
    from larqlite import qat
    class Mine(qat.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return [(layer.kernel, qat.quantizers.LastValueQuantizer())]
        def get_activations_and_quantizers(self, layer):
            return []
        def get_output_quantizers(self, layer):
            return []
    """
    run_fork(
        own
        + f"""
    dense = tf_keras.layers.Dense(2, input_shape=(3,))
    model = tf_keras.Sequential([qat.quantize_annotate_layer(dense, Mine())])
    qat.quantize_apply(model, calibrate=np.ones((4, 3))).save({path!r})
    """
    )
    with pytest.raises((ValueError, TypeError), match="Mine"):
        tf_keras.models.load_model(path)
    said = run_fork(
        own
        + f"""
    with qat.quantize_scope({{"Mine": Mine}}):
        model = tf_keras.models.load_model({path!r})
    print(model.layers[-1].quantize_config.__class__.__name__)
    """
    )
    assert said.split()[-1] == "Mine"


def test_no_name_of_another_library_is_taken():
    taken = {
        name: obj
        for name, obj in tf_keras.saving.get_custom_objects().items()
        if getattr(obj, "__module__", "").startswith("larqlite.qat")
    }
    bare = {name for name in taken if not name.startswith("larqlite>")}
    assert bare == {"QuantizedActivation"}
    assert {"larqlite>QuantizeWrapperV2", "larqlite>LastValueQuantizer"} < set(taken)
