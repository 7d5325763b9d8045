"""Files of earlier commits load: their modules have moved since, their classes have not.

`tests/fixtures/make_earlier_files.py` has written the files.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "larqlite_c580aa7.zip"

CHECK = """
import pathlib, pickle
import numpy as np, tf_keras
import larqlite as lq

kept = np.load("outputs.npz")
x = kept["x"]

def check(path, load):
    name = path.stem
    model = load(path)
    for number, weight in enumerate(model.get_weights()):
        np.testing.assert_array_equal(weight, kept[f"{name}/{number:03}"], str(path))
    outputs = np.asarray(model(np.round(255 * x) if name == "integer" else x))
    # Sums of floats differ between processors: a rounded value may be a step off.
    steps = {"integer": 0.0, "quantization_aware": 0.1, "fixed": 4.0 / 255 * 1.01}
    np.testing.assert_allclose(
        outputs, kept[name], rtol=0, atol=steps.get(name, 1e-4), err_msg=str(path)
    )
    return model

"""


@pytest.fixture
def earlier(tmp_path):
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)


def test_models_of_earlier_commits_load_in_a_fresh_process(earlier, run_fork):
    said = run_fork(
        CHECK
        + """
paths = sorted(p for p in pathlib.Path().iterdir() if p.suffix in (".keras", ".h5"))
for path in paths:
    check(path, tf_keras.models.load_model)
    check(path, lq.models.load)
marked = tf_keras.models.load_model("annotated.keras")
print(len(paths), lq.qat.quantize_apply(marked, calibrate=x).layers[1].name)
"""
    )
    assert said.split() == ["8", "quant_dense"]


def test_deployed_files_and_pickles_of_earlier_commits_run(earlier, run_fork):
    run_fork(
        CHECK
        + """
for model in (
    lq.runtime.load("binary.onnx"),
    pickle.loads(pathlib.Path("running.pkl").read_bytes()),
):
    np.testing.assert_allclose(model(x), kept["binary"], rtol=0, atol=1e-4)
"""
    )
