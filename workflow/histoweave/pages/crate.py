"""The provenance of a cohort's results as a Workflow Run RO-Crate.

Profiles: RO-Crate 1.1, Workflow RO-Crate 1.0, Process and Workflow Run Crate 0.5 (https://w3id.org/ro/wfrun/workflow/0.5).
Nothing in it depends on when, where or by whom the run was started, so that equal runs give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from histoweave.privacy.content import pseudonymised
from histoweave.privacy.pseudonyms import Pseudonyms
from histoweave.storage.files import sha256_of, write_json

# The crate of a version of the workflow, not of a day: the profile asks for a date, and a run's would differ each time.
PUBLISHED = "2026-11-22"
SNAKEFILE = Path(__file__).parents[3] / "Snakefile"
_CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_FORMATS = {".parquet": "application/vnd.apache.parquet", ".safetensors": "application/octet-stream"}


@dataclass(frozen=True, kw_only=True)
class CrateInputs:
    """What a crate tells of.

    Attributes
    ----------
    cohort : its name.
    root : the folder that the crate describes and lies in.
    sources : the user's files, which lie elsewhere; folders are hashed whole.
    results : files below `root` that equal runs make equal; they are named with their hash.
    pages : files below `root` that tell of times; they are named without.
    description : of the results, in a sentence or two.
    config, versions, code : the configuration; version per package; code fingerprint per stage.
    pseudonyms : stand for ids in paths and in the configuration; None: ids are shown.
    """

    cohort: str
    root: Path
    sources: Iterable[str]
    results: Iterable[str]
    pages: Iterable[str]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    description: str
    code: Mapping[str, str] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None


def write_crate(inputs: CrateInputs, out: str | os.PathLike) -> None:
    """Write `ro-crate-metadata.json`, whole or not at all."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_CONTEXT)
    _describe_root(crate, inputs)
    workflow = _workflow(crate, inputs)
    consumed = [*_sources(crate, inputs), *_settings(crate, inputs)]
    made = _results(crate, inputs)
    action = crate.add_action(
        workflow,
        identifier="#run-" + _digest([entity.properties() for entity in (*consumed, *made)]),
        object=consumed,
        result=made,
        properties={
            "name": f"Run of histoweave on cohort {_shown(inputs.cohort, inputs)}",
            "description": "The settings, defaults included, are among the objects. Slides and cells are listed in "
            "their tables; cohort/slides.parquet has the hashes of the slides' features, images.parquet those of cells.",
        },
    )
    crate.root_dataset["mentions"] = [action]
    content = crate.metadata.generate()
    content["@graph"].sort(key=lambda entity: entity["@id"])
    write_json(out, content)


def _shown(text: str, inputs: CrateInputs) -> str:
    return text if inputs.pseudonyms is None else inputs.pseudonyms.text(text)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _describe_root(crate: ROCrate, inputs: CrateInputs) -> None:
    unstated = crate.add(
        ContextEntity(
            crate,
            "#licence",
            properties={
                "@type": "CreativeWork",
                "name": "Not stated",
                "description": "The results belong to whoever ran the workflow, who decides how others may use them.",
            },
        )
    )
    root = crate.root_dataset
    root["name"] = f"histoweave results of cohort {_shown(inputs.cohort, inputs)}"
    root["description"] = inputs.description
    root["datePublished"] = PUBLISHED
    root["license"] = unstated
    root["conformsTo"] = [
        crate.add(ContextEntity(crate, uri, properties={"@type": "CreativeWork", "name": name, "version": version}))
        for uri, (name, version) in _PROFILES.items()
    ]
    crate.metadata["conformsTo"] = [{"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": _WORKFLOW_CRATE}]


def _named_by_hash(sha256: str) -> str:
    """The `ni` URI of a content (RFC 6920): a name for a file that lies elsewhere, and the same wherever it lies."""
    return "ni:///sha-256;" + base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _workflow(crate: ROCrate, inputs: CrateInputs) -> DataEntity:
    engine = crate.add(
        ContextEntity(
            crate,
            "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            properties={
                "@type": "ComputerLanguage",
                "name": "Snakemake",
                "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
                "url": {"@id": "https://snakemake.readthedocs.io"},
                "version": inputs.versions["snakemake"],
            },
        )
    )
    packages = [
        crate.add(
            ContextEntity(
                crate,
                f"#package-{name}",
                properties={"@type": "SoftwareApplication", "name": name, "softwareVersion": version},
            )
        )
        for name, version in inputs.versions.items()
        if name != "histoweave"
    ]
    sha256 = sha256_of(SNAKEFILE)
    stages = "; ".join(f"{stage} {fingerprint}" for stage, fingerprint in inputs.code.items())
    workflow = crate.add(
        DataEntity(
            crate,
            _named_by_hash(sha256),
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
                "name": "histoweave",
                "alternateName": SNAKEFILE.name,
                "description": f"Fingerprints of the code per stage: {stages}" if stages else "The workflow.",
                "version": inputs.versions["histoweave"],
                "sha256": sha256,
                "license": {"@id": "https://spdx.org/licenses/MIT"},
                "programmingLanguage": engine,
                "softwareRequirements": packages,
            },
        )
    )
    crate.mainEntity = workflow
    return workflow


def _sources(crate: ROCrate, inputs: CrateInputs) -> list[DataEntity]:
    """The user's files, each by its content: two paths of the same bytes are one file."""
    paths: dict[str, list[str]] = {}
    for path in sorted(set(inputs.sources)):
        paths.setdefault(sha256_of(path), []).append(path)
    return [
        crate.add(
            DataEntity(
                crate,
                _named_by_hash(sha256),
                properties={
                    "@type": "File",
                    "name": _shown(Path(same[0]).name, inputs),
                    "alternateName": [_shown(path, inputs) for path in same],
                    "sha256": sha256,
                },
            )
        )
        for sha256, same in paths.items()
    ]


def _results(crate: ROCrate, inputs: CrateInputs) -> list[DataEntity]:
    made = []
    for path in sorted({*inputs.results, *inputs.pages}):
        properties = {"@type": "File", "name": _shown(Path(path).name, inputs), "encodingFormat": _format(path)}
        if path in set(inputs.results):
            properties["sha256"] = sha256_of(path)
        relative = Path(path).relative_to(inputs.root).as_posix()
        made.append(crate.add(DataEntity(crate, quote(_shown(relative, inputs)), properties=properties)))
    return made


def _format(path: str) -> str:
    return _FORMATS.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


def _settings(crate: ROCrate, inputs: CrateInputs) -> list[ContextEntity]:
    """The configuration, a `PropertyValue` per key; a list or an empty mapping is one value, as JSON."""
    config = inputs.config if inputs.pseudonyms is None else pseudonymised(inputs.config, inputs.pseudonyms)
    return [
        crate.add(
            ContextEntity(
                crate, f"#config-{quote(key)}", properties={"@type": "PropertyValue", "name": key, "value": value}
            )
        )
        for key, value in _leaves(config)
    ]


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            plain = isinstance(value, str | int | float) and not isinstance(value, bool)
            yield f"{prefix}{key}", value if plain else json.dumps(value, sort_keys=True)
