"""Scopes: reads inside and outside, exceptions, threads, tracing, and what is refused."""

import threading

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq


def layer():
    layer = lq.layers.QuantDense(
        2,
        use_bias=False,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )
    layer.build((None, 1))
    layer.kernel.assign([[0.5, -0.25]])
    return layer


@pytest.mark.parametrize("scope", [True, False])
def test_a_scope_is_restored_by_an_exception(scope):
    with lq.context.quantized_scope(not scope):
        with pytest.raises(RuntimeError, match="inside"):
            with lq.context.quantized_scope(scope):
                raise RuntimeError("inside")
        assert lq.context.should_quantize() is not scope


def test_metrics_of_nested_scopes_add_up_and_are_restored_by_an_exception():
    with lq.context.metrics_scope(["flip_ratio"]) as outer:
        with lq.context.metrics_scope() as inner:
            assert inner == outer == {"flip_ratio"}
            assert lq.context.get_training_metrics() is inner
    with pytest.raises(RuntimeError, match="inside"):
        with lq.context.metrics_scope(["flip_ratio"]):
            raise RuntimeError("inside")
    assert lq.context.get_training_metrics() == set()


def test_an_unknown_metric_is_named_with_those_there_are():
    with pytest.raises(lq.errors.ArgumentError, match=r"flip_ration.*flip_ratio"):
        with lq.context.metrics_scope(["flip_ration"]):
            pass


def test_another_thread_starts_outside_unless_the_scope_is_carried():
    seen = []

    def look():
        seen.append(lq.context.should_quantize())

    with lq.context.quantized_scope(True):
        for target in (look, lq.context.carry(look)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [False, True]


def test_threads_do_not_see_each_others_scopes():
    kernel, results = layer().kernel, {}
    barrier = threading.Barrier(2)

    def read(quantize):
        with lq.context.quantized_scope(quantize):
            barrier.wait()
            results[quantize] = kernel.numpy().tolist()
            barrier.wait()

    threads = [threading.Thread(target=read, args=(q,)) for q in (True, False)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == {True: [[1.0, -1.0]], False: [[0.5, -0.25]]}


def test_a_function_traced_outside_stays_latent_inside():
    kernel = layer().kernel
    read = tf.function(lambda: tf.identity(kernel))
    outside = read().numpy()
    with lq.context.quantized_scope(True):
        np.testing.assert_array_equal(read(), outside)
        np.testing.assert_array_equal(kernel, [[1, -1]])


def test_fitting_inside_of_the_scope_is_refused_and_leaves_the_model_trainable():
    model = tf_keras.Sequential([tf_keras.Input((1,)), layer()])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    x, y = np.ones((2, 1)), np.zeros((2, 2))
    with pytest.raises(lq.errors.LatentWeightError, match="compile the model again"):
        with lq.context.quantized_scope(True):
            model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before)
    model.compile("sgd", "mse")  # Keras keeps a train function whose tracing failed
    model.fit(x, y, verbose=0)
    after = model.get_weights()[0]
    assert not np.array_equal(after, before)
    assert not np.array_equal(abs(after), np.ones_like(after))
