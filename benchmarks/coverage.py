"""Do the intervals hold, and how often is a sentence a false finding? Over many drawn cohorts with a known truth.

    python benchmarks/coverage.py --cohorts 500

Prints tables of measures by kinds of cohorts: each cell is a rate over the cohorts with its Monte Carlo interval (95 %,
Clopper and Pearson), and n, if the project gives an interval in fewer than all of them. Rates of intervals are shares of
cohorts in which a 95 % interval holds the truth (of simultaneous ones: all of a family do); rates of false findings are
shares of cohorts in which something is said that is not true. A rate whose Monte Carlo interval lies on the wrong side of
0.95 (0.05, and 0.9 for the mean coverage of conformal sets) is bold. No model is fitted: see `coverage_cohorts.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import coverage_findings as findings
import coverage_measures as measures
from coverage_cohorts import KINDS, Kind, draw
from coverage_measures import LEVEL, Truth, truth_of

from histoweave.evaluation.binomial import clopper_pearson

COVERAGE, FALSE = 0.95, 0.05
MEASURES = {
    "metrics": measures.metrics, "choice": measures.choice, "operating": measures.operating,
    "conformal": measures.conformal, "use": measures.use, "subgroups": findings.groups, "nothing": findings.nothing,
    "even": findings.even, "one_modality": findings.one_modality, "sites": findings.sites,
    "site_only": findings.site_only, "null": findings.null,
}  # fmt: skip


def one_cohort(kind: Kind, truth: Truth, number: int, *, seed: int) -> dict[str, float]:
    """All that is asked of one cohort: measure → 1, 0 or NaN."""
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) >> 1
    drawn = draw(kind, np.random.default_rng([own, 0x1]))
    found: dict[str, float] = {}
    for name in kind.measures:
        found |= MEASURES[name](drawn, truth, own)
    return found


def outcomes(kind: Kind, *, cohorts: int, seed: int, processes: int = 1) -> list[dict[str, float]]:
    """`one_cohort` of each; the same for any number of processes."""
    truth = truth_of(kind, seed=seed)
    if processes == 1:
        return [one_cohort(kind, truth, number, seed=seed) for number in range(cohorts)]
    with multiprocessing.Pool(processes, _remember, (kind, truth, seed)) as pool:
        return pool.map(_remembered, range(cohorts), chunksize=5)


def _remember(kind: Kind, truth: Truth, seed: int) -> None:
    global _GIVEN
    _GIVEN = kind, truth, seed


def _remembered(number: int) -> dict[str, float]:
    kind, truth, seed = _GIVEN
    return one_cohort(kind, truth, number, seed=seed)


def rates(kind: Kind, found: list[dict[str, float]]) -> list[dict]:
    """Rows of the table: `kind`, `measure`, `rate`, `low`, `high`, `n`, `cohorts`, `aim`, `misses`."""
    rows = []
    for measure in found[0]:
        given = np.array([one[measure] for one in found])
        given = given[~np.isnan(given)]
        sort, name = measure.split(": ", 1)
        row = {"kind": kind.name, "measure": name if sort != "false" else f"false finding: {name}"}
        rate, low, high, misses = (np.nan,) * 3 + (False,)
        if len(given):
            rate = float(given.mean())
            if sort == "mean":
                half = 1.96 * given.std(ddof=1) / np.sqrt(len(given)) if len(given) > 1 else np.nan
                low, high = rate - half, rate + half
            else:
                low, high = clopper_pearson(given.sum(), len(given), confidence=0.95)
            aim = {"interval": COVERAGE, "mean": LEVEL, "false": FALSE}[sort]
            misses = low > aim if sort == "false" else high < aim
        text = {"interval": f"{COVERAGE} or more", "mean": f"{LEVEL} or more", "false": f"{FALSE} or less"}[sort]
        numbers = {"rate": rate, "low": low, "high": high, "n": len(given), "cohorts": len(found)}
        rows.append(row | numbers | {"aim": text, "misses": bool(misses)})
    return rows


def markdown(rows: list[dict]) -> str:
    """Tables of measures by kinds of cohorts; kinds that are asked the same first have one table."""
    of_kind: dict[str, dict[str, dict]] = {}
    for row in rows:
        of_kind.setdefault(row["kind"], {})[row["measure"]] = row
    tables: dict[str, list[str]] = {}
    for kind, found in of_kind.items():
        tables.setdefault(next(iter(found)), []).append(kind)
    texts = []
    for kinds in tables.values():
        every = dict.fromkeys(measure for kind in kinds for measure in of_kind[kind])
        lines = ["| | " + " | ".join(kinds) + " |", "| --- |" + " --- |" * len(kinds)]
        for measure in every:
            cells = [_cell(of_kind[kind].get(measure)) for kind in kinds]
            lines.append(f"| {_words(measure)} | " + " | ".join(cells) + " |")
        texts.append("\n".join(lines))
    return "\n\n".join(texts)


def _cell(row: dict | None) -> str:
    if row is None:
        return ""
    if not row["n"]:
        return "no interval"
    text = f"{row['rate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    text = f"**{text}**" if row["misses"] else text
    return text if row["n"] == row["cohorts"] else f"{text}, n {row['n']}"


def _words(measure: str) -> str:
    for name, said in {"auroc": "AUROC", "f1_macro": "macro F1", "brier": "Brier score", "_": " "}.items():
        measure = measure.replace(name, said)
    return measure.replace("expression", "RNA")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=500, help="cohorts of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", help="only kinds whose name begins so (default: all)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    given = parser.parse_args()
    kinds = [kind for kind in KINDS if not given.kinds or kind.name.startswith(tuple(given.kinds))]
    if not kinds or given.cohorts < 1:
        parser.error(f"nothing to do; kinds are: {'; '.join(kind.name for kind in KINDS)}")
    every = []
    for kind in kinds:
        start = time.perf_counter()
        rows = rates(kind, outcomes(kind, cohorts=given.cohorts, seed=given.seed, processes=given.processes))
        print(f"{kind.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        every += rows
        if given.json:
            given.json.write_text(json.dumps(every, indent=1), encoding="utf-8")
    print(markdown(every))


if __name__ == "__main__":
    main()
