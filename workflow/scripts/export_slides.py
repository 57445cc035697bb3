"""Rule export_slides: tiles and features of the slides of a shard in the form of another tool."""

from pathlib import Path

from histoweave.log import redirect


def main(smk):
    with redirect(smk.log[0]):
        from histoweave.interop.shard import export_shard

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
