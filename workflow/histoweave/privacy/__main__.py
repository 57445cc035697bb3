"""The mapping, for those who hold the key and ask: `python -m histoweave.privacy results/<cohort>`.

Prints id and pseudonym of every patient and slide, tab-separated; the key comes from the environment.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from histoweave.errors import InputError
from histoweave.privacy.share import tissue_pseudonyms
from histoweave.privacy_config import Privacy


def main(arguments: list[str] | None = None) -> None:
    """Print the mapping of the cohort whose results lie in a folder."""
    parser = argparse.ArgumentParser(prog="python -m histoweave.privacy", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of the cohort's results, such as results/brca")
    parser.add_argument("--key-env", default=Privacy().key_env, help="environment variable that holds the key")
    given = parser.parse_args(arguments)
    slides = given.results / "cohort" / "slides.parquet"
    try:
        names = tissue_pseudonyms(
            {"key_env": given.key_env},
            patients=given.results / "cohort" / "patients.parquet",
            slides=slides if slides.is_file() else None,
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    print("id\tpseudonym")
    for identifier, given_name in names.mapping.items():
        print(f"{identifier}\t{given_name}")


if __name__ == "__main__":
    main()
