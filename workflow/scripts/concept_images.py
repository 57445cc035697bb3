"""Rule concept_images: the images of a cohort, with patients, labels and status."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.cells.images import images_of_slides, write_images
        from histoweave.storage.files import read_table

        if smk.wildcards.source == "tiles":
            images = images_of_slides(read_table(smk.input.slides), read_table(smk.input.patients))
        else:
            images = of_cells(smk)
        write_images(smk.output[0], images)


def of_cells(smk):
    from histoweave.cells.cohort import read_cohorts
    from histoweave.cells.images import images_of_cells, images_of_embeddings
    from histoweave.settings.config import parse_config

    cohort = read_cohorts(parse_config(smk.config).cohorts, check_paths=False)[smk.wildcards.cohort]
    given = {"patients": cohort.patients, "shards": smk.input.shards}
    if cohort.input.embeddings:
        return images_of_embeddings(**given)
    return images_of_cells(cohort.rows.reset_index(drop=True), attributes=cohort.input.attributes, **given)


if __name__ == "__main__":
    main(snakemake)
