"""The directives `benchmark-charts` and `benchmark-table`: what `benchmarks/results.json` holds.

The charts are for a reader who asks what it means: groups of rows with a sentence each,
and a bar for how many times faster than the other side. The table has the times, and the
quartiles of the ratio.
"""

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results.json"
HEADER = ("what", "larqlite", "other side", "ratio", "quartiles")
# The other side by its engine, else by its library.
PEERS = {
    "larq": "Larq",
    "tfmot": "TensorFlow Model Optimization",
    "lce": "Larq Compute Engine",
    "int8": "int8 in TFLite",
    "tensorflow": "float in TensorFlow",
    "larqlite": "the same in float32",
    "quantizeml": "QuantizeML",
    "openvino": "OpenVINO",
    "ort_int8": "int8 in ONNX Runtime",
    "ort_2bits": "2 bits in ONNX Runtime",
    "ort_4bits": "4 bits in ONNX Runtime",
    "ggml": "ggml",
}
PEAKS = {
    "popcount": "bits by popcount",
    "vpdpbusd": "bytes by `vpdpbusd`",
    "vpmaddubsw": "bytes by `vpmaddubsw`",
    "vdpbf16ps": "bfloat16",
    "fma": "float32",
    "fma_avx2": "float32, AVX2",
}


@dataclass(frozen=True)
class Group:
    """Rows that answer one question of a reader.

    Args:
        title: the question, in a few words.
        names: a pattern for the names of its rows.
        sentence: what they mean for the reader; `{low}` and `{high}` are the smallest and
            the largest of their speedups.
    """

    title: str
    names: str
    sentence: str


GROUPS = (
    Group(
        "A whole network on one core",
        "lce_.*|birealnet_(int8|float)",
        "A binary network for images of 224x224 pixels takes a few milliseconds on one core: "
        "{low} to {high} times faster than in the other engines, or than its float and int8 "
        "twins.",
    ),
    Group(
        "One binary layer",
        "layer_.*",
        "A binary 3x3 convolution runs {low} to {high} times faster than in Larq Compute "
        "Engine in its best mode: the higher with AVX-512, the lower with AVX2.",
    ),
    Group(
        "Beside OpenVINO",
        "openvino_(layer|chain)_.*_avx512|openvino_BiRealNet_(f32|bf16)",
        "OpenVINO has kernels for bits as well, for a graph that one builds by hand with "
        "their traps in mind. larqlite runs an exported and verified file at {low} to {high} "
        "times its speed, on one core with AVX-512.",
    ),
    Group(
        "Beside OpenVINO without AVX-512",
        "openvino_.*_avx2",
        "The same networks on a processor that has AVX2 alone: {low} to {high} times its speed.",
    ),
    Group(
        "Beside OpenVINO with two threads",
        "openvino_.*_2threads",
        "Both with two threads, by the clock on the wall: {low} to {high} times its speed.",
    ),
    Group(
        "A binary layer beside 8 bits",
        "(ort_int8|litert)_layer_.*",
        "A convolution of bits, floats in and out, is {low} to {high} times faster than one of "
        "8-bit integers of the same shape in ONNX Runtime or TFLite.",
    ),
    Group(
        "Inputs of 8 bits, kernels of one or two",
        "(ort_int8|ort_2bits|ort_4bits|ggml)_dense_.*",
        "A dense layer of 2048 inputs and outputs, for one vector or many, runs at {low} to "
        "{high} times the speed of engines for language models and of int8. All answers are "
        "compared with Keras.",
    ),
    Group(
        "Training a binary network",
        "binary_vgg|bireal_net|bop|flip_ratio|ste_sign.*",
        "A training step takes less time than in Larq and ends at the same weights: forward "
        "convolutions of signs are summed as integers. What is done beside them, a sign with "
        "its gradient, Bop or the flip ratio, runs at {low} to {high} times the speed.",
    ),
    Group(
        "Training in half the bits",
        "bfloat16_.*",
        "On a processor with AVX-512 BF16 and no AMX, `mixed_bfloat16` makes a training step "
        "{low} to {high} times faster than float32, and changes one line of your code.",
    ),
    Group(
        "Quantizing a float model",
        "qat_quantize|qat_step",
        "Making a model quantization-aware is {high} times faster than with TensorFlow Model "
        "Optimization; a training step of it, {low} times.",
    ),
    Group(
        "Building the networks of the zoo",
        "build_.*",
        "Building and summing up a network takes as long as in Larq Zoo ({low} to {high} times "
        "its speed): a second or so, once.",
    ),
)


def speedup(result: dict) -> float:
    """How many times faster larqlite is than the other side; below 1 it is slower."""
    return 1 / result[f"{result.get('figure', 'cpu')}_ratio"]


def rows_of(group: Group, results: list[dict]) -> list[dict]:
    """The rows of a group, in the order of the file."""
    return [
        result
        for result in results
        if re.fullmatch(group.names, result["name"]) and result["other"] is not None
    ]


def sentence_of(group: Group, results: list[dict]) -> str:
    """The sentence of a group, with its figures."""
    factors = [speedup(result) for result in rows_of(group, results)]
    return group.sentence.format(low=f"{min(factors):.2g}", high=f"{max(factors):.2g}")


