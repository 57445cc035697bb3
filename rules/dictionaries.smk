# From tokens to dictionaries, and cohorts as they see them. `cohort` is the one that dictionaries are fitted on, `target`
# one that they are applied to: the cohort itself, or an external one.


rule concept_folds:
    input:
        images=paths.IMAGES,
    output:
        paths.SAE_FOLDS,
    log:
        "results/{cohort}/logs/sae/{source}/folds.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/folds.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=CONFIG.folds.model_dump(include={"n_folds", "group_by"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.concepts.concept_folds"),
    script:
        "../workflow/scripts/concept_folds.py"


# One of several dictionaries that differ in their seed. It sees the tokens of all images and nothing else, so that a
# label that is mended does not fit it again.
rule fit_sae:
    input:
        tokens=by_wildcards(CELLS.token_files),
    output:
        **paths.all_at(paths.DICTIONARY, fit="seed{n}"),
        history=paths.at(paths.DICTIONARY_HISTORY, fit="seed{n}"),
    log:
        "results/{cohort}/logs/sae/{source}/seed{n}.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/fit/seed{n}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000),
        runtime=minutes(480),
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CELLS.fit_settings(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.sae.fit_sae", "histoweave.mechanics.device"),
    script:
        "../workflow/scripts/fit_sae.py"


# The dictionary of a fold is fitted without the fold's test patients.
rule fit_sae_fold:
    input:
        tokens=by_wildcards(CELLS.token_files),
        images=paths.IMAGES,
        folds=paths.SAE_FOLDS,
    output:
        **paths.all_at(paths.DICTIONARY, fit="fold{k}"),
        history=paths.at(paths.DICTIONARY_HISTORY, fit="fold{k}"),
    log:
        "results/{cohort}/logs/sae/{source}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/fit/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000),
        runtime=minutes(480),
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CELLS.fit_settings(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.sae.fit_sae", "histoweave.mechanics.device"),
    script:
        "../workflow/scripts/fit_sae_fold.py"


rule encode_concepts:
    input:
        sae=list(paths.all_at(paths.DICTIONARY, fit="seed0").values()),
        tokens=by_wildcards(CELLS.token_files, "target"),
        fitted_on=by_wildcards(CELLS.fitted_on),
    output:
        paths.ACTIVATIONS,
    log:
        "results/{cohort}/logs/sae/{source}/on/{target}/encode.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/on/{target}/encode.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(6000),
        runtime=minutes(240),
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        token_threshold=CONFIG.concepts.token_threshold,
        code=code_hash(
            "histoweave.concepts.encode_concepts", "histoweave.mechanics.device"
        ),
    script:
        "../workflow/scripts/encode_concepts.py"


# Everybody as the dictionary of a fold sees them, to be scored.
use rule encode_concepts as encode_fold with:
    input:
        sae=list(paths.all_at(paths.DICTIONARY, fit="fold{k}").values()),
        tokens=by_wildcards(CELLS.token_files),
    output:
        paths.FOLD_ACTIVATIONS,
    log:
        "results/{cohort}/logs/sae/{source}/fold{k}_encode.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/encode/fold{k}.tsv"


rule sae_stability:
    input:
        weights=lambda wildcards: CELLS.seed_files(wildcards.cohort, "weights"),
        rest=lambda wildcards: [
            *CELLS.seed_files(wildcards.cohort, "config"),
            *CELLS.seed_files(wildcards.cohort, "training"),
        ],
    output:
        **paths.STABILITY,
    log:
        "results/{cohort}/logs/sae/{source}/stability.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/stability.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(8000),
        runtime=minutes(120),
    params:
        seed=CONFIG.seed,
        code=code_hash("histoweave.concepts.sae_stability"),
    script:
        "../workflow/scripts/sae_stability.py"
