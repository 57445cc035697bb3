# The demo cohort is made by the workflow itself, with its truth beside it. Other cohorts never meet these rules. They take
# seconds each, so that a cluster's queue would cost more than they do.


rule simulate_slide:
    output:
        slide="results/{cohort}/simulated/slides/{slide}.tiff",
        truth=paths.TRUTH_OF_SLIDE,
    log:
        "results/{cohort}/logs/simulate/{slide}.log",
    benchmark:
        "results/{cohort}/benchmarks/simulate/{slide}.tsv"
    localrule: True
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        slide=by_wildcards(WIRING.simulated_slide),
        code=code_hash("histoweave.simulate.slide"),
    script:
        "../workflow/scripts/simulate_slide.py"


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
        patients=by_wildcards(WIRING.simulated_patients),
        settings=by_wildcards(WIRING.expression_settings),
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
        truth=by_wildcards(WIRING.truth_files),
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
