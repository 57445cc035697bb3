"""A hash over the library code that decides a rule's result, so that a changed function reruns its rules.

Snakemake notices neither a changed imported module (no rerun) nor an unchanged but checked-out script (a needless
rerun), so rules put this hash into `params` and the profiles leave the `code` trigger out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

_ROOT = Path(__file__).parent


def _path_of(module: str) -> Path | None:
    base = _ROOT.parent.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def _imports(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name.split(".")[0] == "histoweave")


def modules_used(module: str) -> list[str]:
    """All histoweave modules that `module` imports, directly or not, itself included, sorted."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if path is None or name in found:
            continue
        found.add(name)
        waiting.extend(_imports(path))
    return sorted(found)


@functools.cache
def _tree(path: Path) -> str:
    """The syntax tree of a module as text, without docstrings. Kept: every start of Snakemake asks many times."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return ast.dump(tree)


@functools.cache
def code_hash(*modules: str) -> str:
    """First 16 hex digits of SHA-256 over the parsed code of `modules` and all they import from this package.

    Comments and formatting do not count (the syntax tree is hashed), docstrings neither. Files that a subpackage
    carries beside its modules (templates, style sheets, tables of gene names) count with their bytes.

    Raises
    ------
    ModuleNotFoundError
        if a name is not a module of this package.
    """
    names = sorted({name for module in modules for name in modules_used(module)})
    for module in modules:
        if module not in names:
            raise ModuleNotFoundError(module)
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n{_tree(_path_of(name))}\n".encode())
    for folder in sorted({_path_of(name).parent for name in names} - {_ROOT}):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
