"""A hash over the library code that decides a rule's result, so that a changed function reruns its rules.

Snakemake notices neither a changed imported module (no rerun) nor an unchanged but checked-out script (a needless
rerun), so rules put this hash into `params` and the profiles leave the `code` trigger out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from pathlib import Path

from histoweave.kept_hashes import Entry, KeptHashes, cache_file

_ROOT = Path(__file__).parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def _path_of(module: str) -> Path | None:
    base = _ROOT.parent.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@functools.cache
def imports_and_hash(path: Path) -> tuple[frozenset[str], bytes]:
    """What a module imports from this package, and a hash of its syntax tree without docstrings.

    Kept, in this process and between runs: every start of Snakemake asks for all modules, and many times.
    """
    source = path.read_bytes()
    key = hashlib.sha256(_how() + source).hexdigest()
    entry = _kept().get(key)
    if entry is None:
        entry = _read(source.decode("utf-8"))
        _kept().add(key, entry)
    return entry


@functools.cache
def _kept() -> KeptHashes:
    return KeptHashes(cache_file())


@functools.cache
def _how() -> bytes:
    """What an entry depends on besides the module: this one, and the version of Python that parses."""
    return Path(__file__).read_bytes() + repr(sys.version_info[:2]).encode()


def _read(source: str) -> Entry:
    """See `imports_and_hash`; in one pass."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    imports = frozenset(name for name in found if name.split(".")[0] == "histoweave")
    return imports, hashlib.sha256(ast.dump(tree).encode()).digest()


@functools.cache
def modules_used(module: str) -> tuple[str, ...]:
    """All histoweave modules that `module` imports, directly or not, itself included, sorted."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path_of(name)
        if path is None or name in found:
            continue
        found.add(name)
        waiting.extend(imports_and_hash(path)[0])
    return tuple(sorted(found))


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
        digest.update(f"{name}\n".encode() + imports_and_hash(_path_of(name))[1])
    for folder in sorted({_path_of(name).parent for name in names} - {_ROOT}):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
    _kept().save()
    return digest.hexdigest()[:16]
