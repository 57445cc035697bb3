"""A module's syntax tree without what does not decide its results: docstrings, annotations' imports, addresses of imports."""

from __future__ import annotations

import ast
import hashlib
from typing import NamedTuple

_PACKAGE = "histoweave"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Source(NamedTuple):
    """What a module's source says.

    Attributes
    ----------
    digest : SHA-256 (32 bytes) of its syntax tree.
    used : (module, name) that it takes from this package, in the order in which the tree first uses them; of
        `import module as name`, the name is empty.
    unused : those that the tree never names: imported for others, or for an effect; and those whose local name stands for
        two different things.
    """

    digest: bytes
    used: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...]


def read_source(tree: ast.Module) -> Source:
    """Reads a syntax tree, and changes it.

    Imports from this package are taken out, and their local names are replaced by numbers in the order of first use, so
    that neither a module's name nor the place and order of import lines count. Imports for type checkers only
    (`if TYPE_CHECKING`) are left out: nothing of them runs.
    """
    imports = _Imports()
    imports.visit(tree)
    names = _Names({local: targets.pop() for local, targets in imports.local.items() if len(targets) == 1})
    names.visit(tree)
    used = tuple(names.order)
    digest = hashlib.sha256(ast.dump(tree).encode()).digest()
    return Source(digest, used, tuple(sorted(imports.all - set(used))))


class _Imports(ast.NodeTransformer):
    """Takes out imports of this package and docstrings, and remembers local name → (module, name)."""

    def __init__(self) -> None:
        self.local: dict[str, set[tuple[str, str]]] = {}
        self.all: set[tuple[str, str]] = set()

    def visit(self, node: ast.AST) -> ast.AST | list | None:
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        return super().visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(each) for each in node.orelse]
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        for alias in node.names:
            if alias.name.split(".")[0] == _PACKAGE:
                self._add(alias.asname or _PACKAGE, (alias.name, ""))
        node.names = [alias for alias in node.names if alias.name.split(".")[0] != _PACKAGE]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.level or (node.module or "").split(".")[0] != _PACKAGE:
            return node
        for alias in node.names:
            self._add(alias.asname or alias.name, (str(node.module), alias.name))
        return None

    def _add(self, local: str, target: tuple[str, str]) -> None:
        self.all.add(target)
        # `import histoweave.storage.files` binds the package: its name stays, as an attribute that tells the address.
        if local != _PACKAGE:
            self.local.setdefault(local, set()).add(target)


class _Names(ast.NodeTransformer):
    """Puts numbers in place of local names."""

    def __init__(self, targets: dict[str, tuple[str, str]]) -> None:
        self._targets = targets
        self.order: dict[tuple[str, str], int] = {}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if (target := self._targets.get(node.id)) is not None:
            node.id = f"#{self.order.setdefault(target, len(self.order))}"
        return node
