"""Rule simulate_cells: draw the pictures of a simulated laboratory."""

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.cell_config import SimulateCells
        from histoweave.cells.cohort import read_cohorts
        from histoweave.config import parse_config
        from histoweave.simulate.cells import write_cells

        cohort = read_cohorts(parse_config(smk.config), check_paths=False)[smk.wildcards.cohort]
        write_cells(smk.output[0], cells=cohort.rows, settings=SimulateCells.model_validate(smk.params.settings))


if __name__ == "__main__":
    main(snakemake)
