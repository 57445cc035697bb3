"""Making a bundle: fitted models and what they expect, in one zip whose bytes depend on its content alone."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from histoweave import __version__
from histoweave.apply import manifest as identity
from histoweave.apply.card import write_card
from histoweave.apply.contents import SCORES, TEMPERATURES
from histoweave.apply.measures import patient_totals
from histoweave.apply.scanners import named_shares, scanner_shares
from histoweave.apply.slide_facts import slide_facts
from histoweave.apply.training import Training
from histoweave.apply.training_reference import measure_reference
from histoweave.encoders import registry
from histoweave.errors import InputError
from histoweave.expression.normalise import FORMULAS
from histoweave.fusion import catalog
from histoweave.fusion.fitted import load_fold
from histoweave.sae import format
from histoweave.sae.model import SparseAutoencoder
from histoweave.storage.files import atomic_path, read_json, sha256_of, write_json, write_table, write_text

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path, training: Training) -> None:
    """Write the bundle; equal inputs give equal bytes. No patient's id goes in.

    Raises
    ------
    InputError
        if the features of the cohort come from different encoders or tile sizes, or a fold's model cannot be used.
    """
    included = training.patients[training.patients["included"]]
    slides = training.slides[training.slides["patient"].isin(included["patient"])]
    with tempfile.TemporaryDirectory(prefix="histoweave-bundle-") as name, threadpool_limits(1):
        folder = Path(name)
        genes = _write_models(folder, training)
        _write_calibration(folder, training)
        dictionary = _write_dictionary(folder, training)
        expression = None if training.expression is None else _of(training.expression, included["patient"])
        measure_reference(
            folder,
            slides=slides,
            expression=expression,
            totals=patient_totals(training.samples),
            genes=genes,
            dictionary=dictionary,
        )
        manifest = _manifest(training, slides, genes)
        write_card(folder / "MODEL_CARD.md", manifest, training, scanners=named_shares(scanner_shares(slides)))
        files = {str(file.relative_to(folder)): sha256_of(file) for file in _files(folder)}
        text = manifest.model_copy(update={"files": files}).text()
        identity.parse(text.encode(), where=str(path))
        write_text(folder / identity.NAME, text)
        _write_zip(path, folder)


def _of(expression: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """The rows of these patients, indexed by patient."""
    table = expression.set_index("patient")
    return table[table.index.isin(patients)]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _write_models(folder: Path, training: Training) -> list[str]:
    """Copy every fold's model without the ids of its patients; returns the genes that any of them reads."""
    genes: set[str] = set()
    for model in training.models:
        for k in training.folds:
            source, target = training.fold_folder(model, k), folder / f"models/{model}/fold{k}"
            target.mkdir(parents=True)
            for name in ("model.safetensors", "transforms.parquet"):
                (target / name).write_bytes((source / name).read_bytes())
            config = read_json(source / "config.json")
            counts = {f"n_{role}": len(config.pop(role)) for role in ("train", "val")}
            # Paths of the training site: the groups are in the transforms, the centroids among the weights.
            config["settings"] |= {"gene_sets": None, "centroids": None}
            write_json(target / "config.json", config | counts)
            rna = load_fold(source).transforms.expression
            genes |= set(rna.kept_genes) if rna else set()
    return sorted(genes)


def _write_calibration(folder: Path, training: Training) -> None:
    """Temperatures and conformal scores, by model and k, without patients; in an order that tells nothing of them."""
    for table, name, column in (
        (training.temperatures, TEMPERATURES, "temperature"),
        (training.scores, SCORES, "score"),
    ):
        if table is not None:
            k = table["repeat"] * training.n_folds + table["fold"]
            more = ["y_true"] if name == SCORES else []
            kept = pd.DataFrame({"model": table["model"], "fold": k, **table[more], column: table[column]})
            kept = kept[kept["model"].isin(list(training.models))]
            _check_folds(kept, training, name=name)
            write_table(folder / name, kept.sort_values(["model", "fold", *more, column], ignore_index=True))


