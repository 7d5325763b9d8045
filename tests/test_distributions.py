"""Two distributions out of one repository: what is in each tree, and what its metadata says."""

import ast
import configparser
import email
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import larqlite
import larqlite_runtime
import larqlite_zoo
from larqlite_runtime import cli
from tools.release import build, check, emulated, pages, trees

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/larqlite/larqlite"
VERSION = larqlite_runtime.__version__
# What a user writes first, of all three packages; a type checker reads it.
SCRIPT = """
import numpy as np
import larqlite as lq
import larqlite_runtime
import larqlite_zoo

layer = lq.layers.QuantDense(10, input_quantizer="ste_sign")
model = larqlite_zoo.get("binary_vgg_small", weights=None)
lq.models.summary(model)
bytes_: int = lq.deploy.export(model, "net.onnx").weight_bytes
packed = larqlite_runtime.load("net.onnx", threads=1)
x = np.zeros((1, 28, 28, 1), np.float32)
print(packed(x).argmax(axis=-1), lq.quantizers.get("ste_sign"), packed.profile(x))
lq.qat.to_tflite(lq.qat.quantize_model(model), "net.tflite")
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Both trees, with what setuptools makes of them, by name of the distribution."""
    folder = tmp_path_factory.mktemp("trees")
    found = {
        "larqlite-runtime": trees.lay_runtime(folder / "runtime"),
        "larqlite": trees.lay_larqlite(folder / "larqlite"),
    }
    for tree in found.values():
        made = egg_info(tree)
        assert made.returncode == 0, made.stderr
    return found


