"""What several files look at: results of the demo, a browser, a page of concepts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from browsing import NewBrowser, launch, open_offline, with_another_browser
from concept_report_data import write_concept_run
from playwright.sync_api import Browser, Page, sync_playwright

from histoweave.pages.concepts.page import write_concept_report


@pytest.fixture(scope="session")
def results(demo):
    return demo / "results" / "demo"


@pytest.fixture(scope="session")
def explained(results):
    return results / "explain" / "cross_attention"


@pytest.fixture(scope="module")
def new_browser() -> Iterator[NewBrowser]:
    with sync_playwright() as playwright:
        yield lambda: launch(playwright)


@pytest.fixture(scope="module")
def browser(new_browser) -> Browser:
    return new_browser()


@pytest.fixture
def open_page(browser, new_browser):
    """A function that opens a page with the network off; nothing may be wrong with it at the end of the test."""
    faults: list[str] = []
    opened: list[Page] = []

    def open_(path: Path, *, width_px: int = 1400, scheme: str = "light") -> Page:
        browsers = chain([browser], iter(new_browser, None))

        @with_another_browser
        def drawn() -> Page:
            return open_offline(next(browsers), path, width_px=width_px, scheme=scheme, faults=faults)

        opened.append(drawn())
        return opened[-1]

    yield open_
    for page in opened:
        page.context.close()
    assert not faults, faults


@pytest.fixture(scope="session")
def gallery(tmp_path_factory) -> Path:
    """The page of a synthetic run with pictures and two other laboratories."""
    folder = tmp_path_factory.mktemp("gallery")
    write_concept_report(write_concept_run(folder, externals=("lab b", "lab c")), folder / "concepts.html")
    return folder / "concepts.html"