def chart_of(group: Group, results: list[dict]) -> str:
    """The bars of a group as HTML: as wide as the column, also on a telephone."""
    rows = rows_of(group, results)
    longest = max(1.0, *(speedup(result) for result in rows))
    lines = ['<div class="bars" role="list">']
    for result in rows:
        factor = speedup(result)
        other = result["other"]
        peer = PEERS[other["options"].get("engine", other["library"])]
        figure = result.get("figure", "cpu")
        lines.append(
            '<div class="bar" role="listitem">'
            f'<span class="bar-what">{html.escape(result["what"])}</span>'
            f'<span class="bar-track"><span class="bar-length" '
            f'style="width: {100 * factor / longest:.1f}%"></span>'
            f'<span class="bar-one" style="left: {100 / longest:.1f}%"></span></span>'
            f'<span class="bar-factor">{factor:.2g}×</span>'
            f'<span class="bar-note">{_time(result["ours"], figure)}; '
            f"{html.escape(peer)}: {_time(other, figure)}</span></div>"
        )
    versions = (each for row in rows for each in row["other"].get("packages", ())[:1])
    named = (version.replace("==", " ") for version in versions)
    places = "; ".join(dict.fromkeys([*named, *map(place_of, rows)]))
    return "\n".join(
        [*lines, f'<div class="bar-note">{html.escape(places)}</div>', "</div>"]
    )


def place_of(result: dict) -> str:
    """The machine of a row, and the day where it is known."""
    machine = result["machine"]
    place = f"{machine['processor']}, {machine['cpus']} CPUs"
    return f"{place}, {result['date']}" if "date" in result else place


def peaks_of(results: list[dict]) -> str:
    """What one core of each machine did at most, in the last run, as a Markdown table."""
    machines = {}
    for result in results:
        if peaks := result["machine"].get("peaks"):
            machines[place_of(result)] = peaks
    if not machines:
        return ""
    rows = [("most of one core", *machines), ("---", *["---:"] * len(machines))]
    for kind in dict.fromkeys(kind for peaks in machines.values() for kind in peaks):
        unit = "GMAC/s" if kind in PEAKS else "GB/s"
        name = PEAKS.get(kind, f"reading from {kind}")
        rates = [peaks.get(kind) for peaks in machines.values()]
        rows.append(
            (name, *("–" if rate is None else f"{rate:.4g} {unit}" for rate in rates))
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def table_of(results: list[dict]) -> str:
    """The rows as a Markdown table, times in milliseconds of CPU where it says no more."""
    rows = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machines_of(results: list[dict]) -> list[str]:
    """One line for each machine that rows were measured on."""
    lines = []
    for result in results:
        machine = result["machine"]
        packages = ", ".join(f"{k} {v}" for k, v in machine["packages"].items())
        lines.append(
            f"{machine['processor']}, {machine['cpus']} CPUs "
            f"({', '.join(machine['instruction_sets'])}), {machine['system']}, "
            f"Python {machine['python']}, {packages}"
        )
    return list(dict.fromkeys(lines))


def _cells(result: dict) -> tuple[str, ...]:
    figure = result.get("figure", "cpu")
    low, high = result.get(f"{figure}_ratio_quartiles", (None, None))
    ratio = result.get(f"{figure}_ratio")
    return (
        result["what"],
        _time(result["ours"], figure),
        _amount(result["other"], figure),
        "–" if ratio is None else f"{ratio:.3f}",
        "–" if low is None else f"{low:.3f} to {high:.3f}",
    )


def _amount(side: dict | None, figure: str) -> str:
    if side is None:
        return "–"
    library = side["options"].get("engine", side["library"])
    return f"{_time(side, figure)} ({library})"


def _time(side: dict, figure: str) -> str:
    if figure == "bytes":
        return f"{side['bytes'] / 1e6:.2f} MB"
    milliseconds = 1e3 * side[figure]
    digits = 1 if milliseconds >= 10 else 3
    return f"{milliseconds:.{digits}f} ms"


class _OfResults(SphinxDirective):
    """Replaces itself by Markdown made of the results."""

    text: Callable[[list[dict]], str]

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS))
        results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
        container = nodes.container()
        content = StringList(type(self).text(results).split("\n"), source=str(RESULTS))
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


def _charts(results: list[dict]) -> str:
    return "\n\n".join(
        f"**{group.title}.** {sentence_of(group, results)}\n\n{chart_of(group, results)}"
        for group in GROUPS
        if rows_of(group, results)
    )


def _table(results: list[dict]) -> str:
    parts = table_of(results), f"Measured on: {'; '.join(machines_of(results))}"
    return "\n\n".join(filter(None, (*parts, peaks_of(results))))


class BenchmarkCharts(_OfResults):
    """The groups with their sentences and bars."""

    text = staticmethod(_charts)


class BenchmarkTable(_OfResults):
    """Every row, and the machines."""

    text = staticmethod(_table)


def setup(app: Sphinx) -> dict:
    """Adds the directives."""
    app.add_directive("benchmark-charts", BenchmarkCharts)
    app.add_directive("benchmark-table", BenchmarkTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