def egg_info(tree: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "setup.py", "-q", "egg_info"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


def metadata(tree: Path) -> email.message.Message:
    (file,) = tree.glob("*.egg-info/PKG-INFO")
    return email.message_from_string(file.read_text("utf-8"))


def requirements(tree: Path, extra: str = "") -> dict[str, Requirement]:
    (file,) = tree.glob("*.egg-info/requires.txt")
    # [extra] or [:marker] above the lines of each; none above what is always required.
    sections = re.split(r"^\[(.*)\]$", f"[]\n{file.read_text('utf-8')}", flags=re.M)
    lines = dict(zip(sections[1::2], sections[2::2], strict=True))[extra]
    return {r.name: r for r in map(Requirement, lines.split())}


def commands(tree: Path) -> str:
    (file,) = tree.glob("*.egg-info/entry_points.txt")
    return file.read_text("utf-8")


def files_of(tree: Path) -> set[str]:
    return {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}


def test_the_runtime_needs_numpy_alone_and_onnxruntime_as_an_extra(staged):
    tree = staged["larqlite-runtime"]
    assert set(requirements(tree)) == {"numpy"}
    assert set(requirements(tree, "onnxruntime")) == {"onnxruntime"}
    assert "lq = larqlite_runtime.cli:main" in commands(tree)
    assert "lqz" not in commands(tree)


def test_larqlite_requires_the_runtime_of_its_own_version_and_leaves_it_lq(staged):
    tree = staged["larqlite"]
    found = requirements(tree)
    assert str(found["larqlite-runtime"]) == f"larqlite-runtime=={VERSION}"
    checkout = configparser.ConfigParser()
    checkout.read(ROOT / "setup.cfg")
    lines = checkout["options"]["install_requires"].split("\n")
    names = {Requirement(line).name for line in lines if line.strip()}
    assert set(found) == names | {"larqlite-runtime"}
    assert re.findall(r"^(\w+) = ", commands(tree), re.M) == ["lqz"]


def test_no_file_is_in_both_and_each_has_its_code(staged):
    runtime, larqlite_ = (files_of(tree) for tree in staged.values())
    installed = {name for name in runtime if name.startswith("larqlite_runtime/")}
    assert {"larqlite_runtime/py.typed", "larqlite_runtime/cli.py"} <= installed
    assert {"native/run.cc", "native/flags.txt", "LICENSE", "README.md"} <= runtime
    assert not any(
        name.startswith(("larqlite_runtime/", "native")) for name in larqlite_
    )
    assert {"larqlite/py.typed", "larqlite_zoo/py.typed", "LICENSE"} <= larqlite_
    assert not any(name.startswith(("tests", "docs")) for name in runtime | larqlite_)
    assert not any(name.endswith(".so") for name in runtime | larqlite_)
    # All that a checkout installs is in one of the two.
    for package in ("larqlite", "larqlite_runtime", "larqlite_zoo"):
        known = trees.known_files(package)
        assert set(known) <= runtime | larqlite_
        assert len(known) > 20


def test_both_have_the_version_and_addresses_of_the_repository(staged):
    for name, tree in staged.items():
        found = metadata(tree)
        assert (found["Name"], found["Version"]) == (name, VERSION)
        urls = dict(url.split(", ") for url in found.get_all("Project-URL"))
        assert {"Source", "Issues", "Documentation", "Changelog"} <= set(urls)
        assert all(url.startswith(REPOSITORY) for url in urls.values())
        classifiers = found.get_all("Classifier")
        for minor in range(10, 14):
            assert f"Programming Language :: Python :: 3.{minor}" in classifiers
        assert "Typing :: Typed" in classifiers
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["repository-code"] == trees.repository() == REPOSITORY
    assert citation["version"] == VERSION


def test_no_link_of_what_a_reader_sees_there_is_relative(staged):
    for tree in staged.values():
        text = metadata(tree).get_payload()
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        links = re.findall(r"\]\(([^)\s]+)|(?:src|srcset|href)=\"([^\"]+)", prose)
        targets = [a or b for a, b in links]
        assert targets
        assert [t for t in targets if not t.startswith(("https://", "#"))] == []
        within = [t for t in targets if t.startswith(f"{REPOSITORY}/")]
        paths = [re.sub(rf"^{REPOSITORY}/\w+/[^/]+/|#.*", "", t) for t in within]
        assert [path for path in paths if not (ROOT / path).exists()] == []


def test_links_become_absolute_but_for_those_in_code(tmp_path):
    for name in ("a.md", "b.svg", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    text = (
        "[one](a.md#part) ![two](b.svg) [three](#here) [four](https://x.example/a.md)\n"
        '<img alt="x" src="c.png"> [five](folder/)\n[six]: a.md\n'
        "```python\nrows[0](a.md)\n```\n"
    )
    assert pages.with_absolute_links(text, tmp_path, "https://h/r", "v1") == (
        "[one](https://h/r/blob/v1/a.md#part) ![two](https://h/r/raw/v1/b.svg) "
        "[three](#here) [four](https://x.example/a.md)\n"
        '<img alt="x" src="https://h/r/raw/v1/c.png"> [five](https://h/r/tree/v1/folder)\n'
        "[six]: https://h/r/blob/v1/a.md\n```python\nrows[0](a.md)\n```\n"
    )
    with pytest.raises(ValueError, match=r"leads to gone\.md, which is not there"):
        pages.with_absolute_links("[x](gone.md)", tmp_path, "https://h/r", "v1")


def test_a_tree_without_the_runtime_and_without_a_version_is_refused(tmp_path, staged):
    tree = staged["larqlite"]
    for name in ("setup.py", "README.md"):
        (tmp_path / name).write_bytes((tree / name).read_bytes())
    (tmp_path / "setup.cfg").write_bytes((ROOT / "setup.cfg").read_bytes())
    result = egg_info(tmp_path)
    assert result.returncode
    assert "takes the version from larqlite_runtime, which is not here" in result.stderr
    assert "Fix: build in a checkout" in result.stderr


def test_conda_recipes_ask_for_what_pip_is_asked_for(staged):
    other_names = {"matplotlib": "matplotlib-base"}
    for name, tree in staged.items():
        text = (ROOT / f"packaging/conda/{name}/recipe.yaml").read_text("utf-8")
        recipe = yaml.safe_load(text)
        assert recipe["context"]["version"] == VERSION
        run = recipe["requirements"]["run"]
        asked = dict(line.partition(" ")[::2] for line in run)
        found = requirements(tree)
        names = {other_names.get(one, one) for one in found}
        assert names == set(asked) - {"python"}
        for one, requirement in found.items():
            if one != "larqlite-runtime":
                bounds = asked[other_names.get(one, one)].split(",")
                assert sorted(bounds) == sorted(str(requirement.specifier).split(","))
        points = recipe["build"]["python"]["entry_points"]
        assert all(line in commands(tree) for line in points)


def test_a_command_of_larqlite_names_it_where_the_runtime_is_alone(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "larqlite", None)  # an import fails
    file = str(ROOT / "tests" / "golden" / "deploy_ternary.onnx")
    lines = {
        "lq summary": ["summary", "x.keras"],
        "lq completion": ["completion", "bash"],
        "lq benchmark --model": ["benchmark", file, "--model", "x.keras"],
    }
    for what, words in lines.items():
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert f"{what} needs larqlite, which is not installed here" in printed
        assert "Fix: pip install larqlite\n" in printed


def test_flags_of_the_kernels_keep_the_rounding_of_numpy():
    assert "-ffp-contract=off" in (ROOT / "native" / "flags.txt").read_text("utf-8")
    assert build.MOST_BYTES == 600_000


def test_kernels_of_a_wheel_show_what_python_calls_and_nothing_of_libcxx(
    tmp_path, monkeypatch
):
    """The command of the release, its compiler and one source exchanged."""
    if not (compiler := shutil.which("g++")) or not shutil.which("nm"):
        pytest.skip("needs g++ and nm")
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "one.cc").write_text(
        "#include <vector>\nstd::vector<int> held;\nvoid unused() {}\n"
        'extern "C" int lq_abi() { held.push_back(1); return 1; }\n'
    )
    (tmp_path / "native" / "flags.txt").write_text("-std=c++17")
    (tmp_path / "larqlite_runtime").mkdir()
    run, commands = subprocess.run, []
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda words, **_: commands.append(words))
        library = build.compile_kernels(tmp_path / "native", "x86_64", tmp_path)
    (command,) = commands
    target = command.index("-target")
    assert "-Wl,--gc-sections" in command[target:]
    run([compiler, *command[target + 2 :]], check=True)
    shown = run(["nm", "-D", "--defined-only", library], capture_output=True, text=True)
    names = [line.split()[-1] for line in shown.stdout.splitlines()]
    assert names == ["lq_abi"]


