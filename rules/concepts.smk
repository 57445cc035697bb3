# What the latents mean, what they can tell, and what is left of it elsewhere. `cohort` and `target` as for dictionaries.


rule describe_concepts:
    input:
        unpack(by_wildcards(CELLS.review)),
        activations=paths.ACTIVATIONS,
        tokens=by_wildcards(CELLS.token_files, "target"),
        images=paths.at(paths.IMAGES, cohort="{target}"),
    output:
        **paths.DESCRIBED,
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
        images=paths.IMAGES,
        folds=paths.SAE_FOLDS,
    output:
        **paths.SCORES,
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
            "histoweave.concepts.rejected",
            "histoweave.mechanics.device",
        ),
    script:
        "../workflow/scripts/score_concepts.py"


# The external cohort is looked at with what was fitted on the training cohort.
rule transfer_concepts:
    input:
        unpack(by_wildcards(CELLS.rejections)),
        sae=list(paths.all_at(paths.DICTIONARY, fit="seed0").values()),
        activations=[
            paths.at(paths.ACTIVATIONS, target="{cohort}"),
            paths.ACTIVATIONS,
        ],
        tokens=by_wildcards(CELLS.token_files),
        target_tokens=by_wildcards(CELLS.token_files, "target"),
        images=[
            paths.IMAGES,
            paths.at(paths.IMAGES, cohort="{target}"),
        ],
    output:
        **paths.TRANSFER,
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
            "histoweave.concepts.rejected",
            "histoweave.mechanics.device",
        ),
    script:
        "../workflow/scripts/transfer_concepts.py"


rule concept_report:
    input:
        unpack(by_wildcards(CELLS.page_inputs)),
    output:
        html=report(
            paths.CONCEPTS_PAGE,
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
