rule expression:
    input:
        unpack(lambda wildcards: PLAN(WIRING.expression_sources(wildcards.cohort))),
    output:
        expression="results/{cohort}/expression/expression.parquet",
        samples="results/{cohort}/expression/samples.parquet",
        genes="results/{cohort}/expression/genes.parquet",
        report="results/{cohort}/expression/report.json",
    log:
        "results/{cohort}/logs/expression.log",
    benchmark:
        "results/{cohort}/benchmarks/expression.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: max(2000, int(40 * input.size_mb))
        * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        source=lambda wildcards: TABLES[wildcards.cohort].cohort.expression.model_dump(),
        patients=lambda wildcards: sorted(TABLES[wildcards.cohort].patients["patient"]),
        tcga=lambda wildcards: TABLES[wildcards.cohort].tcga,
        code=code_hash("histoweave.expression.stage"),
    script:
        "../workflow/scripts/expression.py"


rule cohort:
    input:
        unpack(lambda wildcards: PLAN(WIRING.cohort_inputs(wildcards.cohort))),
    output:
        patients="results/{cohort}/cohort/patients.parquet",
        slides="results/{cohort}/cohort/slides.parquet",
        flow="results/{cohort}/cohort/flow.parquet",
        read="results/{cohort}/cohort/read.parquet",
    log:
        "results/{cohort}/logs/cohort.log",
    benchmark:
        "results/{cohort}/benchmarks/cohort.tsv"
    conda:
        "../envs/slides.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        cohort=lambda wildcards: WIRING.join_settings(wildcards.cohort),
        code=code_hash("histoweave.cohort", "histoweave.shards", "histoweave.tables"),
    script:
        "../workflow/scripts/cohort.py"


rule folds:
    input:
        patients=FITTING(
            lambda wildcards: f"results/{wildcards.cohort}/cohort/patients.parquet"
        ),
    output:
        folds="results/{cohort}/folds.parquet",
        how="results/{cohort}/folds.json",
    log:
        "results/{cohort}/logs/folds.log",
    benchmark:
        "results/{cohort}/benchmarks/folds.tsv"
    wildcard_constraints:
        cohort="|".join(WIRING.trained()) or "-",  # no model is ever fitted on an external cohort
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=CONFIG.folds.model_dump(exclude={"site_check"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.folds"),
    script:
        "../workflow/scripts/folds.py"


rule control_folds:
    input:
        patients=FITTING(
            lambda wildcards: f"results/{wildcards.cohort}/cohort/patients.parquet"
        ),
        how="results/{cohort}/folds.json",
    output:
        labels="results/{cohort}/control/labels.parquet",
        folds="results/{cohort}/control/folds.parquet",
        how="results/{cohort}/control/shuffles.json",
    log:
        "results/{cohort}/logs/control_folds.log",
    benchmark:
        "results/{cohort}/benchmarks/control_folds.tsv"
    wildcard_constraints:
        cohort="|".join(WIRING.trained()) or "-",  # no model is ever fitted on an external cohort
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=CONFIG.folds.model_dump(exclude={"site_check"}),
        shuffles=CONTROL.shuffles(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.shuffles"),
    script:
        "../workflow/scripts/control_folds.py"
