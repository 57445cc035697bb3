"""Rule check_cells: with `on_error: stop`, no cell may be unusable."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.cells.images import check_all_usable
        from histoweave.io import write_json

        write_json(smk.output[0], {"cells": check_all_usable(smk.input)})


if __name__ == "__main__":
    main(snakemake)
