# The demo cohort is made by the workflow itself, with its truth beside it. Other cohorts never meet these rules. They take
# seconds each, so that a cluster's queue would cost more than they do.


rule simulate_slides:
    output:
        paths.SIMULATED_SLIDES,
    log:
        "results/{cohort}/logs/simulate/{shard}.log",
    benchmark:
        "results/{cohort}/benchmarks/simulate/{shard}.tsv"
    localrule: True
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(WIRING.shard_minutes(1)),
    params:
        slides=by_wildcards(SIMULATE.slides),
        code=code_hash("histoweave.simulate.simulate_slides"),
    script:
        "../workflow/scripts/simulate_slides.py"


rule simulate_expression:
    output:
        matrix="results/{cohort}/simulated/expression.tsv.gz",
        truth="results/{cohort}/simulated/truth_patients.parquet",
    log:
        "results/{cohort}/logs/simulate_expression.log",
    benchmark:
        "results/{cohort}/benchmarks/simulate_expression.tsv"
    localrule: True
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        patients=by_wildcards(SIMULATE.patients),
        settings=by_wildcards(SIMULATE.expression_settings),
        code=code_hash("histoweave.simulate.expression"),
    script:
        "../workflow/scripts/simulate_expression.py"


rule score_truth:
    input:
        attention=lambda wildcards: WIRING.fold_files(
            wildcards.cohort,
            "fusion",
            "attention",
            WIRING.attention_models(wildcards.cohort),
        ),
        slides=paths.SLIDES,
        simulated=by_wildcards(WIRING.simulated_indexes),
    output:
        paths.TRUTH,
    log:
        "results/{cohort}/logs/score_truth.log",
    benchmark:
        "results/{cohort}/benchmarks/score_truth.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        models=by_wildcards(WIRING.attention_models),
        tile_um=CONFIG.tiles.tile_px * CONFIG.tiles.target_mpp,
        bootstrap=CONFIG.evaluation.bootstrap,
        confidence=CONFIG.evaluation.confidence,
        seed=CONFIG.seed,
        code=code_hash("histoweave.simulate.truth"),
    script:
        "../workflow/scripts/score_truth.py"
