"""The size of a model follows the number of training patients where the configuration says `auto`."""

import pytest
from fusion_cohort import FAST, make_cohort

from histoweave.fusion import catalog
from histoweave.fusion.capacity import resolved
from histoweave.fusion.fitted import load_fold
from histoweave.settings.fusion import Fusion
from histoweave.storage.files import read_json

KEYS = ("n_genes", "gene_tokens", "image_components")


def sizes(settings: Fusion) -> tuple:
    return tuple(getattr(settings, key) for key in KEYS)


@pytest.mark.parametrize("model", catalog.names())
@pytest.mark.parametrize(
    ("n_train", "expected"),
    [(2, (200, 8, 8)), (99, (200, 8, 8)), (100, (400, 12, 16)), (249, (400, 12, 16)), (250, (1000, 16, 64))],
)
def test_networks_are_smaller_where_patients_are_few_and_references_are_not(model, n_train, expected):
    info = catalog.get(model)
    assert sizes(resolved(Fusion(), info, n_train=n_train)) == (expected if info.neural else (1000, 16, 64))


@pytest.mark.parametrize("n_train", [10, 150, 1000])
def test_a_number_is_taken_as_it_is(n_train):
    image = catalog.get("image")
    assert sizes(resolved(Fusion(n_genes=7, image_components=None), image, n_train=n_train))[::2] == (7, None)
    fixed = Fusion(n_genes=7, gene_tokens=3, image_components=5)
    assert resolved(fixed, image, n_train=n_train) == fixed


def test_a_fold_keeps_the_numbers_that_it_was_fitted_with(tmp_path):
    cohort = make_cohort(tmp_path / "f", seed=1, n=40, n_features=12, n_genes=300, n_folds=2)
    auto = FAST.model_copy(update=dict.fromkeys(KEYS, "auto"))
    done = {}
    for model in ("image", "expression", "late_mean", "logistic_expression"):
        needs = {name: done[name] for name in catalog.get(model).needs}
        done[model] = cohort.run(model, 0, tmp_path / model, settings=auto, needs=needs)
    for model, folder in done.items():
        stored = Fusion.model_validate(read_json(folder / "config.json")["settings"])
        assert sizes(stored) == ((1000, 16, 64) if model == "logistic_expression" else (200, 8, 8))
        assert load_fold(folder).settings == stored
    assert len(load_fold(done["expression"]).transforms.expression.kept_genes) == 200
    assert len(load_fold(done["logistic_expression"]).transforms.expression.kept_genes) == 300
    assert load_fold(done["image"]).transforms.image.width == 8
    assert int(load_fold(done["expression"]).transforms.expression.tokens.max()) + 1 == 8


def test_a_mean_of_two_models_has_the_numbers_of_its_parts(tmp_path):
    cohort = make_cohort(tmp_path / "f", seed=1, n=40, n_features=12, n_genes=60, n_folds=2)
    done = {
        name: cohort.run(name, 0, tmp_path / name, settings=part)
        for name, part in (
            ("image", FAST.model_copy(update={"image_components": 3})),
            ("expression", FAST.model_copy(update={"n_genes": 11, "gene_tokens": 2})),
        )
    }
    out = cohort.run("late_mean", 0, tmp_path / "late", settings=FAST, needs=done)
    assert sizes(load_fold(out).settings) == (11, 2, 3)
