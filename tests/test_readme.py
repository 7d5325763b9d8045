"""What the README and CONTRIBUTING say is true: code runs, commands and files exist."""

import re
import shlex
from pathlib import Path

import pytest

import larqlite as lq
from larqlite import cli, demo
from larqlite_zoo import _train_command, cli as zoo_cli

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text):
    lines = "".join(blocks(text, "sh")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_python_of_the_readme_runs_from_top_to_bottom(run_fork, tmp_path):
    code = "\n".join(blocks(README, "python"))
    printed = run_fork(
        f"""{code}
assert set(abs(weights.quantized).ravel()) == {{1.0}}
assert abs(weights.latent).max() <= 1
frozen_kernel = tf_keras.models.load_model("frozen.keras").get_layer("quant_dense_1").kernel
assert (frozen_kernel.numpy() == weights.quantized).all()
print("last accuracy", history_of_fit[-1])
""".replace("model.fit(", "history_of_fit = model.fit(", 1).replace(
            "validation_data=(x_test, y_test))",
            'validation_data=(x_test, y_test)).history["val_accuracy"]',
            1,
        )
    )
    assert float(printed.split("last accuracy")[-1]) > 0.75
    assert re.search(r"quant_dense_3 .* 640 ", printed)
    for name in ("first_bnn.keras", "frozen.keras", "own.keras", "soft_sign.png"):
        assert (tmp_path / name).stat().st_size > 1000


def test_the_own_quantizer_takes_about_six_lines():
    (block,) = [b for b in blocks(README, "python") if "class SoftSign" in b]
    code = [line for line in block.splitlines() if line and "import" not in line]
    assert len(code) <= 7


@pytest.mark.parametrize("words", commands(README), ids=" ".join)
def test_a_command_of_the_readme_exists(words):
    program, *arguments = words
    assert program in ("pip", "make", "lq", "lqz")
    if program == "lq":
        assert callable(cli.parse(arguments).run)
    if program == "lqz":
        kind, *rest = arguments
        read = _train_command.parse if kind == "train" else zoo_cli.parse
        assert read(rest if kind == "train" else arguments)
    if program == "make":
        assert_targets_exist(arguments)


def test_the_make_targets_of_contributing_exist():
    for program, *arguments in commands(CONTRIBUTING):
        assert program == "make"
        assert_targets_exist(arguments)


def assert_targets_exist(targets):
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        variable, is_set, _ = target.partition("=")
        found = rf"\$\({variable}\)" if is_set else rf"^{target}:.* ## "
        assert re.search(found, makefile, re.MULTILINE), target


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_files_and_folders_that_are_named_exist(text):
    named = re.findall(
        r"`((?:larqlite|tests|docs|notebooks|benchmarks)/[\w./]*)`", text
    )
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert named
    built = ("docs/_build/html",)
    missing = [
        name
        for name in named + linked
        if name not in built and not (ROOT / name).exists()
    ]
    assert not missing


def test_the_figures_of_the_demo_are_those_of_its_network_and_its_record():
    profile = lq.models.profile(demo.build_network())
    assert f"{profile.deployed_bytes / 1024:.1f} KiB" in README
    assert f"{profile.memory_bits_float32 / 8 / 1024:.1f} KiB" in README
    assert f"| float twin | {demo.float_twin()['test_accuracy']:.4f} |" in README
    assert f"trained for\n{demo.Options().epochs} epochs" in README
