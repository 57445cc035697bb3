"""The page of an external cohort in a real browser, with the network off: silent, accessible, never too wide."""

import pytest
from applied_data import write_applied_run
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from test_report_browser import _launch, _open

from histoweave.report.applied import SECTIONS, write_applied


@pytest.mark.parametrize("labelled", [True, False])
def test_the_page_works_offline_at_every_width(tmp_path, labelled):
    write_applied(write_applied_run(tmp_path, labelled=labelled), tmp_path / "report.html")
    faults = []
    with sync_playwright() as playwright:
        browser = _launch(playwright)
        for width_px in (390, 1400):
            for scheme in ("light", "dark"):
                page = _open(browser, tmp_path / "report.html", width_px=width_px, scheme=scheme, faults=faults)
                where = f"{width_px} px, {scheme}"
                assert all(page.locator(f"section#{name} h2").is_visible() for name in SECTIONS), where
                page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
                overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert overflow <= 0, f"{overflow} px too wide at {where}"
                found = Axe().run(page)
                assert found.violations_count == 0, f"{where}: {found.generate_report()}"
                page.context.close()
        browser.close()
    assert not faults, faults
