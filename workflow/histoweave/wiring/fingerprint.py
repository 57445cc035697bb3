"""A hash over the library code that decides a rule's result, so that a changed function reruns its rules.

Snakemake notices neither a changed imported module (no rerun) nor an unchanged but checked-out script (a needless
rerun), so rules put this hash into `params` and the profiles leave the `code` trigger out.

The hash follows what is imported, not where it lies: in each module's syntax tree a name that is taken from this package stands
for the content of the module that defines it (a Merkle tree over the imports). Moving or renaming a file changes no hash;
taking a function of the same name from another module does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from pathlib import Path

from histoweave.wiring.kept_hashes import KeptHashes, cache_file
from histoweave.wiring.syntax import Source, read_source

Taken = tuple[str, str]  # module, and a name in it or none


class Library:
    """The modules below a folder that holds the package, and their hashes; read once, as they are then."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._paths: dict[str, Path | None] = {}
        self._hashes: dict[Path, bytes] = {}

    def path_of(self, module: str) -> Path | None:
        """The file of a module, None if there is none of that name."""
        if module not in self._paths:
            base = self._folder.joinpath(*module.split("."))
            places = (base.with_suffix(".py"), base / "__init__.py")
            self._paths[module] = next((path for path in places if path.is_file()), None)
        return self._paths[module]

    def modules_used(self, module: str) -> tuple[str, ...]:
        """All modules that `module` imports, directly or not, itself included, sorted."""
        found: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            path = self.path_of(name)
            if path is None or name in found:
                continue
            found.add(name)
            source = _source_of(path)
            waiting.extend(self._module_of(taken) for taken in (*source.used, *source.unused))
        return tuple(sorted(found))

    def content_hash(self, module: str, *, within: tuple[str, ...] = ()) -> bytes:
        """SHA-256 of a module's code and, in place of the addresses of what it imports, of their content hashes.

        Comments and formatting do not count (the syntax tree is hashed), docstrings neither. Files that the module's folder
        carries beside its modules (templates, style sheets, tables of gene names) count with their names and bytes.

        Parameters
        ----------
        within : the modules whose hash needs this one.

        Raises
        ------
        ModuleNotFoundError
            if there is no module of that name.
        ImportError
            if modules import each other in a circle: such a hash has no beginning.
        """
        path = self.path_of(module)
        if path is None:
            raise ModuleNotFoundError(module)
        if module in within:
            circle = " -> ".join((*within[within.index(module) :], module))
            raise ImportError(f"modules import each other: {circle}; move what both need to a third")
        if path not in self._hashes:
            source = _source_of(path)
            used, unused = (
                [self._hash_of(taken, within=(*within, module)) for taken in each]
                for each in (source.used, source.unused)
            )
            parts = (source.digest, *used, b"unused", *sorted(unused), _carried(path.parent))
            self._hashes[path] = hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()
        return self._hashes[path]

    def code_hash(self, *modules: str) -> str:
        """First 16 hex digits of SHA-256 over the contents of `modules`, see `content_hash`; their order does not matter."""
        digest = hashlib.sha256(b"".join(sorted(map(self.content_hash, modules))))
        _kept().save()
        return digest.hexdigest()[:16]

    def _module_of(self, taken: Taken) -> str:
        """The module that is read: what is taken may be a module itself."""
        inner = ".".join(filter(None, taken))
        return inner if self.path_of(inner) else taken[0]

    def _hash_of(self, taken: Taken, *, within: tuple[str, ...]) -> bytes:
        module = self._module_of(taken)
        name = taken[1] if module == taken[0] else ""
        return self.content_hash(module, within=within) + name.encode()


@functools.cache
def _source_of(path: Path) -> Source:
    """What a module's file says. Kept between runs: every start of Snakemake asks for all modules."""
    text = path.read_bytes()
    key = hashlib.sha256(_how() + text).hexdigest()
    found = _kept().get(key)
    if found is None:
        found = read_source(ast.parse(text))
        _kept().add(key, found)
    return found


@functools.cache
def _carried(folder: Path) -> bytes:
    """Names and bytes of the files in a folder that are no modules."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.digest()


@functools.cache
def _kept() -> KeptHashes:
    return KeptHashes(cache_file())


@functools.cache
def _how() -> bytes:
    """What an entry depends on besides the module: the reader, and the version of Python that parses."""
    return Path(__file__).with_name("syntax.py").read_bytes() + repr(sys.version_info[:2]).encode()


_OWN = Library(Path(__file__).parents[2])
modules_used, path_of = _OWN.modules_used, _OWN.path_of


@functools.cache
def code_hash(*modules: str) -> str:
    """`Library.code_hash` of this library."""
    return _OWN.code_hash(*modules)
