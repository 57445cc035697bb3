"""What the rules of the cell arm ask: paths and parameters that follow from the configuration and the cells tables."""

from __future__ import annotations

import hashlib
from pathlib import Path

from histoweave.cells.cohort import CellCohort, read_cohorts
from histoweave.cells.seen import changed_since
from histoweave.encoders import registry as encoders
from histoweave.errors import InputError
from histoweave.settings.config import Config
from histoweave.storage.sources import source_stamp
from histoweave.wiring import paths
from histoweave.wiring.fingerprint import code_hash
from histoweave.wiring.paths import at

# What the page of concepts shows: of a dictionary's scores, of a cohort, and of an external cohort beside its training.
SCORES = {name: paths.SCORES[name] for name in ("metrics", "comparisons", "levels", "classes", "probes")} | {
    "stability": paths.STABILITY["stability"], "stability_concepts": paths.STABILITY["concepts"],
}  # fmt: skip
FOUND = (paths.ACTIVATIONS, *(paths.DESCRIBED[name] for name in ("concepts", "top_images", "associations")))
TRANSFERRED = tuple(paths.TRANSFER[name] for name in ("transfer", "transfer_classes", "shift", "shift_concepts"))
STAGES = {
    "cells": "cells.embed_cells", "images": "cells.images", "fit": "sae.fit_sae", "encode": "concepts.encode_concepts",
    "concepts": "concepts.describe_concepts", "scores": "concepts.score_concepts", "report": "pages.concepts.page",
}  # fmt: skip


def check_cells(config: Config, *, check_paths: bool = True) -> dict[str, CellCohort]:
    """Check the files that the arm's keys name, and read the tables of cells (see `cells.cohort.read_cohorts`)."""
    if any(cohort.cells and cohort.cells.table for cohort in config.cohorts.values()):
        encoders.check(config.cells.encoder)
    review = config.concepts.review
    if check_paths and review and not Path(review).is_file():
        raise InputError(
            f"concepts.review '{review}' does not exist; save it from the page of concepts, or leave the key out"
        )
    return read_cohorts(config.cohorts, check_paths=check_paths)


