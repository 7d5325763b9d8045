"""Directives `zoo-models`, `zoo-recipes`, `zoo-results` and `zoo-sweep`: the zoo as tables.

`{zoo-models} literature` lists the cards of a family, or of the models whose names match a
pattern; `{zoo-recipes}` all recipes; `{zoo-results} fashion_mnist` the rows of
`results/fashion_mnist.csv`, each with its command; `{zoo-sweep} cifar10_jpeg/methods` the
table of a sweep, its seeds together, with the command in the `.sh` beside the `.csv`, and which
of its runs are missing.
"""

import csv
import shlex
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "results"
DATASETS = {"fashion_mnist": "Fashion-MNIST", "imagenet": "ImageNet"}
_ALIGNMENT = ("---", "---", *["---:"] * 4)


def models_table(selection: str) -> str:
    """Cards as a Markdown table: costs at the card's input size, accuracies."""
    import larqlite_zoo

    cards = [larqlite_zoo.card(name) for name in larqlite_zoo.list_models()]
    chosen = [card for card in cards if card.family == selection]
    if not chosen:
        chosen = [larqlite_zoo.card(n) for n in larqlite_zoo.list_models(selection)]
    header = (
        "model", "parameters", "size, MiB", "MACs, M", "binary, %", "top-1 / top-5, %",
    )  # fmt: skip
    rows = [header, ("---", *["---:"] * 4, "---")]
    for card in chosen:
        macs = sum(card.costs.macs.values())
        rows.append(
            (
                f"{{py:func}}`~larqlite_zoo.{card.family}.{card.function}` "
                f"([paper]({card.paper.url})), {'×'.join(map(str, card.input_shape))}",
                f"{card.costs.parameters:,}",
                f"{card.costs.deployed_bytes / 2**20:.2f}",
                f"{macs / 1e6:,.0f}",
                f"{100 * card.costs.macs.get(1, 0) / macs:.1f}",
                "<br>".join(
                    [*map(_published, card.published), *map(_measured, card.measured)]
                )
                or "–",
            )
        )
    return _markdown(rows)


def _published(row) -> str:
    top5 = "–" if row.top5 is None else f"{row.top5:g}"
    return f"{row.top1:g} / {top5} ({row.source})"


def _measured(row) -> str:
    dataset = DATASETS.get(row.dataset, row.dataset)
    return f"{row.top1:g} / – ({dataset}, measured here in {row.epochs} epochs)"


def recipes_table() -> str:
    """The recipes as a Markdown table."""
    from larqlite_zoo import training

    rows = [("recipe", "model", "dataset", "epochs", "batch", "optimizer")]
    rows.append(("---", "---", "---", "---:", "---:", "---"))
    for name in training.recipe_names():
        recipe = training.recipe(name)
        stages = getattr(recipe, "stages", (recipe,))
        for number, stage in enumerate(stages):
            title = f"`{name}`" if len(stages) == 1 else f"`{name}`, stage {number}"
            rows.append(
                (
                    title,
                    f"`{stage.model}`",
                    stage.dataset,
                    f"{stage.epochs:,}",
                    f"{stage.batch_size:,}",
                    type(stage.optimizer).__name__,
                )
            )
    return _markdown(rows)


def results_table(dataset: str) -> str:
    """The rows of a results file as a Markdown table, each with its command."""
    with (RESULTS / f"{dataset}.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    rows = [("model", "recipe", "top-1, %", "epochs", "KiB", "minutes"), _ALIGNMENT]
    rows += [
        (
            f"`{row['model']}`",
            f"`{row['recipe']}`",
            row["top1"],
            row["epochs"],
            f"{int(row['deployed_bytes']) / 1024:,.0f}",
            row["minutes"],
        )
        for row in found
    ]
    commands = "\n".join(row["command"] for row in found)
    return f"{_markdown(rows)}\n\n```sh\n{commands}\n```"


def sweep_table(name: str) -> str:
    """The table of a sweep in Markdown, its command, and the runs that it still lacks."""
    from larqlite_zoo import training

    path = RESULTS / f"{name}.csv"
    command = path.with_suffix(".sh").read_text(encoding="utf-8").strip()
    found = training.sweep_summary(path)
    header = ("method", "W / A, bits", "top-1, %", "below float", "KiB", "ms", "seeds")
    rows = [header, ("---", "---", *["---:"] * 5)]
    for row in sorted(found, key=_by_bits):
        rows.append(
            (
                f"`{row['method']}`",
                f"{row['weight_bits']} / {row['activation_bits']}",
                _with_interval(row["accuracy"], row["interval"]),
                _with_interval(row["below_twin"], row["below_interval"]),
                "–" if row["bytes"] is None else f"{row['bytes'] / 1024:,.1f}",
                "–" if row["bytes"] is None else f"{row['milliseconds']:.3f}",
                str(len(row["seeds"])),
            )
        )
    text = f"{_markdown(rows)}\n\n```sh\n{command}\n```"
    missing = missing_runs(command, found)
    if missing:
        each = [f"`{name}` ({', '.join(map(str, s))})" for name, s in missing.items()]
        count = sum(map(len, missing.values()))
        text += f"\n\nNot run yet, {count} runs (seeds): {', '.join(each)}."
    return text


def missing_runs(command: str, found) -> dict[str, list[int]]:
    """The seeds of each method of a sweep's command that have no row."""
    words = shlex.split(command.replace("\\\n", " "))

    def values_of(flag):
        rest = words[words.index(flag) + 1 :]
        ends = [i for i, word in enumerate(rest) if word.startswith("--")]
        return rest[: ends[0] if ends else None]

    done = {row["method"]: row["seeds"] for row in found}
    seeds = [int(seed) for seed in values_of("--seeds")]
    missing = {
        method: [seed for seed in seeds if seed not in done.get(method, ())]
        for method in ("float", *values_of("--methods"))
    }
    return {method: seeds for method, seeds in missing.items() if seeds}


def _by_bits(row) -> tuple:
    return row["weight_bits"], row["activation_bits"], row["method"]


def _with_interval(value, interval) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" + ("" if interval is None else f" ± {interval:.1f}")


def _markdown(rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


class _Table(SphinxDirective):
    optional_arguments = 1

    def text(self) -> str:
        """The table in Markdown."""
        raise TypeError(f"{type(self).__name__} defines no table")

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # cards and recipes change without the page
        container = nodes.container()
        content = StringList(self.text().split("\n"), source="the zoo")
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


class Models(_Table):
    """Replaces itself by the cards of a family."""

    def text(self) -> str:
        return models_table(self.arguments[0])


class Recipes(_Table):
    """Replaces itself by all recipes."""

    def text(self) -> str:
        return recipes_table()


class Results(_Table):
    """Replaces itself by the rows of a results file."""

    def text(self) -> str:
        self.env.note_dependency(str(RESULTS / f"{self.arguments[0]}.csv"))
        return results_table(self.arguments[0])


class Sweep(_Table):
    """Replaces itself by the table of a sweep."""

    def text(self) -> str:
        for ending in (".csv", ".sh"):
            self.env.note_dependency(str(RESULTS / f"{self.arguments[0]}{ending}"))
        return sweep_table(self.arguments[0])


def setup(app: Sphinx) -> dict:
    """Adds the directives."""
    app.add_directive("zoo-models", Models)
    app.add_directive("zoo-recipes", Recipes)
    app.add_directive("zoo-results", Results)
    app.add_directive("zoo-sweep", Sweep)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