def untyped(function: ast.FunctionDef) -> bool:
    """What a type checker calls untyped: no annotation at all."""
    a = function.args
    several = filter(None, (a.vararg, a.kwarg))
    arguments = (*a.posonlyargs, *a.args, *a.kwonlyargs, *several)
    return function.returns is None and not any(one.annotation for one in arguments)


def test_public_functions_and_constructors_are_typed():
    """A call of one without types is an error in a user's strictly typed program."""
    public = (
        larqlite_runtime, larqlite_zoo, larqlite.layers, larqlite.quantizers,
        larqlite.optimizers, larqlite.metrics, larqlite.models, larqlite.deploy,
        larqlite.qat, larqlite.qat.quantizers, larqlite.datasets, larqlite.plot,
        larqlite.integer.models, larqlite.integer.layers, larqlite.integer.export,
    )  # fmt: skip
    names = {
        (home.__module__, home.__qualname__)
        for package in public
        for home in (getattr(package, name) for name in package.__all__)
        if getattr(home, "__module__", "").startswith("larqlite")
        and hasattr(home, "__qualname__")
    }
    assert len(names) > 150
    found = []
    for module in sorted({module for module, _ in names}):
        tree = ast.parse(Path(sys.modules[module].__file__).read_text("utf-8"))
        for node in tree.body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                continue
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            made = [f for f in inside if isinstance(f, ast.FunctionDef)]
            made = [f for f in made if f is node or f.name == "__init__"]
            if (module, node.name) in names and any(map(untyped, made)):
                found.append(f"{module}.{node.name}")
    assert found == []


def test_only_files_that_git_knows_are_changes_and_others_are_named(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(trees, "ROOT", tmp_path)
    for name in ("native", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "known").touch()
    for words in (
        ("init", "--quiet"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=b", "commit", "--quiet", "-m", "c"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "native" / "new.cc").touch()
    (tmp_path / "notes" / "new").touch()
    assert trees.uncommitted() == []
    assert trees.unknown() == ["native/new.cc"]
    (tmp_path / "notes" / "known").write_text("changed")
    assert trees.uncommitted() == [" M notes/known"]


def test_what_a_program_of_the_release_says_is_in_the_error(tmp_path, monkeypatch):
    for name in (emulated.QEMU, "dpkg", "apt-get"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\necho E: no such host >&2\nexit 100\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with pytest.raises(ValueError, match=r"apt-get update failed:\nE: no such host"):
        emulated.runtime(tmp_path / "a.whl", tmp_path / "work")
    with pytest.raises(ValueError, match="E: no such host"):
        check.run("apt-get", "download")


@pytest.mark.slow
def test_a_strict_type_checker_finds_nothing_in_a_first_script(tmp_path):
    pytest.importorskip("mypy", reason="mypy is in the extra `dev`")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    result = subprocess.run(
        [*command, "--cache-dir", tmp_path / "cache", "script.py"],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_a_wheel_of_the_runtime_is_for_every_python_and_holds_the_kernels(tmp_path):
    """Compiled here, as pip does it with the source distribution."""
    tree = trees.lay_runtime(tmp_path / "tree")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir"]
    ran = subprocess.run([*command, tmp_path, tree], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(rf"larqlite_runtime-{VERSION}-py3-none-\w+\.whl", wheel.name)
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target"]
    subprocess.run([*install, site, wheel], check=True, capture_output=True)
    code = (
        "import larqlite_runtime as r; from larqlite_runtime.backends import _native; "
    )
    code += "print(r.__file__, _native.choose_isa())"
    run = [sys.executable, "-c", code]
    printed = subprocess.check_output(
        run, text=True, cwd=tmp_path, env={"PYTHONPATH": site}
    )
    where, isa = printed.split()
    assert Path(where).is_relative_to(site)
    assert isa != "numpy"
