"""Rule concept_report: the page of concepts, with its gallery."""

from pathlib import Path

from histoweave.mechanics.job import job

TABLES = ("metrics", "comparisons", "levels", "classes", "probes", "stability", "stability_concepts")


def main(smk):
    with job(smk):
        from histoweave.cells.cohort import read_cohorts
        from histoweave.pages.concepts.files import cohort_files, pictures_of_cells, pictures_of_slides
        from histoweave.pages.concepts.inputs import ConceptReportInputs
        from histoweave.pages.concepts.page import write_concept_report
        from histoweave.privacy.share import check_shared, concept_pseudonyms, shared_inputs
        from histoweave.privacy.user_files import read_files
        from histoweave.settings.concepts import Concepts
        from histoweave.settings.config import parse_config
        from histoweave.settings.sae import Sae
        from histoweave.storage.files import read_table, sha256_of

        config = smk.params.config
        source = config["sae"]["source"]
        kind = "cell" if source == "cells" else "slide"
        private = smk.params.privacy
        files = read_files(smk.config, smk.params.tokens) if private else None
        names = concept_pseudonyms(private, map(read_table, smk.input.images), kind=kind, files=files)
        cohorts = read_cohorts(parse_config(smk.config).cohorts, check_paths=False)
        root = Path(smk.input.sae[0]).parents[1]
        files = [
            cohort_files(
                name,
                root=str(root / "on" / name),
                images=images,
                tokens=smk.params.tokens[name],
                external=name != smk.wildcards.cohort,
                picture=pictures_of_cells(cohorts[name])
                if source == "cells"
                else pictures_of_slides(Path("results", name, "tiles"), texts=names is None),
            )
            for name, images in zip(smk.params.tokens, smk.input.images, strict=True)
        ]
        inputs = ConceptReportInputs(
            cohort=smk.wildcards.cohort,
            config=config,
            settings=Concepts.handed_over(config["concepts"]),
            sae_settings=Sae.handed_over(config["sae"]),
            sae=Path(smk.input.sae[0]).parent,
            figures=Path(smk.output.figures),
            training=files[0],
            externals=files[1:],
            readings=[reading for name in smk.params.tokens if name in cohorts for reading in cohorts[name].readings],
            input_sha256={path: sha256_of(path) for path in smk.input.get("sources", [])},
            code=dict(smk.params.stages),
            **{name: Path(smk.input[name]) for name in TABLES},
        )
        write_concept_report(shared_inputs(inputs, names), smk.output.html)
        check_shared(smk.output.html, names)


if __name__ == "__main__":
    main(snakemake)
