"""Pages in a real browser, with the network off, and what has to hold of the report in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from histoweave.pages.report.figures import FIGURES
from histoweave.pages.report.sections import SECTIONS

WIDTHS_PX = (390, 1400)
_ARGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
NewBrowser = Callable[[], Browser]
# A script's promise of the next frame. Without a limit a browser that stops drawing would hold a test for ever.
NEXT_FRAME = (
    "new Promise((done, fail) => { requestAnimationFrame(done);"
    " setTimeout(() => fail(new Error('the browser draws no frames')), 30_000); })"
)


class NoFrames(Exception):
    """The browser stopped drawing, which says nothing of the page: another browser has to look at it."""


# Chromium was seen to stop drawing once, beside other work, in all runs of the tests. A fault of the page comes back.
with_another_browser = retry(retry=retry_if_exception_type(NoFrames), stop=stop_after_attempt(3), reraise=True)


def launch(playwright) -> Browser:
    """Chromium; the test is skipped where there is none, but never in CI."""
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("chromium is not installed")
    assert chromium, "chromium is not installed; CI needs it"
    return playwright.chromium.launch(executable_path=chromium, args=list(_ARGS))


def open_offline(browser: Browser, path: Path, *, width_px: int, scheme: str, faults: list[str]) -> Page:
    """A page with the network off. Whatever it asks for, whatever fails and whatever it says is added to `faults`.

    Raises
    ------
    NoFrames
        If the browser does not draw the page.
    """
    context = browser.new_context(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
    context.set_offline(True)

    def only_files(route) -> None:
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            faults.append(f"asks for {route.request.url}")
            route.abort()

    context.route("**/*", only_files)
    page = context.new_page()
    page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url[:80]}"))
    page.set_default_timeout(20_000)
    page.goto(path.resolve().as_uri())
    over_frames(page, f"() => {NEXT_FRAME}")
    return page


def until(page: Page, condition: str, *, limit_s: float = 60) -> None:
    """Wait for a condition in JavaScript. Playwright's own way evaluates strings, which the page's policy forbids."""
    end = time.monotonic() + limit_s
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end, f"never true: {condition}"
        page.wait_for_timeout(50)


def over_frames(page: Page, script: str) -> Any:
    """What a script that waits for `NEXT_FRAME` returns.

    Raises
    ------
    NoFrames
        If a frame did not come in 30 seconds.
    """
    try:
        return page.evaluate(script)
    except Error as error:
        if "draws no frames" in str(error):
            raise NoFrames(str(error)) from error
        raise


def draw_everything(page: Page) -> None:
    """Unfold what is folded, and bring every figure near the window, for a frame at least: a busy machine skips some."""
    over_frames(
        page,
        "async () => { document.querySelectorAll('details').forEach(d => { d.open = true; });"
        " for (const figure of document.querySelectorAll('figure.interactive, #patient-browser')) {"
        f" figure.scrollIntoView({{ behavior: 'instant' }}); await {NEXT_FRAME};"
        " await new Promise(done => setTimeout(done, 30)); } }",
    )
    until(
        page,
        "Array.from(document.querySelectorAll('figure.interactive .live')).every(e => e.querySelector('.main-svg'))",
    )


def check_page(
    path: Path,
    new_browser: NewBrowser,
    *,
    widths_px: tuple[int, ...] = WIDTHS_PX,
    schemes: tuple[str, ...] = ("light", "dark"),
) -> None:
    """Assert that the report at `path` works at every width and in both colour schemes.

    Every section is visible, nothing is fetched, the console stays silent, every figure and picture has a
    size and a text, and the page is never wider than the window.
    """
    for width_px, scheme in product(widths_px, schemes):
        _check_at(path, new_browser, width_px, scheme)


@with_another_browser
def _check_at(path: Path, new_browser: NewBrowser, width_px: int, scheme: str) -> None:
    faults: list[str] = []
    where = f"{width_px} px, {scheme}"
    with new_browser() as browser:
        page = open_offline(browser, path, width_px=width_px, scheme=scheme, faults=faults)
        for name in SECTIONS:
            section = page.locator(f"section#{name}")
            assert section.count() == 1 and section.is_visible(), f"section {name} at {where}"
            assert section.locator("h2").inner_text().strip() == SECTIONS[name].title
        draw_everything(page)
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{overflow} px too wide at {where}"
        # Still figures that an interactive one has replaced are out of sight.
        figures = page.evaluate(
            "Array.from(document.querySelectorAll('main svg[role=img], main .live'), e => {"
            " const box = e.getBoundingClientRect();"
            " return [e.ariaLabel, box.width, box.height, e.checkVisibility()]; }).filter(f => f[3])"
        )
        assert len(figures) > len(FIGURES)
        for text, width, height, _ in figures:
            assert text and width > 100 and height > 20, f"figure '{text}' at {where}"
        # A lazy picture loads only when it is near; decode() rejects a broken one.
        images = page.evaluate(
            "Promise.all(Array.from(document.querySelectorAll('main img[loading]'), "
            "i => { i.loading = 'eager'; return i.decode().then(() => [i.alt, i.naturalWidth]); }))"
        )
        assert all(alt and natural_px > 0 for alt, natural_px in images), f"picture at {where}"
    assert not faults, faults
