"""Profiles agree with the workflow and with each other; rules ask for what a cluster must know."""

import re
import shutil

import pytest
import yaml
from rule_texts import RULES, rules
from running import ROOT, snakemake

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))
PER_RULE = ("set-resources", "set-threads", "groups", "set-resource-scopes")
# Keys of profiles/default that another profile has otherwise, on purpose.
DIFFERENT: dict[str, set[str]] = {}
USES_GPU = {
    "extract_features", "fusion_fold", "embed_cells", "fit_sae", "fit_sae_fold", "encode_concepts", "encode_fold",
    "score_concepts", "transfer_concepts", "explain_fold", "explain_concepts", "learning_fold",
    "site_fold", "control_network",
}  # fmt: skip


def profile(name, *, with_examples=False):
    """The profile's keys; `with_examples` also those that it shows as comments (`# key:` and what follows indented)."""
    text = (ROOT / "profiles" / name / "config.yaml").read_text()
    if with_examples:
        text = re.sub(r"^( *)# ( *[a-z][\w-]*:( .*)?)$", r"\1\2", text, flags=re.MULTILINE)
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def rule_names(tmp_path_factory):
    """All rules of the workflow, as Snakemake itself lists them, in a folder without results."""
    folder = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "config" / "demo", folder / "config" / "demo")
    return set(snakemake("--list-rules", "--workflow-profile", "none", directory=folder).stdout.split())


def test_the_list_of_rules_is_that_of_the_files(rule_names):
    assert set(rules()) <= rule_names and "all" in rule_names


@pytest.mark.parametrize("with_examples", [False, True])
@pytest.mark.parametrize("name", PROFILES)
def test_every_rule_that_a_profile_names_exists(name, with_examples, rule_names):
    content = profile(name, with_examples=with_examples)
    named = {rule for key in PER_RULE for rule in content.get(key) or {}}
    assert named <= rule_names, f"profiles/{name}: Snakemake accepts {named - rule_names} without a word"
    if with_examples and "executor" in content:
        assert named == USES_GPU
        assert {"slurm_account", "slurm_partition"} <= set(content["default-resources"])


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_holds_all_that_the_default_holds(name):
    default, content = profile("default"), profile(name)
    different = {key for key, value in default.items() if content.get(key, "missing") != value}
    assert different == DIFFERENT.get(name, set()), f"keys of profiles do not merge: repeat them in profiles/{name}"


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_names_no_site(name):
    resources = profile(name).get("default-resources") or {}
    assert not {"slurm_account", "slurm_partition", "qos", "constraint"} & set(resources)


def test_failed_jobs_are_submitted_anew_with_more():
    assert profile("slurm")["retries"] >= 1
    assert not re.search(r"^\s+retries:", RULES, re.MULTILINE), (
        "retries in a rule run inside the first job's allocation"
    )


@pytest.mark.parametrize("rule", rules())
def test_a_rule_asks_for_memory_time_and_gpu(rule):
    text = rules()[rule]
    assert re.search(r"^    log:", text, re.MULTILINE)
    for key in ("mem_mb", "runtime"):
        asked = re.search(rf"^        {key}=(.+(?:\n(?!        \w+=).+)*)", text, re.MULTILINE)
        assert asked, f"rule {rule} lacks {key}"
        grows = re.match(r"memory(_of)?\(|minutes\(", asked.group(1)) or "attempt" in asked.group(1)
        assert grows, f"rule {rule}: {key} does not grow when a failed job is tried again"
    assert bool(re.search(r"^        gpu=", text, re.MULTILINE)) == (rule in USES_GPU)
