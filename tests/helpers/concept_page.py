"""The page of concepts, written and read again as far as tests ask."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from histoweave.pages.concepts.inputs import ConceptReportInputs
from histoweave.pages.concepts.page import write_concept_report


class Page(HTMLParser):
    """What a browser would make of the page, as far as tests ask."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        script = self.tags and self.tags[-1][0] == "script" and data.strip()
        (self.scripts if script else self.text).append(data)

    def all(self, tag: str, **having: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and having.items() <= found.items()]


def write_page(inputs: ConceptReportInputs, out: Path) -> str:
    """Its text."""
    write_concept_report(inputs, out)
    return out.read_text(encoding="utf-8")
