"""Prints the lowest versions that setup.cfg allows, as requirements for pip.

python tests/oldest/lowest.py setup.cfg
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

_RANGE = re.compile(r"(?P<name>[\w.-]+)\s*>=\s*(?P<version>[\w.]+)\s*(,[^;]*)?")


def lowest(path: Path) -> list[str]:
    """One `name==version` for each requirement of the package.

    Raises:
        ValueError: a requirement that states no lowest version.
    """
    config = configparser.ConfigParser()
    config.read_string(path.read_text("utf-8"))
    found = []
    for line in config["options"]["install_requires"].strip().splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        match = _RANGE.fullmatch(text)
        if match is None:
            raise ValueError(f"{path}: {text!r} states no lowest version")
        found.append(f"{match['name']}=={match['version']}")
    return found


if __name__ == "__main__":
    print("\n".join(lowest(Path(sys.argv[1]))))
