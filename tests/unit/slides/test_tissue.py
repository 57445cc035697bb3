"""Glass is told from tissue: fields without glass, small pictures, tinted glass, stain that was washed over glass."""

import cv2
import numpy as np
import pytest
from glass_scenes import DENSE, MPP, cells, glass, refusal_of, tissue_of
from hypothesis import given, settings
from hypothesis import strategies as st

from histoweave.settings.tiles import Tiles
from histoweave.slides.reader import Overview
from histoweave.slides.tissue import find_tissue
from histoweave.storage.refusal import Refusal

SEGMENTATION = (2.0, 8.0, 32.0)
# Ki67: a pale counterstain, blue negative and brown positive nuclei.
KI67 = {
    "grey-blue": cells((215, 220, 228), (130, 140, 175), (130, 140, 175), (110, 75, 50)),
    "near white": cells((232, 234, 238), (140, 150, 185), (140, 150, 185), (110, 75, 50)),
    "blue": cells((205, 215, 232), (120, 135, 185), (120, 135, 185), (100, 60, 40)),
    "warm": cells((228, 222, 214), (120, 125, 165), (120, 125, 165), (120, 70, 40)),
}


@pytest.mark.parametrize("segmentation_mpp", SEGMENTATION)
@pytest.mark.parametrize("field", [DENSE, *KI67.values()], ids=["dense", *KI67])
def test_a_field_without_glass_is_tissue_at_any_segmentation_mpp(field, segmentation_mpp):
    found = tissue_of(field, segmentation_mpp=segmentation_mpp)
    assert found.mask.mean() > 0.97 and found.pen_share < 0.05


@settings(deadline=None, max_examples=25, derandomize=True)
@given(
    ground=st.tuples(st.integers(160, 235), st.integers(110, 200), st.integers(150, 235)),
    nuclei=st.tuples(st.integers(60, 130), st.integers(40, 100), st.integers(90, 150)),
    seed=st.integers(0, 100),
)
def test_any_field_of_pink_and_purple_is_tissue(ground, nuclei, seed):
    """Eosin lets red and blue through better than green, and haematoxylin blue better than red."""
    red, green, blue = ground
    ground = (max(red, green + 15), green, max(blue, green + 10))
    field = cells(ground, nuclei, edge_px=300, per_um2=0.006, seed=seed)
    assert tissue_of(field).mask.mean() > 0.9


