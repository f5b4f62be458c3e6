"""Writes the typed faces of the blocking bridge from the asynchronous classes: `make faces`. A test compares each file with what this
renders, and runs mypy on a program that uses them.

At run time `engine.bridge.Blocking` stands for an object of another thread, whatever its class; a face says to type checkers and editors
what that comes to: the same methods without `await`, plain iterators for asynchronous ones, and faces in place of what crosses in turn.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FACES", "Face", "main"]

SOURCE = Path(__file__).resolve().parents[1] / "src"
MADE = "Made by `make faces` from the asynchronous classes; a test compares."
WIDTH = 140
ENDING = 4        # what may follow a signature on its line
KEPT_SPECIAL = {"__len__", "__str__"}


@dataclass(frozen=True)
class Shown:
    """One class: what it is called without `await`, the classes it is made of (`module:Class`), attributes and methods that no method
    declares, and methods that are the context manager's or the bridge's own."""

    name: str
    sources: tuple[str, ...]
    extra: tuple[str, ...] = ()
    hidden: frozenset[str] = frozenset()
    generic: bool = False


@dataclass(frozen=True)
class Face:
    """One file of faces. `imports` are lines beyond what the annotations need."""

    module: str
    about: str
    shown: tuple[Shown, ...]
    imports: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return SOURCE / (self.module.replace(".", "/") + ".py")


FACES = (
    Face("holdfast.engine.blocking_face", "The store, and what it gives, for code that blocks.", (
        Shown("BlockingStore", ("holdfast.engine.store:Store",), ("accounts: BlockingAccounts", "schema: Schema"),
              hidden=frozenset({"pull_many"})),
        Shown("BlockingMember", ("holdfast.engine.session:MemberSession",), ("caller: Caller",)),
        Shown("BlockingAccounts", ("holdfast.engine.accounts:Accounts",), hidden=frozenset({"check", "forget", "sign_in", "sign_out",
                                                                                        "change_password"})),
        Shown("BlockingFeed", ("holdfast.engine.feed:FeedSubscription",), ("def __iter__(self) -> Iterator[int]: ...",),
              hidden=frozenset({"hint", "end"})),
    ), ("from holdfast.core.schema import Schema", "from holdfast.engine.api import Caller")),
    Face("holdfast.client.blocking_face", "The replica and the small door, and what they give, for code that blocks.", (
        Shown("BlockingReplica", ("holdfast.client.records:Records", "holdfast.client.replica:Replica"),
              hidden=frozenset({"start", "close"})),
        Shown("BlockingRemote", ("holdfast.client.remote:Remote",)),
        Shown("BlockingBuffer", ("holdfast.client.buffer:TextBuffer",)),
        Shown("BlockingAutoSaved", ("holdfast.client.autosave:AutoSaved",), ("record: R", "problem: CallerError | None"), generic=True),
        Shown("BlockingSaver", ("holdfast.client.autosaver:AutoSaver",)),
    ), ("from holdfast.core.errors import CallerError",)),
)

CROSSED = {source.partition(":")[2]: shown.name for face in FACES for shown in face.shown for source in shown.sources}


class Crossing(ast.NodeTransformer):
    """An annotation as it reads on this side of the bridge."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "list":       # a method of that name stands in the way
            return ast.Attribute(ast.Name("builtins"), "list")
        return ast.Name({"AsyncIterator": "Iterator", **CROSSED}.get(node.id, node.id))


class Module:
    """A module of the project: its classes, and where its names come from."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tree = ast.parse((SOURCE / (name.replace(".", "/") + ".py")).read_text("utf-8"))
        self.imported = {alias.asname or alias.name: node.module for node in self.tree.body if isinstance(node, ast.ImportFrom)
                         for alias in node.names}
        self.classes = {node.name for node in self.tree.body if isinstance(node, ast.ClassDef)}
        self.made = {target.id: node for node in self.tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
                     for target in (node.targets if isinstance(node, ast.Assign) else [node.target]) if isinstance(target, ast.Name)}

    def methods(self, class_name: str, hidden: frozenset[str]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        found = next(node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
        for node in found.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in hidden \
                    and (not node.name.startswith("_") or node.name in KEPT_SPECIAL) \
                    and all(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list):
                yield node


class Names:
    """What a face's annotations need: imports by module, and statements that are taken over."""

    def __init__(self) -> None:
        self.imports: dict[str, set[str]] = {"typing": {"Protocol", "TypeVar"}, "holdfast.model.record": {"Record"}}
        self.taken: dict[str, str] = {}

    def need(self, node: ast.AST, module: Module) -> None:
        for name in {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}:
            if name in module.imported:
                self.imports.setdefault(module.imported[name] or "", set()).add(name)
            elif name in module.classes and name not in CROSSED:
                self.imports.setdefault(module.name, set()).add(name)
            elif name in module.made and name != "R":
                statement = module.made[name]
                self.need(ast.Module([ast.Expr(statement.value)] if statement.value is not None else [], []), module)
                if isinstance(statement, ast.AnnAssign):
                    self.need(statement.annotation, module)
                self.taken[name] = ast.unparse(statement)


