"""Rule evaluate_control: what the models score on shuffled labels, and on the true ones against that."""

from histoweave.mechanics.job import job


def main(smk):
    with job(smk):
        from histoweave.evaluation.null import null_table, summarise, true_scores
        from histoweave.storage.files import read_table, write_table

        groups = read_table(smk.input.labels).drop_duplicates("patient").set_index("patient")["group"]
        how = {"groups": groups, "classes": list(smk.params.classes), "modalities": list(smk.params.modalities)}
        null = null_table(list(zip(smk.params.refitted, map(read_table, smk.input.refits), strict=True)), **how)
        true = true_scores(read_table(smk.input.predictions), read_table(smk.input.metrics), **how)
        summary = summarise(null, true, order=list(smk.params.models), confidence=smk.params.confidence)
        write_table(smk.output.null, null)
        write_table(smk.output.summary, summary)


if __name__ == "__main__":
    main(snakemake)
