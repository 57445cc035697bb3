# Site, scanner and other columns: what they tell of the label, and what predictions and measurements tell of them.


rule confounding:
    input:
        unpack(lambda wildcards: CONFOUNDING.inputs(wildcards.cohort)),
    output:
        "results/{cohort}/confounding.parquet",
    log:
        "results/{cohort}/logs/confounding.log",
    benchmark:
        "results/{cohort}/benchmarks/confounding.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(4000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        models=lambda wildcards: WIRING.models(wildcards.cohort),
        modalities=lambda wildcards: WIRING.modalities(wildcards.cohort),
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        settings=CONFIG.evaluation.model_dump(exclude={"permutations"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.evaluation.confounding"),
    script:
        "../workflow/scripts/confounding.py"