def signature(method: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, names: Names) -> str:
    """`def name(…) -> …:` on as many lines as it needs."""
    arguments = method.args
    for one in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if one is not None and one.annotation is not None:
            one.annotation = crossed(one.annotation, module, names)
    returns = crossed(method.returns, module, names) if method.returns is not None else ast.Constant(None)
    made = ast.FunctionDef(method.name, arguments, [ast.Expr(ast.Constant(...))], [], returns)
    line = ast.unparse(ast.fix_missing_locations(ast.Module([made], []))).split("\n")[0]
    return wrapped(f"    {line}")


def crossed(annotation: ast.expr, module: Module, names: Names) -> ast.expr:
    found: ast.expr = Crossing().visit(ast.parse(ast.unparse(annotation), mode="eval").body)
    names.need(annotation, module)
    if "builtins" in {one.id for one in ast.walk(found) if isinstance(one, ast.Name)}:
        names.taken["builtins"] = ""
    return found


def wrapped(line: str) -> str:
    """Broken after commas where it is too long, under its first argument."""
    indent = " " * (line.index("(") + 1)
    lines = [line]
    while len(lines[-1]) > WIDTH - ENDING:
        at = lines[-1].rfind(", ", 0, WIDTH - ENDING)
        lines[-1:] = [lines[-1][:at + 1], indent + lines[-1][at + 2:]]
    return "\n".join(lines)


def rendered_method(method: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, names: Names) -> list[str]:
    told = ast.get_docstring(method, clean=False)
    lines = ["    @property"] if method.decorator_list else []
    head = signature(method, module, names)
    if told is None:
        return [*lines, f"{head} ...", ""]
    return [*lines, head, f'        """{told}"""', ""]


def rendered_class(shown: Shown, names: Names) -> list[str]:
    base = "Protocol[R]" if shown.generic else "Protocol"
    modules = [(Module(source.partition(":")[0]), source.partition(":")[2]) for source in shown.sources]
    kind = " and ".join(f"`{name}`" for _, name in modules)
    lines = ["", f"class {shown.name}({base}):", f'    """{kind}, each call of which blocks until it is done."""', ""]
    for extra in shown.extra:
        if extra.startswith("def "):
            lines += [f"    {extra}", ""]
            names.imports.setdefault("collections.abc", set()).add("Iterator")
        else:
            name, _, annotation = extra.partition(": ")
            lines += [f"    {extra}", ""] if shown.generic else ["    @property", f"    def {name}(self) -> {annotation}: ...", ""]
    for module, class_name in modules:
        for method in module.methods(class_name, shown.hidden):
            lines += rendered_method(method, module, names)
    return lines


def render(face: Face) -> str:
    names = Names()
    body = [line for shown in face.shown for line in rendered_class(shown, names)]
    ours = {shown.name for shown in face.shown}
    for line in face.imports:
        _, module, _, name = line.split(" ")
        names.imports.setdefault(module, set()).add(name)
    if "AsyncIterator" in names.imports.get("collections.abc", ()):
        names.imports["collections.abc"] -= {"AsyncIterator"}
        names.imports["collections.abc"].add("Iterator")
    lines = [f'"""{face.about}', "", f'{MADE}', '"""', "", "from __future__ import annotations", ""]
    standard = {name: found for name, found in names.imports.items() if not name.startswith("holdfast")}
    lines += ["import builtins"] if "builtins" in names.taken else []
    lines += [imported(name, found) for name, found in sorted(standard.items())]
    lines += [""]
    lines += [imported(name, left) for name, found in sorted(names.imports.items()) if name.startswith("holdfast")
              and (left := found - set(CROSSED))]
    lines += ["", f"__all__ = [{', '.join(repr(name) for name in sorted(ours))}]".replace("'", '"'), ""]
    lines += ['R = TypeVar("R", bound=Record)', *(text.replace("'", '"') for text in names.taken.values() if text), ""]
    return "\n".join([*lines, *body]).rstrip() + "\n"


def imported(module: str, names: set[str]) -> str:
    line = f"from {module} import {', '.join(sorted(names, key=str.casefold))}"
    assert len(line) <= WIDTH and not set(names) & set(dir(builtins))
    return line


def main() -> None:
    for face in FACES:
        face.path.write_text(render(face), "utf-8")
        print(face.path.relative_to(SOURCE.parent))


if __name__ == "__main__":
    main()
