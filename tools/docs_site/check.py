"""Looks at the built documentation as its readers do: in a browser, on a telephone, at night.

`make docs-check` builds the site and runs this. Every link and anchor must lead somewhere;
no page may complain in the browser's console, scroll sideways at 390 pixels, or stay light
in the dark; the network in the page "In the browser" must name the pictures that are clicked;
and the search must answer the questions of `questions.py` with its first results. The browser is
the system's Chromium (`apt-get install chromium`, or `CHROMIUM`).
"""

from __future__ import annotations

import argparse
import configparser
import contextlib
import functools
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from . import links
from .questions import FIRST, QUESTIONS

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "docs" / "_build" / "html"
PHONE = {"width": 390, "height": 844}
DARKEST, LIGHTEST = 0.25, 0.75
PATIENCE = 120_000  # milliseconds; a machine may be busy

LIVE = "deploy/browser.html"
TIME = re.compile(r"\d ms a picture")

WIDTH = "document.documentElement.scrollWidth"
# Luminance of the page and of its text; which pictures of the two themes are shown.
LOOK = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
    return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  };
  const style = getComputedStyle(document.body);
  const shown = (name) => [...document.querySelectorAll("img." + name)].filter(
    (image) => getComputedStyle(image).display !== "none").length;
  return {page: luminance(style.backgroundColor), text: luminance(style.color),
          light: shown("only-light"), dark: shown("only-dark"), wide: shown("wide")};
}"""
RESULTS = """() => {
  const done = document.querySelector("#search-results p.search-summary");
  return done && /[Ss]earch finished|not match/.test(done.innerText + document.title)
}"""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of that folder on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def browser() -> Iterator:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if path is None:
        raise SystemExit(
            "make docs-check: no Chromium on this machine. "
            "Fix: apt-get install chromium, or CHROMIUM=/path/to/chromium."
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield running
        finally:
            running.close()


def faults_of_pages(running, address: str, names: list[str]) -> list[str]:
    """What is wrong with pages on a telephone, in light and in dark."""
    complaints: list[str] = []
    for scheme in ("light", "dark"):
        context = running.new_context(viewport=PHONE, color_scheme=scheme)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        heard: list[str] = []
        page.on(
            "console",
            lambda message, heard=heard: (
                heard.append(message.text) if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error, heard=heard: heard.append(str(error)))
        for name in names:
            heard.clear()
            page.goto(f"{address}/{name}", wait_until="load")
            complaints += [f"{name}: console ({scheme}): {text}" for text in heard]
            complaints += [
                f"{name} ({scheme}): {text}" for text in _faults(page, scheme)
            ]
        context.close()
    return complaints


def _faults(page, scheme: str) -> Iterator[str]:
    if (width := page.evaluate(WIDTH)) > PHONE["width"]:
        yield f"is {width} pixels wide on a telephone of {PHONE['width']}"
    look = page.evaluate(LOOK)
    page_is, text_is = look["page"], look["text"]
    if scheme == "dark" and not (page_is < DARKEST and text_is > 0.5):
        yield f"is light: luminance {page_is:.2f} behind text of {text_is:.2f}"
    if scheme == "light" and not (page_is > LIGHTEST and text_is < 0.5):
        yield f"is dark: luminance {page_is:.2f} behind text of {text_is:.2f}"
    if look["dark" if scheme == "light" else "light"]:
        yield "shows a picture of the other theme"
    if look["wide"]:
        yield "shows a picture that is too wide for a telephone"


def faults_of_live(running, address: str) -> list[str]:
    """What is wrong with the network that answers in its page."""
    page = running.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/{LIVE}")
    page.wait_for_selector("#live[data-state]")
    complaints = []
    if page.get_attribute("#live", "data-state") != "ready":
        complaints.append(page.inner_text("#live"))
    choices = page.query_selector_all(".live-pictures button")
    if not complaints and len(choices) < 10:
        complaints.append(f"has {len(choices)} pictures")
    for choice in choices:
        choice.click()
        wanted, said = (
            choice.get_attribute("data-label"),
            page.inner_text(".live-label"),
        )
        if said != wanted:
            complaints.append(f"says {said} of a picture of {wanted}")
        if not TIME.search(page.inner_text(".live-note")):
            complaints.append(f"does not say how long {wanted} took")
    page.close()
    return [f"{LIVE}: {text}" for text in complaints]


def faults_of_search(running, address: str) -> list[str]:
    """Questions whose answer is not among the first results."""
    complaints = []
    page = running.new_page()
    page.set_default_timeout(PATIENCE)
    for question, answers in QUESTIONS.items():
        found = first_results(page, address, question)
        if not set(found) & set(answers):
            complaints.append(
                f'search "{question}": {", ".join(found) or "nothing"}; '
                f"none is of {', '.join(answers)}"
            )
    page.close()
    return complaints


def first_results(page, address: str, question: str) -> list[str]:
    """The names of the first pages that the search finds."""
    page.goto(f"{address}/search.html?q={quote(question)}")
    page.wait_for_function(RESULTS)
    found = page.eval_on_selector_all(
        "ul.search li a", "links => links.map(link => link.href)"
    )
    names = [link.removeprefix(f"{address}/").partition("#")[0] for link in found]
    return [name.partition("?")[0].removesuffix(".html") for name in names[:FIRST]]


def main(words: list[str]) -> int:
    """Prints what is wrong; 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--html", type=Path, default=HTML)
    folder = parser.parse_args(words).html.resolve()
    package = configparser.ConfigParser()
    package.read(ROOT / "setup.cfg", encoding="utf-8")
    urls = package.get("metadata", "project_urls", fallback="")
    source = next(
        (
            line.split("=", 1)[1].strip()
            for line in urls.splitlines()
            if "Source" in line
        ),
        "",
    )
    complaints = links.broken(folder, source, ROOT)
    names = [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*.html"))
        if links.SOURCES not in path.relative_to(folder).parts
    ]
    with served(folder) as address, browser() as running:
        complaints += faults_of_pages(running, address, names)
        complaints += faults_of_live(running, address)
        complaints += faults_of_search(running, address)
    print("\n".join(complaints), file=sys.stderr)
    print(
        f"{len(names)} pages in light and dark, {len(QUESTIONS)} questions: "
        f"{len(complaints)} faults"
    )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
