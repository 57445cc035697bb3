# What every fit reads of the tiles. The features are read once for the summary, and once for all folds of an arm.
rule summarise_tiles:
    input:
        unpack(by_wildcards(WIRING.projection.summary_inputs)),
    output:
        paths.TILE_SUMMARY,
    log:
        "results/{cohort}/logs/summarise_tiles.log",
    benchmark:
        "results/{cohort}/benchmarks/summarise_tiles.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(240),
    params:
        seed=CONFIG.seed,
        code=code_hash("histoweave.fusion.tile_summary"),
    script:
        "../workflow/scripts/summarise_tiles.py"


rule project_tiles:
    input:
        unpack(by_wildcards(WIRING.projection.inputs)),
    output:
        [
            kept_if(CONFIG.mechanics.keep_projected, path)
            for path in WIRING.projection.files()
        ],
    log:
        "results/{cohort}/logs/{arm}/project_tiles.log",
    benchmark:
        "results/{cohort}/benchmarks/{arm}/project_tiles.tsv"
    wildcard_constraints:
        arm=r"fusion|sites|control/shuffle\d+",
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(3000, per_input_mb=4),
        runtime=minutes(240),
    params:
        settings=CONFIG.fusion.model_dump(include={"image_components"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.fusion.projection"),
    script:
        "../workflow/scripts/project_tiles.py"


rule fusion_fold:
    input:
        unpack(by_wildcards(WIRING.fold_inputs)),
    output:
        **paths.FITTED,
    log:
        "results/{cohort}/logs/{arm}/{model}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/{arm}/{model}/fold{k}.tsv"
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
        permutations=CONFIG.evaluation.permutations,
        seed=CONFIG.seed,
        code=model_code("histoweave.fusion.fusion_fold", "histoweave.mechanics.device"),
    script:
        "../workflow/scripts/fusion_fold.py"


rule evaluate:
    input:
        predictions=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "fusion", "predictions"
        ),
        modality_use=lambda wildcards: WIRING.fold_files(
            wildcards.cohort, "fusion", "modality_use"
        ),
        patients=paths.PATIENTS,
        how_folded=paths.HOW_FOLDED,
    output:
        **paths.EVALUATION,
    log:
        "results/{cohort}/logs/evaluate.log",
    benchmark:
        "results/{cohort}/benchmarks/evaluate.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        models=by_wildcards(WIRING.fold_models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        settings=CONFIG.evaluation.model_dump(exclude={"permutations", "confounders"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.evaluation.clusters",
            "histoweave.evaluation.evaluate",
            "histoweave.evaluation.modality",
            "histoweave.evaluation.choice",
            "histoweave.evaluation.operating",
        ),
    script:
        "../workflow/scripts/evaluate.py"


rule control_reference:
    input:
        unpack(by_wildcards(CONTROL.inputs, "cohort", "model")),
    output:
        predictions=paths.CONTROL_REFERENCE,
    log:
        "results/{cohort}/logs/control/{model}.log",
    benchmark:
        "results/{cohort}/benchmarks/control/{model}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=20),
        runtime=minutes(240),
    params:
        classes=by_wildcards(WIRING.classes),
        settings=by_wildcards(WIRING.fold_settings),
        shuffles=CONFIG.control.shuffles,
        seed=CONFIG.seed,
        code=model_code("histoweave.fusion.null"),
    script:
        "../workflow/scripts/control_reference.py"


rule control_network:
    input:
        unpack(by_wildcards(CONTROL.inputs)),
    output:
        predictions=paths.CONTROL_NETWORK,
    log:
        "results/{cohort}/logs/control/{model}/shuffle{n}.log",
    benchmark:
        "results/{cohort}/benchmarks/control/{model}/shuffle{n}.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(4000, per_input_mb=20),
        runtime=minutes(120 * (1 + WIRING.n_splits())),
        gpu=by_wildcards(WIRING.gpus),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        classes=by_wildcards(WIRING.classes),
        settings=by_wildcards(WIRING.fold_settings),
        seed=CONFIG.seed,
        code=model_code("histoweave.fusion.null", "histoweave.mechanics.device"),
    script:
        "../workflow/scripts/control_network.py"


rule evaluate_control:
    input:
        refits=by_wildcards(CONTROL.refits),
        labels=paths.CONTROL_LABELS["labels"],
        predictions=paths.EVALUATION["predictions"],
        metrics=paths.EVALUATION["metrics"],
    output:
        **paths.CONTROL,
    log:
        "results/{cohort}/logs/evaluate_control.log",
    benchmark:
        "results/{cohort}/benchmarks/evaluate_control.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000, per_input_mb=20),
        runtime=minutes(60),
    params:
        refitted=by_wildcards(CONTROL.refitted),
        models=by_wildcards(WIRING.models),
        modalities=by_wildcards(WIRING.modalities),
        classes=by_wildcards(WIRING.classes),
        confidence=CONFIG.evaluation.confidence,
        code=code_hash("histoweave.evaluation.null"),
    script:
        "../workflow/scripts/evaluate_control.py"
