"""The mapping, for those who hold the key and ask: `python -m histoweave.privacy results/<cohort>`.

Prints id and pseudonym of every patient, slide and cell, and the values of hidden columns with their words, tab-separated; the
key comes from the environment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from histoweave.errors import InputError
from histoweave.privacy.share import cohort_pseudonyms
from histoweave.settings.privacy import Privacy
from histoweave.storage.files import read_table


def main(arguments: list[str] | None = None) -> None:
    """Print the mapping of the cohort whose results lie in a folder."""
    parser = argparse.ArgumentParser(prog="python -m histoweave.privacy", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of the cohort's results, such as results/brca")
    parser.add_argument("--key-env", default=Privacy().key_env, help="environment variable that holds the key")
    parser.add_argument("--columns", nargs="*", default=Privacy().columns, help="privacy.columns of the run")
    given = parser.parse_args(arguments)
    patients, slides = (given.results / "cohort" / f"{name}.parquet" for name in ("patients", "slides"))
    images = sorted(given.results.glob("sae/*/images.parquet"))
    if not patients.is_file() and not images:
        sys.exit(f"error: {given.results} holds no patients and no images; name the folder of a cohort's results")
    try:
        names = cohort_pseudonyms(
            {"key_env": given.key_env, "columns": given.columns},
            patients=patients if patients.is_file() else None,
            slides=slides if slides.is_file() else None,
            images=map(read_table, images),
            kind="slide" if slides.is_file() else "cell",
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    assert names is not None  # a section was given
    print("id\tpseudonym")
    for identifier, given_name in (names.mapping | names.values.mapping).items():
        print(f"{identifier}\t{given_name}")


if __name__ == "__main__":
    main()
