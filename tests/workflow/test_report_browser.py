"""The report in a real browser, with the network off: complete, silent, and never wider than the window."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from histoweave.report.figures import draw_figures
from histoweave.report.inputs import read_tables
from histoweave.report.page import SECTIONS, write_report

WIDTHS_PX = (390, 1400)
_ARGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


def _launch(playwright) -> Browser:
    chromium = shutil.which("chromium")
    if chromium is None and "CI" not in os.environ:
        pytest.skip("chromium is not installed")
    assert chromium, "chromium is not installed; CI needs it"
    return playwright.chromium.launch(executable_path=chromium, args=list(_ARGS))


def _open(browser: Browser, path: Path, *, width_px: int, scheme: str, faults: list[str]) -> Page:
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
    return page


def check_page(path: Path) -> None:
    """Assert that the report at `path` works at every width and in both colour schemes.

    Every section is visible, nothing is fetched, the console stays silent, every figure and picture has a
    size and a text, and the page is never wider than the window.
    """
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        for width_px in WIDTHS_PX:
            for scheme in ("light", "dark"):
                page = _open(browser, path, width_px=width_px, scheme=scheme, faults=faults)
                where = f"{width_px} px, {scheme}"
                for name in SECTIONS:
                    section = page.locator(f"section#{name}")
                    assert section.count() == 1 and section.is_visible(), f"section {name} at {where}"
                    assert section.locator("h2").inner_text().strip() == SECTIONS[name]
                # Everything that can be unfolded is, so that hidden tables are measured as well.
                page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
                overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert overflow <= 0, f"{overflow} px too wide at {where}"
                pictures = page.locator("main svg[role=img]")
                for index in range(pictures.count()):
                    box = pictures.nth(index).bounding_box()
                    assert box and box["width"] > 100 and box["height"] > 20, f"figure {index} at {where}"
                    assert pictures.nth(index).get_attribute("aria-label")
                # A lazy picture loads only when it is near; decode() rejects a broken one.
                images = page.evaluate(
                    "Promise.all(Array.from(document.querySelectorAll('main img'), "
                    "i => { i.loading = 'eager'; return i.decode().then(() => [i.alt, i.naturalWidth]); }))"
                )
                assert all(alt and natural_px > 0 for alt, natural_px in images), f"picture at {where}"
                page.context.close()
        browser.close()
    assert not faults, faults


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "unit"))
        from report_data import write_run

        inputs = write_run(folder)
    draw_figures(tables=read_tables(inputs), out_dir=inputs.figures)
    write_report(inputs, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        yield browser
        browser.close()


def test_report_works_offline_at_every_width(report):
    check_page(report)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("<script>console.error('x')</script>", "console error"),
        ('<img src="http://127.0.0.1:9/x.png" alt="x">', "console error|asks for|failed"),
        ('<main><div style="width:3000px;height:1px"></div></main>', "too wide"),
    ],
)
def test_check_page_finds_faults(report, tmp_path, fault, message):
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text(encoding="utf-8").replace("</footer>", f"</footer>{fault}"))
    with pytest.raises(AssertionError, match=message):
        check_page(broken)


def test_tables_sort_by_click_and_by_keyboard(browser, report):
    faults: list[str] = []
    page = _open(browser, report, width_px=1400, scheme="light", faults=faults)
    table = page.locator("section#metrics table").first
    column = table.locator("th button").all_inner_texts().index("AUROC")

    def values() -> list[float]:
        cells = table.locator(f"tbody tr td:nth-child({column + 1})")
        return [float(cell.get_attribute("data-sort")) for cell in cells.all()]

    button = table.locator("th button").nth(column)
    button.click()
    assert values() == sorted(values(), reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert values() == sorted(values())
    assert table.locator("th").nth(column).get_attribute("aria-sort") == "ascending"
    page.context.close()
    assert not faults, faults


def test_dark_scheme_changes_page_and_figures(browser, report):
    colours = {}
    for scheme in ("light", "dark"):
        page = _open(browser, report, width_px=1400, scheme=scheme, faults=[])
        colours[scheme] = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('section#metrics svg text')).fill]"
        )
        page.context.close()
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]
