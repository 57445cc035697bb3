"""The demo's report: what it shows of slides, and where it leads."""

import re
from html import unescape

import pytest

from histoweave.storage.files import read_table


@pytest.fixture(scope="module")
def page(demo):
    return (demo / "results/demo/report.html").read_text(encoding="utf-8")


def test_every_usable_slide_is_shown_with_its_contour(demo, page):
    slides = read_table(demo / "results/demo/cohort/slides.parquet").set_index("slide")["status"]
    shown = re.findall(r'data-slide="([^"]+)" alt="[^"]*; status (\w+)">(<svg class="contours")?', page)
    assert {slide: status for slide, status, _ in shown} == slides.to_dict()
    assert all(bool(contour) == (status == "ok") for _, status, contour in shown)


def test_links_lead_to_pages_of_the_run(demo, page):
    section = page.partition('<section id="elsewhere"')[2].partition("</section>")[0]
    links = [unescape(href) for href in re.findall(r'href="([^"]+)"', section)]
    assert "../lab_a/concepts.html" in links
    assert all((demo / "results/demo" / link).is_file() for link in links)


def test_five_cards_stand_under_the_conclusion(page):
    assert page.count('<div class="card">') == 5
