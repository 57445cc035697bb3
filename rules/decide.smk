# What the predictions are good for: calibration, sets, abstention, decision curves, subgroups, and the learning curve.


rule decide:
    input:
        predictions=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "fusion", "predictions"
        ),
        patients=paths.PATIENTS,
        how_folded=paths.HOW_FOLDED,
    output:
        **paths.DECIDE,
    log:
        "results/{cohort}/logs/decide.log",
    benchmark:
        "results/{cohort}/benchmarks/decide.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        models=by_wildcards(WIRING.fold_models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        settings=CONFIG.decide.model_dump(exclude={"learning_curve"}),
        evaluation=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.decide.decide"),
    script:
        "../workflow/scripts/decide.py"


# All shares of a fold in one job: they read the same features, and a job takes longer to start than small shares to fit.
rule learning_fold:
    input:
        unpack(
            lambda wildcards: WIRING.fold_inputs(
                wildcards.cohort, "fusion", wildcards.model, wildcards.k
            )
        ),
    output:
        paths.LEARNING_FOLD,
    log:
        "results/{cohort}/logs/learning/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/learning/{model}/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=20),
        runtime=minutes(240),
        gpu=by_wildcards(WIRING.gpus),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        classes=by_wildcards(WIRING.classes),
        settings=by_wildcards(WIRING.fold_settings),
        shares=CONFIG.decide.learning_curve.shares,
        seed=CONFIG.seed,
        code=model_code(
            "histoweave.decide.learning_fold", "histoweave.mechanics.device"
        ),
    script:
        "../workflow/scripts/learning_fold.py"


rule learning_curve:
    input:
        parts=by_wildcards(DECIDE.learning_parts),
        full=by_wildcards(DECIDE.learning_full),
        patients=paths.PATIENTS,
        how_folded=paths.HOW_FOLDED,
    output:
        **paths.LEARNING,
    log:
        "results/{cohort}/logs/learning_curve.log",
    benchmark:
        "results/{cohort}/benchmarks/learning_curve.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        models=by_wildcards(DECIDE.learning_part_models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        more_patients=CONFIG.decide.learning_curve.more_patients,
        evaluation=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.decide.learning_curve", "histoweave.evaluation.clusters"
        ),
    script:
        "../workflow/scripts/learning_curve.py"
