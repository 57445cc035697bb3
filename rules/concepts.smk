# From tokens to concepts. `cohort` is the one that dictionaries are fitted on, `target` one that they are applied to:
# the cohort itself, or an external one.


rule concept_folds:
    input:
        images="results/{cohort}/sae/{source}/images.parquet",
    output:
        "results/{cohort}/sae/{source}/folds.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/folds.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/folds.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=CONFIG.folds.model_dump(include={"n_folds", "group_by"}),
        seed=CONFIG.seed,
        code=code_hash("histoweave.concepts.splits"),
    script:
        "../workflow/scripts/concept_folds.py"


# One of several dictionaries that differ in their seed. It sees the tokens of all images and nothing else, so that a
# label that is mended does not fit it again.
rule fit_sae:
    input:
        tokens=lambda wildcards: CELLS.token_files(wildcards.cohort),
    output:
        weights="results/{cohort}/sae/{source}/seed{n}/sae_weights.safetensors",
        config="results/{cohort}/sae/{source}/seed{n}/cfg.json",
        training="results/{cohort}/sae/{source}/seed{n}/training.safetensors",
        history="results/{cohort}/sae/{source}/seed{n}/history.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/seed{n}.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/fit/seed{n}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CELLS.fit_settings(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.sae.stage", "histoweave.device"),
    script:
        "../workflow/scripts/fit_sae.py"


# The dictionary of a fold is fitted without the fold's test patients.
rule fit_sae_fold:
    input:
        tokens=lambda wildcards: CELLS.token_files(wildcards.cohort),
        images="results/{cohort}/sae/{source}/images.parquet",
        folds="results/{cohort}/sae/{source}/folds.parquet",
    output:
        weights="results/{cohort}/sae/{source}/fold{k}/sae_weights.safetensors",
        config="results/{cohort}/sae/{source}/fold{k}/cfg.json",
        training="results/{cohort}/sae/{source}/fold{k}/training.safetensors",
        history="results/{cohort}/sae/{source}/fold{k}/history.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/fold{k}.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/fit/fold{k}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CELLS.fit_settings(),
        seed=CONFIG.seed,
        code=code_hash("histoweave.sae.stage", "histoweave.device"),
    script:
        "../workflow/scripts/fit_sae_fold.py"


rule encode_concepts:
    input:
        sae=multiext(
            "results/{cohort}/sae/{source}/seed0/",
            "sae_weights.safetensors",
            "cfg.json",
            "training.safetensors",
        ),
        tokens=lambda wildcards: CELLS.token_files(wildcards.target),
    output:
        "results/{cohort}/sae/{source}/on/{target}/activations.h5",
    log:
        "results/{cohort}/logs/sae/{source}/on/{target}/encode.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/on/{target}/encode.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        token_threshold=CONFIG.concepts.token_threshold,
        code=code_hash("histoweave.concepts.encode", "histoweave.device"),
    script:
        "../workflow/scripts/encode_concepts.py"


# Everybody as the dictionary of a fold sees them, to be scored.
use rule encode_concepts as encode_fold with:
    input:
        sae=multiext(
            "results/{cohort}/sae/{source}/fold{k}/",
            "sae_weights.safetensors",
            "cfg.json",
            "training.safetensors",
        ),
        tokens=lambda wildcards: CELLS.token_files(wildcards.cohort),
    output:
        "results/{cohort}/sae/{source}/fold{k}/activations.h5",
    log:
        "results/{cohort}/logs/sae/{source}/fold{k}_encode.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/encode/fold{k}.tsv"


rule describe_concepts:
    input:
        unpack(lambda wildcards: CELLS.review()),
        activations="results/{cohort}/sae/{source}/on/{target}/activations.h5",
        tokens=lambda wildcards: CELLS.token_files(wildcards.target),
        images="results/{target}/sae/{source}/images.parquet",
    output:
        concepts="results/{cohort}/sae/{source}/on/{target}/concepts.parquet",
        top_images="results/{cohort}/sae/{source}/on/{target}/top_images.parquet",
        associations="results/{cohort}/sae/{source}/on/{target}/associations.parquet",
        patients="results/{cohort}/sae/{source}/on/{target}/patients.parquet",
        classes="results/{cohort}/sae/{source}/on/{target}/classes.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/on/{target}/concepts.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/on/{target}/concepts.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=CONFIG.concepts.model_dump(include={"dead_below", "top_images"}),
        attributes=lambda wildcards: CELLS.attributes(wildcards.target),
        code=code_hash("histoweave.concepts.stage"),
    script:
        "../workflow/scripts/describe_concepts.py"


