rule expression:
    input:
        unpack(lambda wildcards: PLAN(WIRING.expression_sources(wildcards.cohort))),
    output:
        **paths.EXPRESSION,
        report=paths.EXPRESSION_REPORT,
    log:
        "results/{cohort}/logs/expression.log",
    benchmark:
        "results/{cohort}/benchmarks/expression.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory_of("matrix", memory_mb),
        runtime=minutes(30),
    params:
        source=by_wildcards(WIRING.expression_source),
        patients=by_wildcards(WIRING.patient_ids),
        tcga=by_wildcards(WIRING.is_tcga),
        code=code_hash("histoweave.expression.prepare"),
    script:
        "../workflow/scripts/expression.py"


rule cohort:
    input:
        unpack(lambda wildcards: PLAN(WIRING.cohort_inputs(wildcards.cohort))),
    output:
        **paths.COHORT,
    log:
        "results/{cohort}/logs/cohort.log",
    benchmark:
        "results/{cohort}/benchmarks/cohort.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(30),
    params:
        cohort=by_wildcards(WIRING.join_settings),
        code=code_hash(
            "histoweave.cohort.join",
            "histoweave.storage.shards",
            "histoweave.cohort.tables",
        ),
    script:
        "../workflow/scripts/cohort.py"


rule folds:
    input:
        patients=FITTING(
            lambda wildcards: paths.at(paths.PATIENTS, cohort=wildcards.cohort)
        ),
    output:
        folds=paths.FOLDS,
        how=paths.HOW_FOLDED,
    log:
        "results/{cohort}/logs/folds.log",
    benchmark:
        "results/{cohort}/benchmarks/folds.tsv"
    wildcard_constraints:
        cohort="|".join(WIRING.trained()) or "-",  # no model is ever fitted on an external cohort
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=CONFIG.folds.model_dump(exclude={"site_check"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.cohort.folds"),
    script:
        "../workflow/scripts/folds.py"


rule control_folds:
    input:
        patients=FITTING(
            lambda wildcards: paths.at(paths.PATIENTS, cohort=wildcards.cohort)
        ),
        how=paths.HOW_FOLDED,
    output:
        **paths.CONTROL_LABELS,
        how=paths.CONTROL_HOW,
    log:
        "results/{cohort}/logs/control_folds.log",
    benchmark:
        "results/{cohort}/benchmarks/control_folds.tsv"
    wildcard_constraints:
        cohort="|".join(WIRING.trained()) or "-",  # no model is ever fitted on an external cohort
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        settings=CONFIG.folds.model_dump(exclude={"site_check"}),
        shuffles=CONTROL.shuffles(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.cohort.shuffles"),
    script:
        "../workflow/scripts/control_folds.py"
