# The side check: the references and the main fusion model once more, with whole sites left out of the fit.


rule site_folds:
    input:
        patients=FITTING(
            lambda wildcards: paths.at(paths.PATIENTS, cohort=wildcards.cohort)
        ),
    output:
        folds=paths.SITE_FOLDS,
        how=paths.SITES_HOW_FOLDED,
    log:
        "results/{cohort}/logs/site_folds.log",
    benchmark:
        "results/{cohort}/benchmarks/site_folds.tsv"
    wildcard_constraints:
        cohort="|".join(SITES.cohorts()) or "-",
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=CONFIG.folds.model_dump(exclude={"site_check"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.cohort.site_folds"),
    script:
        "../workflow/scripts/site_folds.py"


rule site_fold:
    input:
        unpack(
            lambda wildcards: WIRING.fold_inputs(
                wildcards.cohort, "sites", wildcards.model, wildcards.k
            )
        ),
    output:
        paths.at(paths.FITTED["predictions"], arm="sites"),
    log:
        "results/{cohort}/logs/sites/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/sites/{model}/fold{k}.tsv"
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
        seed=CONFIG.seed,
        code=model_code("histoweave.fusion.site_fold", "histoweave.mechanics.device"),
    script:
        "../workflow/scripts/site_fold.py"


rule evaluate_sites:
    input:
        predictions=by_wildcards(SITES.fold_files),
        patients=paths.PATIENTS,
        how_folded=paths.SITES_HOW_FOLDED,
    output:
        paths.SITE_METRICS,
    log:
        "results/{cohort}/logs/evaluate_sites.log",
    benchmark:
        "results/{cohort}/benchmarks/evaluate_sites.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        models=by_wildcards(SITES.fold_models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        settings=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.evaluation.site_check"),
    script:
        "../workflow/scripts/evaluate_sites.py"
