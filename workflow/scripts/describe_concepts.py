"""Rule describe_concepts: what is known of the concepts in one cohort."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.concepts.describe_concepts import concepts_stage
        from histoweave.settings.concepts import Concepts

        concepts_stage(
            activations=smk.input.activations,
            images=smk.input.images,
            shards=[path for path in smk.input.tokens if path.endswith(".h5")],
            folder=Path(smk.output.concepts).parent,
            settings=Concepts.handed_over({**smk.params.settings, "review": smk.input.get("review")}),
            attributes=smk.params.attributes,
        )


if __name__ == "__main__":
    main(snakemake)
