"""Rule concepts_json: the concepts of a cohort for programs."""

from pathlib import Path

from histoweave.mechanics.job import job

TABLES = ("metrics", "comparisons", "levels", "classes", "probes", "stability", "stability_concepts")


def main(smk):
    with job(smk):
        from histoweave.pages.concepts.as_json import write_concepts_json
        from histoweave.pages.concepts.files import cohort_files
        from histoweave.pages.concepts.inputs import ConceptReportInputs
        from histoweave.privacy.share import check_shared, concept_pseudonyms, shared_inputs
        from histoweave.privacy.user_files import read_files
        from histoweave.settings.concepts import Concepts
        from histoweave.settings.sae import Sae
        from histoweave.storage.files import read_table, sha256_of

        config = smk.params.config
        kind = "cell" if config["sae"]["source"] == "cells" else "slide"
        images = {Path(path).parents[2].name: path for path in smk.input.images}
        private = smk.params.privacy
        named = read_files(smk.config, images) if private else None
        names = concept_pseudonyms(private, map(read_table, smk.input.images), kind=kind, files=named)
        inputs = []
        for trained, cohorts in smk.params.dictionaries.items():
            root = Path(images[trained]).parent
            files = [
                cohort_files(
                    name, root=str(root / "on" / name), images=images[name], tokens=(), external=name != trained,
                    picture=None,
                )
                for name in cohorts
            ]  # fmt: skip
            made = ConceptReportInputs(
                cohort=trained,
                config=config,
                settings=Concepts.handed_over(config["concepts"]),
                sae_settings=Sae.handed_over(config["sae"]),
                sae=root / "seed0",
                figures=Path(),
                training=files[0],
                externals=files[1:],
                input_sha256={path: sha256_of(path) for path in smk.input.get("sources", [])},
                code=dict(smk.params.stages),
                **{name: Path(smk.input[name]) for name in TABLES if name in smk.input.keys()},
            )
            inputs.append(shared_inputs(made, names))
        write_concepts_json(smk.wildcards.cohort, inputs, smk.output.json)
        check_shared(smk.output.json, names)


if __name__ == "__main__":
    main(snakemake)
