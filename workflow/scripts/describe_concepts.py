"""Rule describe_concepts: what is known of the concepts in one cohort."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.cell_config import Concepts
        from histoweave.concepts.stage import concepts_stage

        concepts_stage(
            activations=smk.input.activations,
            images=smk.input.images,
            shards=[path for path in smk.input.tokens if path.endswith(".h5")],
            folder=Path(smk.output.concepts).parent,
            settings=Concepts.model_validate({**smk.params.settings, "review": smk.input.get("review")}),
            attributes=smk.params.attributes,
        )


if __name__ == "__main__":
    main(snakemake)
