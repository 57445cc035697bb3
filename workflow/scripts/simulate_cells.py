"""Rule simulate_cells: draw the pictures of a simulated laboratory."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cells.cohort import read_cohorts
        from histoweave.settings.cohorts import SimulateCells
        from histoweave.settings.config import parse_config
        from histoweave.simulate.cells import write_cells

        cohort = read_cohorts(parse_config(smk.config).cohorts, check_paths=False)[smk.wildcards.cohort]
        write_cells(smk.output[0], cells=cohort.rows, settings=SimulateCells.handed_over(smk.params.settings))


if __name__ == "__main__":
    main(snakemake)
