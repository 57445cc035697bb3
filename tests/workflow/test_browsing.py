"""A browser that stops drawing neither holds a test for ever nor fails it: another one looks."""

from __future__ import annotations

from pathlib import Path

import browsing
import pytest
from browsing import NoFrames, open_offline, until


@pytest.fixture
def page_file(tmp_path) -> Path:
    path = tmp_path / "page.html"
    path.write_text('<!doctype html><html lang="en"><title>A page</title><p>Text</p></html>')
    return path


@pytest.fixture
def stuck(new_browser, monkeypatch):
    """A function that launches a browser in which no frame ever comes. Tests wait half a second for one."""
    monkeypatch.setattr(browsing, "NEXT_FRAME", browsing.NEXT_FRAME.replace("30_000", "500"))

    def launch():
        browser = new_browser()
        new_context = browser.new_context

        def frozen(**settings):
            context = new_context(**settings)
            context.add_init_script("window.requestAnimationFrame = () => 0")
            return context

        monkeypatch.setattr(browser, "new_context", frozen)
        return browser

    return launch


def test_a_browser_that_draws_nothing_is_found_out(stuck, page_file):
    with stuck() as browser, pytest.raises(NoFrames):
        open_offline(browser, page_file, width_px=390, scheme="light", faults=[])


def test_another_browser_looks_in_its_place(stuck, new_browser, page_file):
    launched = []

    @browsing.with_another_browser
    def title() -> str:
        launched.append((new_browser if launched else stuck)())
        return open_offline(launched[-1], page_file, width_px=390, scheme="light", faults=[]).title()

    assert title() == "A page" and len(launched) == 2


def test_three_browsers_that_draw_nothing_are_an_error(stuck, page_file):
    launched = []

    @browsing.with_another_browser
    def title() -> str:
        launched.append(stuck())
        return open_offline(launched[-1], page_file, width_px=390, scheme="light", faults=[]).title()

    with pytest.raises(NoFrames):
        title()
    assert len(launched) == 3


def test_waiting_ends(open_page, page_file):
    with pytest.raises(AssertionError, match="never true: 1 > 2"):
        until(open_page(page_file), "1 > 2", limit_s=0.2)