class CellWiring:
    """Paths and parameters of the cell arm of one run.

    Parameters
    ----------
    config : the whole configuration.
    cohorts : name → the cohort's cells, as `check_cells` returns them.
    tile_indexes : name → the indexes of the tile features of each cohort with slides, for `sae.source: tiles`.
    """

    def __init__(self, config: Config, cohorts: dict[str, CellCohort], tile_indexes: dict[str, list[str]]):
        self.config = config
        self.cohorts = cohorts
        self.source = config.sae.source
        self._tile_indexes = {name: indexes for name, indexes in tile_indexes.items() if indexes}
        self._shards = {name: cohort.shards(config.mechanics.cells_per_shard) for name, cohort in cohorts.items()}

    # ------------------------------------------------------------ cells to tokens

    def shard_items(self, cohort: str, shard: str) -> list[str]:
        """The cells (of embeddings made elsewhere: the patients) of a shard."""
        return self._shards[cohort][shard]

    def shard_identity(self, cohort: str, shard: str) -> str:
        """A hash of everything the user said of a shard's cells, and of the size and time of the files they lie in."""
        cells = self.cohorts[cohort]
        items = self.shard_items(cohort, shard)
        digest = hashlib.sha256(cells.places_of(items).to_csv(sep="\t").encode())
        if not cells.simulated:
            for path in cells.files(items):
                digest.update(f"{path} {source_stamp(path)}".encode())
        return digest.hexdigest()[:16]

    def untrue_shards(self) -> dict[Path, list[str]]:
        """Each token file that was made from other content than its pictures have now, and those pictures; they are to
        be made again (see `planning.Plan`). Where size or time tell it, Snakemake finds it by `shard_identity`."""
        drawn = [name for name, cohort in self.cohorts.items() if cohort.simulated]
        return changed_since(
            Path(path) for name in self.cohorts if name not in drawn for path in self.shard_files(name)
        )

    def crop(self, cohort: str) -> float:
        """Share of a picture's edge that is kept."""
        return self.cohorts[cohort].input.crop

    def drawn_identity(self, cohort: str) -> str:
        """A hash of the whole table of a simulated cohort, from which its pictures are drawn."""
        return hashlib.sha256(self.cohorts[cohort].rows.to_csv(sep="\t").encode()).hexdigest()[:16]

    def simulation(self, cohort: str) -> dict:
        """How a cohort is simulated."""
        simulate = self.cohorts[cohort].input.simulate
        assert simulate is not None
        return simulate.model_dump()

    def simulated_pictures(self, cohort: str) -> list[str]:
        """The archive of pictures that a rule makes, if the cohort is simulated."""
        return self.cohorts[cohort].files(self.cohorts[cohort].items) if self.cohorts[cohort].simulated else []

    def embed_settings(self, cohort: str) -> dict:
        """How pictures are embedded; nothing for embeddings made elsewhere."""
        return {} if self.cohorts[cohort].input.embeddings else self.config.cells.model_dump()

    def encoder_weights(self, cohort: str) -> list[str]:
        """The user's weights file, if there is one and pictures to embed."""
        weights = self.config.cells.encoder.weights
        return [weights] if weights and not self.cohorts[cohort].input.embeddings else []

    def encoder(self, cohort: str) -> str:
        """The encoder that names the folder of a cohort's tokens, or `embeddings` if those were made elsewhere."""
        return "embeddings" if self.cohorts[cohort].input.embeddings else self.config.cells.encoder.folder

    def shard_files(self, cohort: str) -> list[str]:
        """The token files of a cohort's cells."""
        encoder = self.encoder(cohort)
        return [at(paths.TOKENS, cohort=cohort, encoder=encoder, shard=shard) for shard in self._shards[cohort]]

    def strict_checks(self) -> list[str]:
        """With `on_error: stop`, the proof of every cohort that all its cells can be used."""
        strict = self.config.on_error == "stop" and self.source == "cells"
        cohorts = self.cohorts if strict else []
        return [at(paths.ALL_USABLE, cohort=cohort, encoder=self.encoder(cohort)) for cohort in cohorts]

    # ------------------------------------------------------------ dictionaries and concepts

    def trained(self) -> list[str]:
        """Cohorts that dictionaries are fitted on."""
        return [name for name in self._with_tokens() if self.config.cohorts[name].role == "train"]

    def _with_tokens(self) -> list[str]:
        return sorted(self._tile_indexes) if self.source == "tiles" else list(self.cohorts)

    def externals(self) -> list[str]:
        """Cohorts that the dictionaries of the others are applied to."""
        return [name for name in self._with_tokens() if name not in self.trained()]

    def targets(self, cohort: str) -> list[str]:
        """Cohorts that are encoded with the dictionary of `cohort`: itself, then the external ones."""
        return [cohort, *self.externals()]

    def token_files(self, cohort: str) -> list[str]:
        """Where a cohort's tokens are: shards of cells, or indexes of tile features."""
        return self._tile_indexes[cohort] if self.source == "tiles" else self.shard_files(cohort)

    def fitted_on(self, cohort: str, target: str) -> list[str]:
        """The features that the dictionary of `cohort` was fitted on, to be held against those of another cohort."""
        return self._tile_indexes[cohort] if self.source == "tiles" and target != cohort else []

    def image_sources(self, cohort: str) -> dict[str, str | list[str]]:
        """What the images table of a cohort is made of."""
        if self.source == "tiles":
            return {"slides": at(paths.SLIDES, cohort=cohort), "patients": at(paths.PATIENTS, cohort=cohort)}
        return {"shards": self.shard_files(cohort)}

    def image_identity(self, cohort: str) -> str:
        """A hash of whose a cohort's cells are and of what is known of them, as the keys say to read the tables."""
        if self.source == "tiles":
            return ""
        cells = self.cohorts[cohort]
        digest = hashlib.sha256(cells.known.to_csv(sep="\t").encode())
        if cells.patients is not None:
            digest.update(cells.patients[["patient", "label", "site"]].to_csv(sep="\t").encode())
        return digest.hexdigest()[:16]

    def at(self, pattern: str, cohort: str, **wildcards: object) -> str:
        """A path of a cohort's dictionaries and concepts."""
        return at(pattern, cohort=cohort, source=self.source, **wildcards)

    def dictionary(self, cohort: str, fit: str = "seed0") -> list[str]:
        """The files that a dictionary is read from."""
        return [self.at(path, cohort, fit=fit) for path in paths.DICTIONARY.values()]

    def found(self, cohort: str, target: str) -> list[str]:
        """What the dictionary of `cohort` found in another (or in its own), as pages show it."""
        return [self.at(path, cohort, target=target) for path in FOUND]

    def transferred(self, cohort: str, target: str) -> list[str]:
        """What is left of the concepts of `cohort` in an external one, as pages show it."""
        return [self.at(path, cohort, target=target) for path in TRANSFERRED]

    def fit_settings(self) -> dict:
        """The keys that decide what is fitted."""
        return self.config.sae.model_dump(exclude={"source", "preset", "seeds", "scoring"})

    def seed_files(self, cohort: str, name: str) -> list[str]:
        """A file (`weights`, `config`, `training`) of every seed's dictionary."""
        return [self.at(paths.DICTIONARY[name], cohort, fit=f"seed{n}") for n in range(self.config.sae.seeds)]

    def scoring_weights(self, cohort: str) -> list[str]:
        """The weights of each fold's dictionary, or of the one for all folds."""
        folds = [f"fold{k}" for k in range(self.config.folds.n_folds)]
        fits = ["seed0"] if self.config.sae.scoring == "global" else folds
        return [self.at(paths.DICTIONARY["weights"], cohort, fit=fit) for fit in fits]

    def scoring_activations(self, cohort: str) -> list[str]:
        """The cohort as the dictionaries of `scoring_weights` see it."""
        if self.config.sae.scoring == "global":
            return [self.at(paths.ACTIVATIONS, cohort, target=cohort)]
        return [self.at(paths.FOLD_ACTIVATIONS, cohort, k=k) for k in range(self.config.folds.n_folds)]

    def attributes(self, cohort: str) -> list[str]:
        """Columns of the images table that concepts are compared with, besides the labels."""
        return [] if self.source == "tiles" else self.cohorts[cohort].input.attributes

    def gpus(self) -> int:
        """GPUs that a job of the arm asks for."""
        return int(self.config.mechanics.device != "cpu")

    def review(self) -> dict[str, str]:
        """The experts' review, if there is one."""
        return {"review": self.config.concepts.review} if self.config.concepts.review else {}

    def rejections(self) -> dict[str, str]:
        """The review, where classifiers leave its rejected concepts out."""
        return self.review() if self.config.concepts.leave_out_rejected else {}

    def page_inputs(self, cohort: str) -> dict[str, str | list[str]]:
        """What the page of concepts reads: files by name, lists in the order of `targets`."""
        targets = self.targets(cohort)
        inputs: dict[str, str | list[str]] = {
            "sae": [*self.dictionary(cohort), self.at(paths.DICTIONARY_HISTORY, cohort, fit="seed0")],
            "tokens": [path for target in targets for path in self.token_files(target)],
            "images": [self.at(paths.IMAGES, target) for target in targets],
            "found": [path for target in targets for path in self.found(cohort, target)],
            "compared": [path for target in targets[1:] for path in self.transferred(cohort, target)],
            "sources": [path for target in targets for path in self.sources(target)],
        }
        return inputs | {name: self.at(path, cohort) for name, path in SCORES.items()}

    def sources(self, cohort: str) -> list[str]:
        """The tables that the user wrote for a cohort of cells."""
        if self.source == "tiles":
            return []
        cells = self.cohorts[cohort]
        return [path for path in (cells.input.table, cells.cohort.patients) if path]

    def page_tokens(self, cohort: str) -> dict[str, list[str]]:
        """The token files of each cohort on the page."""
        return {target: self.token_files(target) for target in self.targets(cohort)}

    def shown_config(self, cohort: str) -> dict:
        """What the arm reads of the configuration, with its defaults, for its page."""
        of_cohort = {"role", "patients", "slides", "cells", "label", "label_map"}
        read: dict = {name: True for name in ("seed", "cells", "sae", "concepts")} | {
            "cohorts": {name: of_cohort for name in self.targets(cohort)},
            "folds": {"n_folds", "group_by"},
            "evaluation": {"bootstrap", "confidence"},
        }
        return self.config.model_dump(mode="json", include=read)

    def code_of_stages(self) -> dict[str, str]:
        """The code fingerprint of every stage."""
        return {stage: code_hash(f"histoweave.{module}") for stage, module in STAGES.items()}

    # ------------------------------------------------------------ targets

    def pages(self) -> list[str]:
        """The page of every dictionary's cohort."""
        return list(self.pages_by_cohort().values())

    def pages_by_cohort(self) -> dict[str, str]:
        """The page of concepts by cohort."""
        return {cohort: at(paths.CONCEPTS_PAGE, cohort=cohort) for cohort in self.trained()}

    def folders(self) -> list[Path]:
        """Folders that a run writes to, as far as they are there."""
        roots = [Path("results", name) for name in self.cohorts]
        return [folder for root in roots for folder in (root, *sorted(root.glob("*/")))]
