"""Rule export_slides: tiles and features of the slides of a shard in the form of another tool."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.interop.export_slides import export_shard

        export_shard(
            smk.wildcards.form,
            index=Path(smk.output[0]),
            tiles_index=Path(smk.input.tiles),
            features_index=Path(smk.input.features),
            patients=smk.params.patients,
            code=smk.params.code,
        )


if __name__ == "__main__":
    main(snakemake)
