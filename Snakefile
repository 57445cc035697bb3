from snakemake.utils import min_version

min_version("9.16")


report: "workflow/report/workflow.rst"


include: "rules/common.smk"
include: "rules/simulate.smk"
include: "rules/slides.smk"
include: "rules/cohort.smk"
include: "rules/fusion.smk"
include: "rules/confounding.smk"
include: "rules/explain.smk"
include: "rules/decide.smk"
include: "rules/sites.smk"
include: "rules/report.smk"
include: "rules/provenance.smk"
include: "rules/apply.smk"
include: "rules/applied_report.smk"
include: "rules/cells.smk"
include: "rules/dictionaries.smk"
include: "rules/concepts.smk"
include: "rules/concepts_json.smk"
include: "rules/export.smk"


# A run that is included from elsewhere (workflow/Snakefile) has a default target too.
workflow.default_target = "all"


# The shards' indexes are targets too: Snakemake makes a missing file anew only where it was asked for by name.
rule all:
    input:
        FITTING(lambda wildcards: [*REPORT.pages(), *PROVENANCE.crates()]),
        FITTING(
            lambda wildcards: [*EXPLAIN.targets(), *DECIDE.targets(), *SITES.targets()]
        ),
        FITTING(lambda wildcards: [*APPLY.targets(), *APPLY.pages()]),
        WIRING.indexes(),
        CELLS.pages(),
        CONCEPTS.targets(),
        CELLS.strict_checks(),


rule concepts:
    input:
        CELLS.pages(),
        CONCEPTS.targets(),
        CELLS.strict_checks(),


rule apply:
    input:
        FITTING(lambda wildcards: [*APPLY.targets(), *APPLY.pages()]),
        APPLY.own_bundles(),


rule prepare:
    input:
        expand("results/{cohort}/cohort/patients.parquet", cohort=TABLES),
        WIRING.indexes(),


rule export:
    input:
        WIRING.export_indexes(),
