"""The page of concepts of other runs: of slides, with parts that are missing, of a dead dictionary, of full size."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
from concept_page import Page, write_page
from concept_report_data import make_sae, write_concept_run
from PIL import Image

from histoweave.concepts.encode_images import patch_maps
from histoweave.pages.concepts.cards import CELLS_PER_CARD
from histoweave.pages.concepts.maps import MAX_SQUARES, token_maps
from histoweave.pages.concepts.page import SECTIONS
from histoweave.pages.concepts.thumbnails import CELL_PX
from histoweave.sae.tokens import Tokens, slide_blocks
from histoweave.storage.files import read_table, write_table

MAX_BYTES = 25_000_000


def test_slides_have_their_tiles_where_they_lie(tmp_path):
    inputs = write_concept_run(tmp_path, source="tiles", n_cells=12)
    files = inputs.training
    many, few = list(files.features)[:2]
    sae = make_sae(16, 40)
    found = token_maps(sae, files, {many: [1], few: [1, 2]})
    assert set(found) == {(many, 1), (few, 1), (few, 2)}
    layout = found[few, 1].layout
    places = np.frombuffer(base64.b64decode(layout["places"]), dtype="<u2").reshape(-1, 2) / 65535 * [4000, 3000]
    assert (layout["width"], layout["height"]) == (100 / 4000, round(100 / 3000, 6))
    corners = {(x, y) for y in range(0, 2901, 400) for x in range(0, 3901, 400)}
    assert {tuple(place) for place in np.rint(places).astype(int).tolist()} == corners
    merged = found[many, 1]
    assert len(merged.values) <= MAX_SQUARES < 79 * 59
    whole = patch_maps(sae, Tokens(_slide(files, many)), {many: [1]})[many, 1]
    assert merged.values.max() == whole.max()
    page = Page(write_page(inputs, tmp_path / "concepts.html"))
    assert all("places" in layout for layout in page.data["layouts"])


def _slide(files, slide):
    return slide_blocks({slide: str(files.features[slide])})


def test_parts_that_a_run_lacks_are_said_to_be_left_out(tmp_path):
    inputs = write_concept_run(tmp_path, optional=False, externals=())
    empty = read_table(inputs.training.associations).head(0)
    write_table(inputs.training.associations, empty)
    text = write_page(inputs, tmp_path / "concepts.html")
    page = Page(text)
    assert [section["id"] for section in page.all("section")] == list(SECTIONS)
    assert text.count("Not shown:") == 4  # scores, probes, other seeds, other laboratories
    assert not page.all("select", id="filter-classes") and not page.all("select", id="filter-alive")
    with_external = write_concept_run(tmp_path / "b", optional=False)
    text = write_page(with_external, tmp_path / "b.html")
    assert "the shift was not measured" in text and "no classifier was applied to" in text


def test_images_without_label_and_refused_ones(tmp_path):
    inputs = write_concept_run(tmp_path, externals=())
    images = read_table(inputs.training.images).assign(label=None, patient_label=None)
    write_table(inputs.training.images, images)
    text = write_page(inputs, tmp_path / "concepts.html")
    assert "unreadable_cell" in text and "2 of 62" in text
    assert not any(label in text.split('id="concepts"')[1].split("stronger")[0] for label in ("None", "nan,"))


def test_dictionary_in_which_everything_is_dead(tmp_path):
    inputs = write_concept_run(tmp_path)
    table = read_table(inputs.training.concepts).assign(dead_by_magnitude=True)
    write_table(inputs.training.concepts, table)
    text = write_page(inputs, tmp_path / "concepts.html")
    assert "no concept is alive" in text and Page(text).data["cards"] == []


def test_300_concepts_with_16_cells_each_are_below_25_mb(tmp_path):
    inputs = write_concept_run(tmp_path, n_latents=310, dim=32, n_cells=120, gallery=300, edge_px=8, optional=False)
    noise = np.random.default_rng(0)

    def textured(_: str) -> Image.Image:  # 3 kB as JPEG, somewhat more than the picture of a real cell
        return Image.fromarray(noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((CELL_PX, CELL_PX))

    cohorts = [dataclasses.replace(files, picture=textured) for files in (inputs.training, *inputs.externals)]
    text = write_page(
        dataclasses.replace(inputs, training=cohorts[0], externals=cohorts[1:]), tmp_path / "concepts.html"
    )
    data = Page(text).data
    assert len(data["cards"]) == 300
    n_cells = sum(len(card["cells"]) for card in data["cards"])
    assert n_cells > 0.97 * 300 * CELLS_PER_CARD
    each = sum(map(len, data["pictures"])) / len(data["pictures"])
    assert each > 3000
    # Had every cell a picture of its own, in place of those that cards share, and a map of 16 × 16 for 6 × 6:
    more = (n_cells - len(data["pictures"])) * each + n_cells * (344 - 48)
    assert len(text.encode()) + more < MAX_BYTES
