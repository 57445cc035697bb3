rule fusion_fold:
    input:
        unpack(
            lambda wildcards: WIRING.fold_inputs(
                wildcards.cohort, wildcards.arm, wildcards.model, wildcards.k
            )
        ),
    output:
        model="results/{cohort}/{arm}/{model}/fold{k}/model.safetensors",
        config="results/{cohort}/{arm}/{model}/fold{k}/config.json",
        transforms="results/{cohort}/{arm}/{model}/fold{k}/transforms.parquet",
        history="results/{cohort}/{arm}/{model}/fold{k}/history.parquet",
        predictions="results/{cohort}/{arm}/{model}/fold{k}/predictions.parquet",
        modality_use="results/{cohort}/{arm}/{model}/fold{k}/modality_use.parquet",
        attention="results/{cohort}/{arm}/{model}/fold{k}/attention.parquet",
    log:
        "results/{cohort}/logs/{arm}/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/{arm}/{model}/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(4000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=lambda wildcards: WIRING.gpus(wildcards.model),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        settings=CONFIG.fusion.model_dump(exclude={"models"}),
        permutations=CONFIG.evaluation.permutations,
        seed=CONFIG.seed,
        code=code_hash("histoweave.fusion.fold", "histoweave.device"),
    script:
        "../workflow/scripts/fusion_fold.py"


rule evaluate:
    input:
        predictions=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "fusion", "predictions.parquet"
        ),
        modality_use=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "fusion", "modality_use.parquet"
        ),
        patients="results/{cohort}/cohort/patients.parquet",
    output:
        predictions="results/{cohort}/predictions.parquet",
        metrics="results/{cohort}/metrics.parquet",
        comparisons="results/{cohort}/comparisons.parquet",
        modality_use="results/{cohort}/modality_use.parquet",
        confusion="results/{cohort}/confusion.parquet",
        reliability="results/{cohort}/reliability.parquet",
        curves="results/{cohort}/curves.parquet",
        roc="results/{cohort}/roc.parquet",
        operating="results/{cohort}/operating.parquet",
        operating_thresholds="results/{cohort}/operating_thresholds.parquet",
    log:
        "results/{cohort}/logs/evaluate.log",
    benchmark:
        "results/{cohort}/benchmarks/evaluate.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        models=lambda wildcards: WIRING.fold_models(wildcards.cohort),
        modalities=lambda wildcards: WIRING.modalities(wildcards.cohort),
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        settings=CONFIG.evaluation.model_dump(exclude={"permutations"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.evaluation.evaluate",
            "histoweave.evaluation.modality",
            "histoweave.evaluation.operating",
        ),
    script:
        "../workflow/scripts/evaluate.py"


rule evaluate_control:
    input:
        predictions=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "control", "predictions.parquet"
        ),
        patients="results/{cohort}/control/patients.parquet",
    output:
        predictions="results/{cohort}/control/predictions.parquet",
        metrics="results/{cohort}/control/metrics.parquet",
    log:
        "results/{cohort}/logs/evaluate_control.log",
    benchmark:
        "results/{cohort}/benchmarks/evaluate_control.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, input, attempt: int(2000 + 20 * input.size_mb)
        * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        models=lambda wildcards: WIRING.fold_models(wildcards.cohort),
        modalities=lambda wildcards: WIRING.modalities(wildcards.cohort),
        classes=lambda wildcards: TABLES[wildcards.cohort].classes,
        settings=lambda wildcards: WIRING.control_evaluation(wildcards.cohort),
        seed=CONFIG.seed,
        code=code_hash("histoweave.evaluation.evaluate"),
    script:
        "../workflow/scripts/evaluate_control.py"
