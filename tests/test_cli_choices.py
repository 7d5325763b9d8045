"""Every option with a fixed list of values names another value, and the list."""

import contextlib
import io
import re

import pytest

from larqlite import cli
from larqlite.command_line._choices import flags_of, followed
from larqlite.errors import ArgumentError
from larqlite_zoo import _train_command, cli as zoo_cli, training

# The words of every command that has options, but for those of the runtime.
COMMANDS = {
    "lq": (
        "quantizers", "summary", "plot quantizer", "plot weights", "plot history", "plot costs",
        "plot accuracy", "plot integers", "plot verification", "plot benchmark", "qat",
        "plot sensitivity", "plot search", "plot diagnosis", "sensitivity", "search", "diagnose",
        "integer quantize", "integer config", "integer check", "integer insert-rescaling",
        "integer export", "export", "verify", "demo", "completion",
    ),
    "lqz": (
        "list", "card", "sweep", "evaluate", "completion",
        *(f"train {name}" for name in training.recipe_names()),
    ),
}  # fmt: skip
KNOWN = {
    "lq integer export": {"--to", "--input-dtype"},
    "lq qat": {"--inputs", "--ranges"},
    "lqz sweep": {"--precision"},
    "lqz evaluate": {"--precision"},
    "lqz train TrainQuickNet": {"--precision", "--strategy"},
}


def read(program, words):
    """What the parser of a command says: its output, or an error."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            cli.parse(words) if program == "lq" else zoo_cli.work(list(words))
        except SystemExit:
            return text.getvalue()
    raise AssertionError("the parser did not refuse")


def options_with_lists(help_text):
    """The options whose help has `{one,other}` as their value, and these values."""
    found = {}
    lists = r"(--[a-z][\w.-]*) (\{[^{}]*\}(?:\|\{[^{}]*\})*)(?=  |│| │|$)"
    for flag, text in re.findall(lists, help_text, re.M):
        values = [v for part in text.split("|") for v in part[1:-1].split(",")]
        if values != ["None"] and "True" not in values:
            found[flag] = [value for value in values if value != "None"]
    return found


def known_flags(program, command):
    """The flags that are not refused."""
    name, *rest = command.split()
    if name == "train":
        kind = _train_command._flags_of(training.recipe(*rest))
        return set(flags_of(kind, kind(), ""))
    commands = zoo_cli.Command if program == "lqz" else cli.COMMANDS[name]
    return set(flags_of(followed(commands, [name] if program == "lqz" else rest)[0]))


def listed_flags(help_text):
    """The flags that have a row of their own: `-o FILE, --output FILE`."""
    one = r"-[\w.-]+(?: (?!-)\S+)*?"
    # Boxes may stand side by side, so a line may have several options.
    rows = re.findall(rf"(?:^|  |│ )({one}(?:, {one})*)(?=  |│| │|$)", help_text, re.M)
    return {flag for row in rows for flag in re.findall(r"(?<!\S)--?[a-z][\w.-]*", row)}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    # Of a narrow terminal the help breaks its lists in two.
    monkeypatch.setenv("COLUMNS", "300")


@pytest.mark.parametrize(
    ("program", "command"),
    [(program, each) for program, commands in COMMANDS.items() for each in commands],
)
def test_the_flags_are_those_of_the_help_and_a_wrong_value_names_the_values(
    program, command
):
    words = command.split()
    help_text = read(program, [*words, "--help"])
    assert known_flags(program, command) | {"-h", "--help"} == listed_flags(help_text)
    options = options_with_lists(help_text)
    assert KNOWN.get(f"{program} {command}", set()) <= set(options)
    for flag, values in options.items():
        last = values[-1]
        for mistyped in (last[:-1] + "q", "q" * 20):
            for given in ([flag, mistyped], [f"{flag}={mistyped}"]):
                with pytest.raises(ArgumentError) as caught:
                    read(program, [*words, *given])
                said = str(caught.value)
                assert said.startswith(
                    f"{program} {command}: {flag} {mistyped} is none of "
                )
                listed = said.partition(" is none of ")[2].partition(".")[0].split(", ")
                assert sorted(listed) == sorted(values)
        assert 'Did you mean "' not in said
        with pytest.raises(ArgumentError, match=f'Did you mean .*"{re.escape(last)}"'):
            read(program, [*words, flag, last[:-1] + "q"])


def test_the_command_of_the_runtime_names_its_engines():
    options = cli.parse(["benchmark", "net.onnx", "--against", "onxruntime"])
    with pytest.raises(
        ValueError,
        match=r'engine "onxruntime".* Did you mean "onnxruntime"(?s:.)*tensorflow, tflite',
    ):
        options.run()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("integer export -m a.keras --to onnx -o a.onnx --input-dtype None", None),
        ("integer export -m a.keras --to=qdq -o a.onnx --input_dtype int8", None),
        ("integer export -m a.keras --to onnx -o a.onnx --input_dtype int", "int8"),
    ],
)
def test_what_the_parser_takes_is_not_refused(words, said):
    if said is None:
        assert cli.parse(words.split()).what.to in words
        return
    with pytest.raises(ArgumentError, match=said):
        cli.parse(words.split())


@pytest.mark.parametrize("words", ["integer export -m a.keras -o a.onnx", "integer"])
def test_what_is_missing_is_not_guessed_from_other_words(words):
    said = read("lq", words.split())
    assert "Did you mean" not in said
    assert "--to" in said or "export" in said
