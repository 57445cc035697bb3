"""Real fields, with and without glass, and sections on tinted glass: what is taken for tissue, whatever is configured."""

import cv2
import numpy as np
import pytest
import tifffile
from running import SHARED, needs_shared_data

from histoweave.settings.tiles import Tiles
from histoweave.slides.reader import Overview
from histoweave.slides.tissue import Tissue, find_tissue
from histoweave.storage.refusal import Refusal

pytestmark = needs_shared_data
IMAGES = SHARED / "he_images"
SEGMENTATION = (2.0, 8.0, 32.0)

# (file, µm per px as far as it can be told)
FULL_OF_TISSUE = [
    (IMAGES / "histoqc/template1.png", 0.5),
    (IMAGES / "histoqc/template2.png", 0.5),
    (IMAGES / "histoqc/template3.png", 0.5),
    (IMAGES / "histolab/high-nuclei-score-level0.png", 0.5),
    (IMAGES / "torchstain/source.png", 0.5),
    (IMAGES / "torchstain/target.png", 0.5),
    (SHARED / "wsi_slides/OS-1-detail.ome.tif", 0.227),
    *((path, 0.25) for path in sorted((SHARED / "hist2rna_tcga_tiles").glob("*/*.png"))[::6]),
]


def pixels(path) -> np.ndarray:
    if path.suffix == ".tif":
        return tifffile.imread(path)[..., :3]
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def tissue_of(path, *, mpp: float, **keys) -> Tissue:
    return _tissue(pixels(path), mpp=mpp, **keys)


def _tissue(rgb: np.ndarray, *, mpp: float, **keys) -> Tissue:
    overview = Overview(rgb, np.ones(rgb.shape[:2], bool), 1.0, 1.0)
    return find_tissue(overview, mpp=mpp, settings=Tiles(**keys))


@pytest.mark.parametrize("segmentation_mpp", SEGMENTATION)
@pytest.mark.parametrize("scale", [0.5, 1, 2])
@pytest.mark.parametrize(("path", "mpp"), FULL_OF_TISSUE, ids=lambda value: getattr(value, "stem", ""))
def test_a_field_full_of_tissue_is_tissue(path, mpp, scale, segmentation_mpp):
    """Also with half and twice the spacing: what most of these files state is not known."""
    found = tissue_of(path, mpp=scale * mpp, segmentation_mpp=segmentation_mpp)
    assert found.mask.mean() > 0.95 and found.pen_share < 0.05


@pytest.mark.parametrize("segmentation_mpp", SEGMENTATION)
@pytest.mark.parametrize(
    ("name", "mpp", "status"),
    [
        ("histolab/almost-white-1.png", 0.5, "no_tissue"),
        ("histolab/no-tissue.png", 0.5, "no_tissue"),
        ("histolab/almost-white-1.png", 0.25, "no_tissue"),
        ("histolab/no-tissue-red-pen.png", 0.5, "pen_marks"),
        ("histolab/no-tissue-red-pen.png", 0.25, "pen_marks"),
    ],
)
def test_glass_and_ink_are_not_tissue(name, mpp, status, segmentation_mpp):
    with pytest.raises(Refusal) as refused:
        tissue_of(IMAGES / name, mpp=mpp, segmentation_mpp=segmentation_mpp)
    assert refused.value.status == status


def test_red_ink_beside_a_section_is_taken_out():
    """Strokes at the left, from thick to dry: 2.8 % of the frame as counted by eye, of 46 % tissue."""
    found = tissue_of(IMAGES / "histoqc/pen_red.png", mpp=16.0)
    assert 0.03 < found.pen_share < 0.09 and 0.43 < found.mask.mean() < 0.47
    stroke = found.mask[250:850, 110:150]
    assert stroke.mean() < 0.35


@pytest.mark.parametrize(
    ("name", "mpp"), [("C2/5714_HE_BT_C2", 0.696), ("C3/5714_HE_BT_D1", 0.669), ("C4/5714_HE_BT_D2", 0.690)]
)
def test_no_tissue_is_found_on_pink_glass(name, mpp):
    """Eosin has run over the glass beside the sections C3 and C4; glass is told by hand from its even colour."""
    path = SHARED / f"her2st/{name}.jpg"
    rgb = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4), cv2.COLOR_BGR2RGB)
    mask = _tissue(rgb, mpp=4 * mpp).mask
    small = cv2.resize(rgb, mask.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    spread = cv2.blur(small**2, (9, 9)) - cv2.blur(small, (9, 9)) ** 2
    even = cv2.erode((spread < 16).all(axis=2).astype(np.uint8), np.ones((5, 5))) > 0
    assert even.mean() > 0.7, "most of the frame is glass"
    assert (mask & even).sum() < 0.002 * mask.sum()
    assert 0.14 < mask.mean() < 0.19
