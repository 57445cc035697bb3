# Tiles and features in the forms of other tools, on request: `snakemake --cores 2 export`.


rule export_slides:
    input:
        tiles="results/{cohort}/tiles/shards/{shard}.json",
        features=lambda wildcards: WIRING.feature_index(
            wildcards.cohort, wildcards.shard
        ),
    output:
        "results/{cohort}/exports/{form}/shards/{shard}.json",
    log:
        "results/{cohort}/logs/exports/{form}/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/exports/{form}/{shard}.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: WIRING.shard_minutes(2) * attempt,
    params:
        patients=lambda wildcards: WIRING.patients_of(wildcards.cohort, wildcards.shard),
        code=code_hash("histoweave.interop.shard"),
    script:
        "../workflow/scripts/export_slides.py"
