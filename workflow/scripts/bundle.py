"""Rule bundle: a training cohort's fitted models, frozen, in one file."""

from pathlib import Path

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.apply.bundle import write_bundle
        from histoweave.apply.training import read_training

        optional = {
            name: Path(smk.input[name])
            for name in ("expression", "samples", "temperatures", "scores")
            if name in smk.input.keys()
        }
        dictionary = Path(smk.input.dictionary[0]).parent if "dictionary" in smk.input.keys() else None
        root = Path(smk.output[0]).parent
        training = read_training(root, optional=optional, dictionary=dictionary, **smk.params.given)
        write_bundle(Path(smk.output[0]), training)


if __name__ == "__main__":
    main(snakemake)
