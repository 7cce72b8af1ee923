"""The reports in a real browser with the network off: no error, no request, legible, at every width."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerig_controller.report import render as run_render
from edgerig_controller.report.build import build as build_run
from edgerig_controller.report.guide import render
from tests.controller.report.rows import study_data
from tests.controller.report.test_guide import bare, rich
from tests.system.browser import Browser, executable

PAGES = ("guide", "failed", "run")
# Elements whose text stands out of the window, unless something around them scrolls on its own.
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(node => {
  const box = node.getBoundingClientRect();
  if (!box.width || box.right <= document.documentElement.clientWidth + 1) return false;
  for (let up = node; up && up !== document.body; up = up.parentElement) {
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(up).overflowX)) return false;
  }
  return true;
}).map(node => node.tagName + ' ' + node.textContent.trim().slice(0, 40))
"""
# Text by its size on the screen (drawings are scaled) and its contrast after WCAG 2.
TEXTS = """
(() => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const parse = text => [...numbers(text), 1].slice(0, 4);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (let up = node; up; up = up.parentElement) {
      const color = parse(getComputedStyle(up).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim())) continue;
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (!box.width || style.visibility === 'hidden') continue;
    const drawing = node.ownerSVGElement;
    const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
    const ink = light(parse(drawing ? style.fill : style.color)), page = light(behind(node));
    const ratio = (Math.max(ink, page) + 0.05) / (Math.min(ink, page) + 0.05);
    found.push([parseFloat(style.fontSize) * scale, ratio, node.textContent.trim().slice(0, 40)]);
  }
  return found;
})()
"""

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes a rich report of guidelines, one of nothing but failures, and that of a run."""
    folder = tmp_path_factory.mktemp("pages")
    for name, text in (
        ("guide", render.html(rich())),
        ("failed", render.html(bare())),
        ("run", run_render.html(build_run(study_data(), now_unix_s=1_780_000_300.0))),
    ):
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = executable()
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with Browser(program, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("width", [1280, 400])
def test_no_error_no_request_and_nothing_out_of_the_window(
    browser: Browser, folder: Path, page: str, width: int
) -> None:
    path = folder / f"{page}.html"
    seen = browser.open(path, width=width)
    assert seen.errors == []
    assert seen.requests == [path.as_uri()]
    assert browser.evaluate(OVERFLOWING) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, False), (1280, True), (400, True)])
def test_text_is_large_enough_and_stands_out(
    browser: Browser, folder: Path, page: str, width: int, dark: bool
) -> None:
    browser.open(folder / f"{page}.html", width=width, dark=dark)
    texts = browser.evaluate(TEXTS)
    assert len(texts) > 50
    assert [text for size, _, text in texts if size < 8] == []
    assert [(round(ratio, 2), text) for _, ratio, text in texts if ratio < 4.5] == []


@pytest.mark.parametrize("page", PAGES)
def test_print_fits_a_page_and_is_dark_on_light(browser: Browser, folder: Path, page: str) -> None:
    # 210 mm less two margins of 10 mm, at 96 dots an inch.
    browser.open(folder / f"{page}.html", width=718, dark=True, media="print")
    assert browser.evaluate(OVERFLOWING) == []
    assert [text for _, ratio, text in browser.evaluate(TEXTS) if ratio < 4.5] == []
    printed = base64.b64decode(
        browser.call("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.7})["data"]
    )
    assert printed.startswith(b"%PDF-") and b"/Type /Page" in printed


def test_a_page_that_asks_for_something_is_caught(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<!doctype html><p style="width: 2000px">wide</p><img src="http://example.invalid/x.png">'
        '<p style="color: #eee; font-size: 4px">faint</p><script>console.error("oops")</script>'
    )
    seen = browser.open(page, width=400)
    assert any("oops" in error for error in seen.errors)
    assert "http://example.invalid/x.png" in seen.requests
    assert len(browser.evaluate(OVERFLOWING)) == 1
    size, ratio, _ = browser.evaluate(TEXTS)[1]
    assert size == 4 and ratio < 1.5


def test_links_lead_to_the_lines_of_runs(browser: Browser, folder: Path) -> None:
    browser.open(folder / "guide.html", width=1280)
    links = "[...document.querySelectorAll('a[href^=\"#\"]')]"
    assert browser.evaluate(f"{links}.filter(a => !document.getElementById(a.hash.slice(1))).length") == 0
    assert browser.evaluate("document.querySelectorAll('a[href^=\"#run-\"]').length") > 50
