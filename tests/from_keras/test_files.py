"""Files that Keras 3 saved in another process come in after `import larqlite` alone."""

from __future__ import annotations

import json

import numpy as np

SAVING = """
    import keras, numpy as np
    K = keras.layers
    keras.utils.set_random_seed(1)

    def filled(model):
        rng = np.random.default_rng(0)
        for w in model.weights:
            w.assign(abs(rng.normal(size=w.shape)) + 0.1)
        return model

    cnn = [keras.Input((8, 8, 3)), K.Conv2D(4, 3, activation="hard_silu"),
           K.BatchNormalization(), K.GlobalAveragePooling2D(), K.Dense(3, "softmax")]
    cnn = filled(keras.Sequential(cnn))
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = K.Dense(6, "hard_sigmoid")
    inner = keras.Model(a, shared(shared(a)) * 2, name="inner")
    mixed = filled(keras.Model({"a": a, "b": b}, [inner(a) + inner(b), K.Dense(2)(b)]))
    words = keras.Input((5,), dtype="int32")
    x = K.SimpleRNN(3)(K.Embedding(9, 4, mask_zero=True)(words))
    text = filled(keras.Model(words, x))
    x = np.linspace(-1, 1, 2 * 8 * 8 * 3, dtype="float32").reshape(2, 8, 8, 3)
    v = np.linspace(-2, 2, 12, dtype="float32").reshape(2, 6)
    i = np.array([[1, 2, 3, 0, 0], [4, 0, 8, 0, 1]], "int32")
    cnn.save("cnn.keras"), cnn.save("cnn.h5"), mixed.save("mixed.keras"), text.save("text.keras")
    np.savez("expected.npz", cnn=cnn(x), sum=mixed({"a": v, "b": -v})[0], text=text(i))
"""

READING = """
    import json
    import larqlite as lq
    import numpy as np
    expected = np.load("expected.npz")
    x = np.linspace(-1, 1, 2 * 8 * 8 * 3, dtype="float32").reshape(2, 8, 8, 3)
    v = np.linspace(-2, 2, 12, dtype="float32").reshape(2, 6)
    i = np.array([[1, 2, 3, 0, 0], [4, 0, 8, 0, 1]], "int32")
    given = {"cnn.keras": x, "cnn.h5": x, "mixed.keras": {"a": v, "b": -v}, "text.keras": i}
    for name, values in given.items():
        ours = lq.models.from_keras(name)(values)
        key = {"cnn": "cnn", "mix": "sum", "tex": "text"}[name[:3]]
        ours = ours[0] if key == "sum" else ours
        print(json.dumps([name, float(np.abs(ours - expected[key]).max())]))
"""


def test_files_of_another_process_come_in_after_importing_larqlite_alone(run_fork):
    run_fork(SAVING)
    lines = run_fork(READING).strip().splitlines()[-4:]
    found = dict(map(json.loads, lines))
    assert set(found) == {"cnn.keras", "cnn.h5", "mixed.keras", "text.keras"}
    assert np.max(list(found.values())) < 1e-5