def _check_folds(table: pd.DataFrame, training: Training, *, name: str) -> None:
    """
    Raises
    ------
    InputError
        if the table has some folds of a model and not others. A model may be absent: it stays as it is.
    """
    for model, rows in table.groupby("model"):
        if missing := sorted(set(training.folds) - set(rows["fold"])):
            raise InputError(f"{Path(name).stem} of '{model}' lack fold {missing[0]}; make the table again")


def _write_dictionary(folder: Path, training: Training) -> SparseAutoencoder | None:
    if training.dictionary is None:
        return None
    dictionary = format.load(training.dictionary)
    format.save(dictionary, folder / "sae")
    return dictionary


def _manifest(training: Training, slides: pd.DataFrame, genes: list[str]) -> identity.Manifest:
    facts = slide_facts(slides)
    infos = [catalog.get(model) for model in training.models]
    return identity.Manifest(
        version=__version__,
        cohort=training.cohort,
        classes=list(training.classes),
        positive=training.positive,
        n_folds=training.n_folds,
        repeats=training.repeats,
        models=[
            identity.ModelIdentity(
                name=info.name, title=info.title, modalities=sorted(info.modalities), folds=list(training.folds)
            )
            for info in infos
        ],
        encoder=_encoder(facts),
        tiles=_tiles(facts, training.tiles),
        expression=_expression(training, genes) if genes else None,
        concepts=training.dictionary is not None,
        files={},
    )


def _expression(training: Training, genes: list[str]) -> identity.ExpressionIdentity:
    assert training.expression is not None
    n_genes = training.expression.shape[1] - 1  # besides the column of patients
    unit = training.unit
    assert unit is not None  # stated wherever there is RNA
    fitted = read_json(training.fold_folder(training.models[0], 0) / "config.json")
    transform = fitted["settings"].get("expression_transform", "log2")  # all models of a run have one
    return identity.ExpressionIdentity(
        unit=unit, formula=FORMULAS[unit], n_genes=n_genes, genes=genes, transform=transform
    )


def _only(facts: pd.DataFrame, column: str) -> Any:
    """The one value of all slides.

    Raises
    ------
    InputError
        if there are several.
    """
    values = facts[column].drop_duplicates()
    if len(values) > 1:
        raise InputError(
            f"the slides were not made alike: {column} is {values.iloc[0]} of slide '{facts['slide'].iloc[0]}' and "
            f"{values.iloc[1]} of slide '{facts.loc[values.index[1], 'slide']}'; a bundle needs one"
        )
    return values.iloc[0]


def _encoder(facts: pd.DataFrame) -> identity.EncoderIdentity | None:
    if facts.empty:
        return None
    name = _only(facts, "encoder")
    known = name in registry.names()
    return identity.EncoderIdentity(
        name=name,
        weights_sha256=_only(facts, "weights_sha256"),
        dim=int(_only(facts, "dim")),
        input_px=int(_only(facts, "input_px")),
        arithmetic=sorted(set(facts["arithmetic"])),
        precision=sorted(set(facts["precision"])),
        licence=registry.get(name).licence if known else "not known to this workflow: see where the weights come from",
    )


def _tiles(facts: pd.DataFrame, settings: Mapping[str, Any]) -> identity.TileIdentity | None:
    if facts.empty:
        return None
    target_mpp = facts["target_mpp"].median()
    return identity.TileIdentity(
        tile_px=int(_only(facts, "tile_px")),
        target_mpp=None if pd.isna(target_mpp) else float(target_mpp),
        settings=dict(settings),
    )


def _write_zip(path: Path, folder: Path) -> None:
    """Pack a folder: sorted, stored, one fixed time, so that the bytes depend on the content alone."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in _files(folder):
            entry = zipfile.ZipInfo(str(file.relative_to(folder)), date_time=_EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, file.read_bytes())
