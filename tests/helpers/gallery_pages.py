"""The page of concepts in a browser: what it shows, and answers given in it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from playwright.sync_api import Page


def shown(page: Page) -> list[int]:
    """Concepts of the visible cards in their order."""
    ids = page.evaluate("Array.from(document.querySelectorAll('article:not([hidden])'), card => card.id)")
    return [int(name.removeprefix("concept-")) for name in ids]


def data_of(page: Page) -> dict:
    """What the page holds of the run."""
    return json.loads(page.locator("#data").text_content())


def save(page: Page, to: Path) -> list[dict[str, str]]:
    """The rows of the file that the page saves."""
    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "review.csv"
    download.value.save_as(to)
    with to.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answer(page: Page, concept: int, *, name: str = "", verdict: str = "", comment: str = "") -> None:
    """Answer in the form of a concept."""
    form = page.locator(f"#concept-{concept} .review")
    form.scroll_into_view_if_needed()
    for field, text in (("name", name), ("comment", comment)):
        if text:
            form.locator(f"[name={field}]").fill(text)
    if verdict:
        form.locator(f"[value={verdict}]").check()
