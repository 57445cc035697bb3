# What the latents mean, what they can tell, and what is left of it elsewhere. `cohort` and `target` as for dictionaries.


rule describe_concepts:
    input:
        unpack(by_wildcards(CELLS.review)),
        activations="results/{cohort}/sae/{source}/on/{target}/activations.h5",
        tokens=by_wildcards(CELLS.token_files, "target"),
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
        mem_mb=memory(6000),
        runtime=minutes(120),
    params:
        settings=CONFIG.concepts.model_dump(include={"dead_below", "top_images"}),
        attributes=by_wildcards(CELLS.attributes, "target"),
        code=code_hash("histoweave.concepts.describe_concepts"),
    script:
        "../workflow/scripts/describe_concepts.py"


rule score_concepts:
    input:
        unpack(by_wildcards(CELLS.rejections)),
        sae=by_wildcards(CELLS.scoring_weights),
        activations=by_wildcards(CELLS.scoring_activations),
        tokens=by_wildcards(CELLS.token_files),
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
        mem_mb=memory(8000),
        runtime=minutes(240),
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
            "histoweave.concepts.score_concepts",
            "histoweave.concepts.review",
            "histoweave.mechanics.device",
        ),
    script:
        "../workflow/scripts/score_concepts.py"


# The external cohort is looked at with what was fitted on the training cohort.
rule transfer_concepts:
    input:
        unpack(by_wildcards(CELLS.rejections)),
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
        tokens=by_wildcards(CELLS.token_files),
        target_tokens=by_wildcards(CELLS.token_files, "target"),
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
        mem_mb=memory(8000),
        runtime=minutes(240),
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
            "histoweave.concepts.transfer_concepts",
            "histoweave.concepts.review",
            "histoweave.mechanics.device",
        ),
    script:
        "../workflow/scripts/transfer_concepts.py"


rule concept_report:
    input:
        unpack(by_wildcards(CELLS.page_inputs)),
    output:
        html=report(
            "results/{cohort}/concepts.html",
            category="Concepts",
            caption="../workflow/report/concepts.rst",
            labels={
                "cohort": "{cohort}",
                "what": "concepts, their scores, and a form to review them",
            },
        ),
        figures=report(
            directory(f"results/{{cohort}}/sae/{CELLS.source}/figures"),
            patterns=["concept_{what}.svg"],
            category="Concepts",
            caption="../workflow/report/concept_figures.rst",
            labels={"cohort": "{cohort}", "what": "concepts: {what}"},
        ),
    log:
        "results/{cohort}/logs/concept_report.log",
    benchmark:
        "results/{cohort}/benchmarks/concept_report.tsv"
    conda:
        "../envs/torch.yaml"
    resources:
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        config=by_wildcards(CELLS.shown_config),
        tokens=by_wildcards(CELLS.page_tokens),
        code=code_hash(
            "histoweave.pages.concepts.page",
            "histoweave.pages.concepts.files",
            "histoweave.privacy.share",
        ),
        privacy=PRIVACY,
        stages=CELLS.code_of_stages(),
    script:
        "../workflow/scripts/concept_report.py"
