"""The site around the pages: pictures, tables, and the checks that `make docs-check` runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

import larqlite as lq
from larqlite_runtime.benchmark import Contestant
from tests.test_docs import DOCS, ROOT, load_extension
from tools.docs_site import (
    first_network,
    first_picture,
    links,
    outputs,
    shared_picture,
)
from tools.docs_site.questions import QUESTIONS

FIGURES = json.loads(first_picture.FIGURES.read_text(encoding="utf-8"))


@pytest.fixture
def extension(monkeypatch):
    """Loads a module of `docs/_ext` that imports its neighbours."""
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return load_extension


@pytest.mark.parametrize("name", first_picture.pictures(FIGURES))
def test_the_first_picture_is_drawn_from_its_figures(name):
    drawn = first_picture.pictures(FIGURES)[name]
    assert (first_picture.STATIC / name).read_text("utf-8") == drawn
    forms = len(FIGURES["forms"])
    bars = 3 * forms if "narrow" in name else 32 + 8 + 1 + 2 * forms
    assert drawn.count("<rect") == bars
    for row in FIGURES["forms"]:
        assert f"{row['milliseconds']:.3f} ms" in drawn
        assert first_picture.bytes_in_words(row["bytes"]) in drawn


def test_the_picture_of_shared_links_is_there_and_of_the_same_figures(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs the extra `docs`")
    settings = (DOCS / "conf.py").read_text(encoding="utf-8")
    named = re.search(r'^ogp_image = "(.*)"', settings, re.MULTILINE)[1]
    assert DOCS / named == first_picture.STATIC / shared_picture.NAME
    drawn = tmp_path / "drawn.png"
    shared_picture.draw(FIGURES, drawn)
    for path in (DOCS / named, drawn):
        with image.open(path) as picture:
            assert picture.size == (1200, 630)
            assert picture.text["Description"] == first_picture.in_a_sentence(FIGURES)
    for side in map(str, picture.size):
        assert f'content="{side}"' in settings
    assert (DOCS / named).stat().st_size < 100_000


def test_the_first_figures_say_when_and_on_what_they_were_measured():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", FIGURES["date"])
    assert FIGURES["machine"]
    for row in FIGURES["forms"]:
        low, high = row["quartiles"]
        assert low <= row["milliseconds"] <= high


def test_a_file_is_right_as_often_as_its_engine_says_one_image_at_a_time():
    def prepare(inputs):
        (image,) = inputs
        assert image.shape == (1, 2)
        assert image.dtype == np.float32
        return lambda: [np.eye(3)[image[:, 0].astype(int)]]

    engine = Contestant("any", "an engine", prepare)
    images = np.array([[2, 9], [0, 9], [1, 9], [1, 9]], np.uint8)
    assert first_network.right(engine, images, np.array([2, 0, 1, 0])) == 0.75


@pytest.mark.slow
def test_the_figures_are_of_the_files_and_not_of_their_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    plain = tf_keras.Sequential([tf_keras.Input((16,)), layers.Dense(3)])
    lq.deploy.export(plain, first_network.FLOAT)
    images = np.random.default_rng(0).integers(0, 256, (60, 16)).astype("float32")
    # Its ranges are of other images, so that its labels are not those of the model.
    aware = lq.qat.quantize_model(plain, calibrate=images / 64)
    lq.qat.to_tflite(aware, first_network.INT8)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    binary = [tf_keras.Input((16,)), lq.layers.QuantDense(3, **signs)]
    lq.deploy.export(tf_keras.Sequential(binary), first_network.BINARY)
    interpreter = Interpreter(first_network.INT8)
    interpreter.allocate_tensors()
    labels = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        (made,) = interpreter.get_output_details()
        labels.append(interpreter.get_tensor(made["index"]).argmax())
    found = first_network.measure("here", 0.02, images, np.array(labels))
    rows = {row["form"]: row for row in found["forms"]}
    assert rows["int8"]["accuracy"] == 1
    assert rows["float"]["accuracy"] == round(
        float(np.mean(plain.predict(images, verbose=0).argmax(-1) == labels)), 4
    )
    assert rows["float"]["accuracy"] < 1
    for row in rows.values():
        assert row["bytes"] == os.path.getsize(vars(first_network)[row["form"].upper()])


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">A</h1><a href="sub/page.html#here">b</a><a href="#top">c</a>'
        '<img src="picture.png"><a href="https://example.org/x">d</a>'
    )
    (tmp_path / "sub" / "page.html").write_text('<p id="here"></p><a href="../">e</a>')
    (tmp_path / "picture.png").touch()
    return tmp_path


def test_links_that_lead_somewhere_are_no_fault(site):
    assert links.broken(site) == []


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("sub/page.html#there", "has no such anchor"),
        ("#bottom", "has no such anchor"),
        ("sub/other.html", "is no file"),
        ("https://example.org/lq/blob/main/docs/nothing.md", "is no file of the"),
    ],
)
def test_a_link_that_leads_nowhere_is_named_with_its_page(site, link, why):
    index = site / "index.html"
    index.write_text(index.read_text() + f'<a href="{link}">f</a>')
    (fault,) = links.broken(site, "https://example.org/lq", ROOT)
    assert fault.startswith(f"index.html: {link} {why}")


@pytest.mark.parametrize(
    ("address", "is_there"),
    [
        ("picture.png", True),
        ("https://example.org/lq/picture.png", True),
        ("_static/picture.png", False),
        ("https://example.org/lq/other.png", False),
        ("", False),
    ],
)
def test_a_picture_of_shared_links_that_is_not_made_is_named(site, address, is_there):
    page = site / "sub" / "page.html"
    meta = f'<meta property="og:image" content="{address}">'
    page.write_text(meta + page.read_text())
    faults = links.broken(site)
    named = f"sub/page.html: {address} (og:image) is no file of the site"
    assert faults == ([] if is_there else [named])


def test_the_questions_are_many_and_their_answers_are_pages():
    assert len(QUESTIONS) >= 20
    for pages in QUESTIONS.values():
        for page in pages:
            assert any((DOCS / f"{page}.{end}").exists() for end in ("md", "rst")), page


def test_outputs_are_written_into_a_page_and_what_it_leaves_out_is_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\n1 + 1\n```\n\n```text\n3\n```\n\n"
        "```python\nprint('a\\nb')\n```\n\n```text\n...\nb\n```\n\n"
        "```python\n2.05\n```\n\n<!-- output: within 5% -->\n```text\n2.0\n```\n"
    )
    assert outputs.refresh_page(page) == []
    text = page.read_text()
    assert "```text\n2\n```" in text
    assert "```text\n...\nb\n```" in text
    assert "```text\n2.05\n```" in text
    page.write_text("```python\nprint('a')\n```\n\n```text\n...\nb\n```\n")
    (complaint,) = outputs.refresh_page(page)
    assert complaint.endswith("page.md:2 now prints\na\n")


def test_notebooks_are_kept_without_what_differs_from_run_to_run():
    nbformat = pytest.importorskip("nbformat", reason="needs the extra `docs`")
    home = tempfile.mkdtemp()
    output = nbformat.v4.new_output
    cell = nbformat.v4.new_code_cell(
        "x",
        outputs=[
            output("stream", name="stdout", text=f"wrote {home}/net.onnx\n"),
            output("stream", name="stderr", text="noise"),
            output(
                "display_data", data={"text/plain": "a", "text/html": "<pre>a</pre>"}
            ),
        ],
    )
    outputs.tidy(nbformat.v4.new_notebook(cells=[cell]))
    said, shown = cell.outputs
    assert said.text == "wrote net.onnx\n"
    assert dict(shown.data) == {"text/plain": "a"}


def test_no_page_shows_where_a_test_looked_away():
    """Sizes, accuracies and times are there to be read."""
    traces = re.compile(r"\(\.\.\. bytes\)|\.\.\. %|\.\.\.%|\.\.\. s \(|\(missed\)")
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in DOCS.rglob("*.md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if traces.search(line)
    ]
    assert found == []


def test_every_notebook_is_shown_with_its_outputs():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert any(cell.get("outputs") for cell in cells), path.name
        assert tempfile.gettempdir() not in path.read_text(encoding="utf-8")
        assert f"notebooks/{path.stem}\n" in (DOCS / "notebooks.md").read_text()


def test_the_table_of_small_networks_has_what_was_measured_here(extension):
    table = extension("zoo_tables").models_table("small")
    rows = [row for row in table.splitlines() if "VGGSmall" in row]
    assert len(rows) == 2
    for row in rows:
        assert re.search(r"9[23]\.\d+ / – \(Fashion-MNIST, measured here", row)


def test_the_picture_of_the_zoo_has_every_published_network(extension):
    zoo = extension("zoo_pictures")
    points = zoo.points_of("imagenet")
    drawn = zoo.scatter(points, "a title")
    assert len(points) > 15
    assert drawn.count("<circle") == len(points)
    quicknet = next(point for point in points if point.label == "QuickNet")
    assert (quicknet.top1, quicknet.low_bit) == (63.3, True)
    boxes = []
    for x, y, anchor, words in re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(start|end)">(\w*[a-z]\w*)<',
        drawn,
    ):
        width = zoo.LETTER * len(words)
        left = float(x) - (width if anchor == "end" else 0)
        boxes.append(zoo.Box(left, float(y) - 10, left + width, float(y) + 2))
    assert len(boxes) == len(points)
    for number, box in enumerate(boxes):
        assert not any(box.covers(other) for other in boxes[:number])


def test_benchmarks_are_told_as_times_faster_beside_a_peer(extension):
    benchmarks = extension("benchmark_table")
    results = [
        {
            "name": "lce_Net",
            "what": "Net (224x224)",
            "ours": {"library": "larqlite", "options": {}, "cpu": 0.002},
            "other": {"library": "lce", "options": {}, "cpu": 0.010},
            "cpu_ratio": 0.2,
            "cpu_ratio_quartiles": [0.19, 0.21],
            "reach": 0.1,
            "reached": False,
            "date": "2026-01-31",
            "machine": {
                "processor": "A",
                "cpus": 4,
                "peaks": {"fma": 58.0, "L2": 100.0},
            },
        }
    ]
    group = benchmarks.GROUPS[0]
    assert "5 to 5 times faster" in benchmarks.sentence_of(group, results)
    chart = benchmarks.chart_of(group, results)
    assert '<span class="bar-factor">5×</span>' in chart
    assert "2.000 ms; Larq Compute Engine: 10.0 ms" in chart
    assert "A, 4 CPUs, 2026-01-31" in chart
    peaks = benchmarks.peaks_of(results)
    assert "| float32 | 58 GMAC/s |" in peaks
    assert "| reading from L2 | 100 GB/s |" in peaks
    table = benchmarks.table_of(results)
    assert "| 0.200 | 0.190 to 0.210 |" in table
    assert "missed" not in table


def test_every_row_of_the_benchmarks_has_a_bar(extension):
    benchmarks = extension("benchmark_table")
    results = json.loads(benchmarks.RESULTS.read_text(encoding="utf-8"))["results"]
    drawn = [
        row["name"]
        for group in benchmarks.GROUPS
        for row in benchmarks.rows_of(group, results)
    ]
    assert len(drawn) == len(set(drawn))
    # What has no other side, or larqlite or the machine itself as the other side.
    left = {row["name"] for row in results} - set(drawn)
    itself = "birealnet_threads", "threads_", "batch_8_", "callers_8_"
    itself += "codes_", "accumulate_"
    left = {name for name in left if not name.startswith(itself)}
    assert left <= {"import", "input_pipeline", "qat_step_float"}


@pytest.mark.slow
def test_a_browser_finds_what_is_wrong_with_a_page(tmp_path):
    pytest.importorskip("playwright", reason="needs the extra `docs`")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("needs Chromium")
    from tools.docs_site import check

    (tmp_path / "good.html").write_text(
        "<head><style>body {background: #fff; color: #111}"
        "@media (prefers-color-scheme: dark) {body {background: #111; color: #eee}}"
        "</style></head><body>x</body>"
    )
    (tmp_path / "bad.html").write_text(
        "<body style='background: #fff; color: #000'>"
        "<div style='width: 800px'>x</div><script>console.error('oh')</script></body>"
    )
    with check.served(tmp_path) as address, check.browser() as running:
        assert check.faults_of_pages(running, address, ["good.html"]) == []
        found = "\n".join(check.faults_of_pages(running, address, ["bad.html"]))
    assert "console (light): oh" in found
    assert "pixels wide on a telephone of 390" in found
    assert "bad.html (dark): is light" in found