rule score_concepts:
    input:
        unpack(lambda wildcards: CELLS.rejections()),
        sae=lambda wildcards: CELLS.scoring_weights(wildcards.cohort),
        activations=lambda wildcards: CELLS.scoring_activations(wildcards.cohort),
        tokens=lambda wildcards: CELLS.token_files(wildcards.cohort),
        images="results/{cohort}/sae/{source}/images.parquet",
        folds="results/{cohort}/sae/{source}/folds.parquet",
    output:
        predictions="results/{cohort}/sae/{source}/scores/predictions.parquet",
        metrics="results/{cohort}/sae/{source}/scores/metrics.parquet",
        comparisons="results/{cohort}/sae/{source}/scores/comparisons.parquet",
        probes="results/{cohort}/sae/{source}/scores/probes.parquet",
        levels="results/{cohort}/sae/{source}/scores/levels.parquet",
        classes="results/{cohort}/sae/{source}/scores/classes.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/scores.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/scores.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        targets=lambda wildcards: ["label", *CELLS.attributes(wildcards.cohort)],
        settings=CONFIG.concepts.model_dump(include={"pooling", "token_threshold"}),
        folds=CONFIG.folds.model_dump(include={"n_folds", "group_by"}),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.concepts.score_stage",
            "histoweave.concepts.review",
            "histoweave.device",
        ),
    script:
        "../workflow/scripts/score_concepts.py"


# The external cohort is looked at with what was fitted on the training cohort.
rule transfer_concepts:
    input:
        unpack(lambda wildcards: CELLS.rejections()),
        sae=multiext(
            "results/{cohort}/sae/{source}/seed0/",
            "sae_weights.safetensors",
            "cfg.json",
            "training.safetensors",
        ),
        activations=[
            "results/{cohort}/sae/{source}/on/{cohort}/activations.h5",
            "results/{cohort}/sae/{source}/on/{target}/activations.h5",
        ],
        tokens=lambda wildcards: CELLS.token_files(wildcards.cohort),
        target_tokens=lambda wildcards: CELLS.token_files(wildcards.target),
        images=[
            "results/{cohort}/sae/{source}/images.parquet",
            "results/{target}/sae/{source}/images.parquet",
        ],
    output:
        transfer="results/{cohort}/sae/{source}/on/{target}/transfer.parquet",
        transfer_predictions="results/{cohort}/sae/{source}/on/{target}/transfer_predictions.parquet",
        transfer_comparisons="results/{cohort}/sae/{source}/on/{target}/transfer_comparisons.parquet",
        transfer_classes="results/{cohort}/sae/{source}/on/{target}/transfer_classes.parquet",
        shift="results/{cohort}/sae/{source}/on/{target}/shift.parquet",
        shift_concepts="results/{cohort}/sae/{source}/on/{target}/shift_concepts.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/on/{target}/transfer.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/on/{target}/transfer.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        gpu=CELLS.gpus(),
        jobs_per_gpu=CONFIG.mechanics.jobs_per_gpu,
        device=CONFIG.mechanics.device,
    params:
        settings=CONFIG.concepts.model_dump(
            include={"pooling", "token_threshold", "dead_below", "top_images"}
        ),
        folds=CONFIG.folds.model_dump(include={"n_folds", "group_by"}),
        evaluation=CONFIG.evaluation.model_dump(include={"bootstrap", "confidence"}),
        seed=CONFIG.seed,
        code=code_hash(
            "histoweave.concepts.score_stage",
            "histoweave.concepts.review",
            "histoweave.device",
        ),
    script:
        "../workflow/scripts/transfer_concepts.py"


rule sae_stability:
    input:
        weights=lambda wildcards: CELLS.seed_files(
            wildcards.cohort, "sae_weights.safetensors"
        ),
        rest=lambda wildcards: [
            *CELLS.seed_files(wildcards.cohort, "cfg.json"),
            *CELLS.seed_files(wildcards.cohort, "training.safetensors"),
        ],
    output:
        stability="results/{cohort}/sae/{source}/stability.parquet",
        concepts="results/{cohort}/sae/{source}/stability_concepts.parquet",
    log:
        "results/{cohort}/logs/sae/{source}/stability.log",
    benchmark:
        "results/{cohort}/benchmarks/sae/{source}/stability.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        seed=CONFIG.seed,
        code=code_hash("histoweave.concepts.score_stage"),
    script:
        "../workflow/scripts/sae_stability.py"


rule concept_report:
    input:
        unpack(lambda wildcards: CELLS.page_inputs(wildcards.cohort)),
    output:
        html=report(
            "results/{cohort}/concepts.html",
            category="Concepts",
            caption="../workflow/report/concepts.rst",
            labels={"what": "concepts, their scores, and a form to review them"},
        ),
        figures=directory(f"results/{{cohort}}/sae/{CELLS.source}/figures"),
    log:
        "results/{cohort}/logs/concept_report.log",
    benchmark:
        "results/{cohort}/benchmarks/concept_report.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        config=lambda wildcards: CELLS.shown_config(wildcards.cohort),
        tokens=lambda wildcards: CELLS.page_tokens(wildcards.cohort),
        code=code_hash("histoweave.gallery.page", "histoweave.gallery.files"),
        stages=CELLS.code_of_stages(),
    script:
        "../workflow/scripts/concept_report.py"