@pytest.mark.parametrize(("edge_px", "mpp"), [(150, 0.5), (282, 0.25), (282, 0.5), (512, 0.25), (512, 0.5)])
def test_small_pictures_show_what_they_show(edge_px, mpp):
    """Also those that are smaller than `min_region_um2`, whose gaps would all be filled."""
    assert tissue_of(DENSE[:edge_px, :edge_px], mpp=mpp).mask.all()
    for empty in (np.full((edge_px, edge_px, 3), 255, np.uint8), glass(edge_px), glass(edge_px, (205, 205, 207))):
        assert refusal_of(empty, mpp=mpp).status == "no_tissue"
    inked = glass(edge_px)
    inked[edge_px // 8 : -edge_px // 8, edge_px // 8 : -edge_px // 8] = (40, 130, 90)
    assert refusal_of(inked, mpp=mpp).status == "pen_marks"
    half = glass(edge_px)
    half[:, : edge_px // 2] = DENSE[:edge_px, : edge_px // 2]
    assert tissue_of(half, mpp=mpp).mask.mean() == pytest.approx(0.5, abs=0.1)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    grey=st.integers(170, 255),
    tint=st.tuples(*[st.integers(-4, 4)] * 3),
    noise=st.floats(0, 4),
    edge_px=st.integers(40, 300),
)
def test_empty_glass_is_never_tissue(grey, tint, noise, edge_px):
    picture = glass(edge_px, np.array([grey] * 3) + tint, noise)
    assert refusal_of(picture).status == "no_tissue"


@pytest.mark.parametrize("glass_share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("name", ["grey-blue", "near white", "warm"])
def test_pale_immunohistochemistry_beside_glass_is_found(name, glass_share):
    """Its counterstain is paler than that of H&E, and its nuclei cover less than half of it."""
    scene = glass(2400)
    begins = int(glass_share * 2400)
    scene[:, begins:] = np.tile(KI67[name], (4, 4, 1))[:, : 2400 - begins]
    for segmentation_mpp in (2.0, 8.0):
        mask = tissue_of(scene, segmentation_mpp=segmentation_mpp).mask
        first = round(glass_share * mask.shape[1])
        assert mask[:, first + 3 :].mean() > 0.8 and mask[:, : first - first // 4].mean() < 0.02


@pytest.mark.parametrize("segmentation_mpp", SEGMENTATION)
def test_dust_scratches_bubbles_and_edges_are_not_tissue(segmentation_mpp):
    rng = np.random.default_rng(1)
    dirty = glass(2400)
    for _ in range(120):
        centre, radius = rng.integers(0, 2400, 2).tolist(), int(rng.integers(2, 12))
        cv2.circle(dirty, centre, radius, rng.integers(40, 200, 3).tolist(), -1)
    for _ in range(6):
        ends = rng.integers(0, 2400, (2, 2)).tolist()
        cv2.line(dirty, *ends, (150, 140, 130), 3)
    cv2.circle(dirty, (1600, 1600), 500, (120, 120, 125), 12)
    cv2.line(dirty, (0, 300), (2400, 340), (60, 60, 60), 40)
    dirty[:, :120] = 3
    cv2.putText(dirty, "A 12", (300, 1300), cv2.FONT_HERSHEY_SIMPLEX, 12, (25, 25, 30), 60)
    assert refusal_of(dirty, segmentation_mpp=segmentation_mpp).status == "no_tissue"


@pytest.mark.parametrize("tint", [(1.0, 0.92, 0.97), (1.0, 0.82, 0.93), (0.98, 0.97, 0.83), (0.85, 0.93, 1.0)])
def test_tinted_glass_is_glass(tint):
    scene = glass(1200)
    scene[300:900, 300:900] = DENSE
    mask = tissue_of((scene * np.array(tint)).astype(np.uint8)).mask
    assert mask.mean() == pytest.approx(0.25, abs=0.02)


def washed(scene: np.ndarray) -> np.ndarray:
    """Pink stain in a cloud right of the middle, thinning out to nothing; as flat as glass."""
    height, width = scene.shape[:2]
    y, x = np.mgrid[:height, :width]
    strength = np.exp(-(((x - 0.75 * width) / 300) ** 2) - ((y - 0.5 * height) / 300) ** 2)[..., None]
    return (scene * 10 ** -(strength * np.array([0.01, 0.11, 0.05]))).astype(np.uint8)


def test_stain_washed_over_glass_is_not_tissue():
    scene = glass(1600, (240, 225, 235), 1.0)
    section = np.zeros(scene.shape[:2], bool)
    section[500:1100, 300:900] = True
    scene[500:1100, 300:900] = DENSE
    picture = washed(scene)
    film = picture[700:900, 1100:1300].reshape(-1, 3).astype(int)
    assert (film.max(axis=1) - film.min(axis=1)).mean() > 35, "more chroma than pale tissue has"
    mask = tissue_of(picture).mask
    reference = cv2.resize(section.astype(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    assert (mask & reference).sum() / (mask | reference).sum() > 0.93


def test_strongly_coloured_glass_is_refused_and_strongly_coloured_tissue_is_not():
    salmon = glass(600, (245, 128, 128))
    salmon[150:450, 150:450] = DENSE[:300, :300]
    assert refusal_of(salmon).status == "odd_colours"
    assert tissue_of(cells((200, 90, 140), (150, 60, 120))).mask.all()
    dark = (DENSE * 0.1).astype(np.uint8)
    assert refusal_of(dark).status == "not_brightfield"


def test_a_slide_that_is_transparent_everywhere_has_no_tissue():
    overview = Overview(DENSE, np.zeros(DENSE.shape[:2], bool), 1.0, 1.0)
    with pytest.raises(Refusal, match="transparent everywhere"):
        find_tissue(overview, mpp=MPP, settings=Tiles())
