"""The tables of targets in the pages: those of one whole run, or the ones that they had."""

from __future__ import annotations

import pytest

from larqlite.deploy import TargetRow, TargetsReport
from larqlite.deploy.targets import TargetCost
from tools import targets_table


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Their texts, with an old table each."""
    monkeypatch.setattr(targets_table, "PAGES", tmp_path)
    for page, name in (("targets", "all"), ("microcontroller", "microcontroller")):
        begin, end = (f"<!-- targets: {word} {name} -->" for word in ("begin", "end"))
        (tmp_path / f"{page}.md").write_text(f"{begin}\nold\n{end}\n")
    return lambda: [path.read_text() for path in sorted(tmp_path.iterdir())]


def test_a_run_that_is_broken_off_or_of_a_few_networks_leaves_the_tables(
    pages, monkeypatch
):
    row = TargetRow("keras", cost=TargetCost(7), is_reference=True)
    begun = []

    def report_of(network):
        begun.append(network)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return TargetsReport("net", 1, (row,), {})

    monkeypatch.setattr(targets_table, "report_of", report_of)
    before = pages()
    with pytest.raises(KeyboardInterrupt):
        targets_table.main([])
    assert pages() == before
    targets_table.main(["--only", "demo"])
    assert pages() == before
    targets_table.main([])
    few, every = pages()
    assert few.count("reference | reference") == 1
    assert every.count("reference | reference") == len(targets_table.ROWS)
    assert "old" not in few + every
