"""Files of Leica scanners, which hold more than what was scanned."""

from pathlib import Path

import numpy as np
import tifffile

NM_PER_PX, CANVAS, CORNER = 500, (4000, 3000), (1500, 1000)


def write_scn(path: Path, rgb: np.ndarray, *, source: str = "brightfield") -> Path:
    """A Leica file whose scanned part, `rgb`, begins at `CORNER` of a larger canvas; beside it an overview."""

    def image(number: int, size: tuple[int, int], view: tuple[int, int], corner: tuple[int, int], power: int) -> str:
        extent = " ".join(
            f'{name}="{value * NM_PER_PX}"'
            for name, value in zip(("sizeX", "sizeY", "offsetX", "offsetY"), view + corner, strict=True)
        )
        width, height = size
        return (
            '<image><creationDate>2020-01-01T00:00:00Z</creationDate><device model="M" version="1"/>'
            f'<pixels sizeX="{width}" sizeY="{height}"><dimension sizeX="{width}" sizeY="{height}" r="0" '
            f'ifd="{number}"/></pixels><view {extent}/><scanSettings><objectiveSettings><objective>{power}</objective>'
            "</objectiveSettings><illuminationSettings><numericalAperture>0.4</numericalAperture>"
            f"<illuminationSource>{source}</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    size = rgb.shape[1], rgb.shape[0]
    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"><collection name="c" '
        f'sizeX="{CANVAS[0] * NM_PER_PX}" sizeY="{CANVAS[1] * NM_PER_PX}"><barcode>x</barcode>'
        f"{image(0, (400, 300), CANVAS, (0, 0), 1)}{image(1, size, size, CORNER, 20)}</collection></scn>"
    )
    form = {"tile": (128, 128), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    per_cm = {"resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        overview = np.full((300, 400, 3), 243, np.uint8)
        file.write(overview, description=text, resolution=(1000, 1000), **per_cm, **form)
        file.write(rgb, resolution=(20000, 20000), **per_cm, **form)
    return path
