"""The page of an external cohort in a real browser, with the network off: silent, accessible, never too wide."""

from itertools import product

import pytest
from applied_data import write_applied_run
from axe_playwright_python.sync_playwright import Axe
from browsing import WIDTHS_PX

from histoweave.pages.applied.page import SECTIONS, write_applied


@pytest.mark.parametrize(("labelled", "odd"), [(True, ""), (False, ""), (True, "abstained"), (False, "insisted")])
def test_the_page_works_offline_at_every_width(open_page, tmp_path, labelled, odd):
    write_applied(write_applied_run(tmp_path, labelled=labelled, odd=odd), tmp_path / "report.html")
    for width_px, scheme in product(WIDTHS_PX, ("light", "dark")):
        page = open_page(tmp_path / "report.html", width_px=width_px, scheme=scheme)
        where = f"{width_px} px, {scheme}"
        assert all(page.locator(f"section#{name} h2").is_visible() for name in SECTIONS), where
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{overflow} px too wide at {where}"
        found = Axe().run(page)
        assert found.violations_count == 0, f"{where}: {found.generate_report()}"
