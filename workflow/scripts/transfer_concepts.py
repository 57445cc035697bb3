"""Rule transfer_concepts: an external cohort through the classifiers of a training cohort, and how it differs."""

from pathlib import Path

from histoweave.mechanics.gpu_job import gpu_job


def main(smk):
    with gpu_job(smk):
        transfer(smk)


def transfer(smk):
    from histoweave.concepts.cohort_data import read_images
    from histoweave.concepts.rejected import rejected_of
    from histoweave.concepts.transfer_concepts import shift_stage, transfer_stage
    from histoweave.mechanics.device import resolve_device
    from histoweave.settings.concepts import Concepts
    from histoweave.settings.evaluation import Evaluation
    from histoweave.settings.folds import Folds

    dictionary = Path(smk.input.sae[0]).parent
    common = {
        "train_activations": smk.input.activations[0],
        "external_activations": smk.input.activations[1],
        "settings": Concepts.handed_over(smk.params.settings),
        "evaluation": Evaluation.handed_over(smk.params.evaluation),
        "seed": smk.params.seed,
    }
    transfer_stage(
        read_images(smk.input.images[0], smk.input.tokens),
        read_images(smk.input.images[1], smk.input.target_tokens),
        dictionary=dictionary,
        rejected=rejected_of(smk.input.get("review"), dictionary),
        fold_settings=Folds.handed_over(smk.params.folds),
        device=resolve_device(smk.resources.device),
        out={
            "predictions": smk.output.transfer_predictions,
            "metrics": smk.output.transfer,
            "comparisons": smk.output.transfer_comparisons,
            "classes": smk.output.transfer_classes,
        },
        **common,
    )
    shift_stage(
        train_images=smk.input.images[0],
        external_images=smk.input.images[1],
        out={"shift": smk.output.shift, "shift_concepts": smk.output.shift_concepts},
        **common,
    )


if __name__ == "__main__":
    main(snakemake)
