"""`to_arduino`: a network as a library folder that the Arduino tools take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from larqlite._version import __version__
from larqlite.deploy.targets._program_of import program_of
from larqlite.deploy.targets.c._density import Samples
from larqlite.deploy.targets.c._interface import Interface, interface_of
from larqlite.deploy.targets.c._report import CReport, report_of
from larqlite.deploy.targets.c._source import MARK, CSource
from larqlite.deploy.targets.c._text import comment
from larqlite.deploy.targets.c._to_c import (
    checked_folder,
    checked_name,
    chosen_source,
    require_optimize,
    write_files,
)
from larqlite_runtime.internal import Pixels


def to_arduino(
    model: Any,
    folder: str | os.PathLike,
    *,
    name: str | None = None,
    pixels: Pixels = False,
    optimize: str = "speed",
    samples: Samples | None = None,
) -> CReport:
    """Writes a network as an Arduino library: C99 in `src`, and a sketch that runs it.

    The folder goes into `libraries` of the sketchbook, or, zipped, through "Add .ZIP library".
    The sketch runs the self-test, then the network, and prints what comes out and how long it
    took. Boards need a 32-bit processor; `CReport` says how much flash and memory.

    Args:
        model, name, pixels, optimize, samples: as of `lq.deploy.to_c`.
        folder: of the library; it is made if there is none.

    Returns:
        A `CReport`.

    Raises:
        UnsupportedModelError, ArgumentError, ModelFileError: as `lq.deploy.to_c` does.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", input_shape=[40])])
        >>> folder = getfixture("tmp_path") / "three"
        >>> report = lq.deploy.to_arduino(model, folder, name="three")
        >>> [path.relative_to(folder).as_posix() for path in report.files]
        ... # doctest: +NORMALIZE_WHITESPACE
        ['src/three.c', 'src/three.h', 'library.properties', 'keywords.txt',
         'examples/three/three.ino']
    """
    folder = checked_folder(folder, "to_arduino")
    name = checked_name(model, name, "to_arduino")
    require_optimize(optimize, "to_arduino")
    whole = program_of(model, "to_arduino", pixels, small=True)
    source = chosen_source(whole, name, optimize, samples, "to_arduino")
    interface = interface_of(whole, name)
    texts = dict(_files(folder, source, interface))
    write_files(texts, "to_arduino")
    return report_of(source, whole, list(texts))


def _files(
    folder: Path, source: CSource, interface: Interface
) -> Iterator[tuple[Path, str]]:
    name = source.name
    yield folder / "src" / f"{name}.c", source.source
    yield folder / "src" / f"{name}.h", source.header
    yield folder / "library.properties", _properties(name)
    yield folder / "keywords.txt", _keywords(name)
    yield folder / "examples" / name / f"{name}.ino", _sketch(interface)


def _properties(name: str) -> str:
    return f"""\
# {MARK} the properties of the library {name}.
name={name}
version=1.0.0
author=larqlite {__version__}
maintainer=larqlite {__version__}
sentence=The binarized neural network {name} in C99.
paragraph=Runs on 32-bit processors without dynamic memory; the example prints what comes out.
category=Data Processing
url=https://github.com/larqlite/larqlite
architectures=*
includes={name}.h
"""


def _keywords(name: str) -> str:
    return f"""\
# {MARK} what the editor shows of the library {name}.
{name}_run\tKEYWORD2
{name}_self_test\tKEYWORD2
"""


def _sketch(interface: Interface) -> str:
    name = interface.name
    rooms = "\n".join(
        f"static {item.ctype} {item.name}[{item.count}];"
        for item in (*interface.inputs, *interface.outputs)
    )
    given = ", ".join(item.name for item in (*interface.inputs, *interface.outputs))
    prints = "\n".join(
        f"  for (long i = 0; i < {item.count}; ++i) Serial.println({item.name}[i], 6);"
        for item in interface.outputs
    )
    said = (
        f"{MARK} {name}.ino, a sketch that runs the network {name}.\n{interface.said}."
    )
    return f"""\
{comment(said)}
#include <{name}.h>

{rooms}

void setup() {{
  Serial.begin(115200);
  while (!Serial && millis() < 3000) {{
  }}
  Serial.print("self-test (0: as it should be): ");
  Serial.println({name}_self_test());
}}

void loop() {{
  /* Fill the input from a camera or a sensor here. */
  const unsigned long begin = micros();
  {name}_run({given});
  Serial.print("microseconds: ");
  Serial.println(micros() - begin);
{prints}
  delay(1000);
}}
"""
