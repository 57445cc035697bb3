"""Rule check_cells: with `on_error: stop`, no cell may be unusable."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cells.images import check_all_usable
        from histoweave.storage.files import write_json

        write_json(smk.output[0], {"cells": check_all_usable(smk.input)})


if __name__ == "__main__":
    main(snakemake)
