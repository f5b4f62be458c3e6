"""Applications: their record classes, their actions, their routes. Re-exported as `holdfast.app`.

An action is server-side code that reads, then makes several changes as one transaction, with a reply:

    class SaveArguments(msgspec.Struct):
        session_id: str
        text: str

    @action("save")
    async def save(ctx: Context, args: SaveArguments) -> dict[str, Any]:
        step = await ctx.get(Step, args.session_id)
        change = ctx.change(step, text=args.text)
        return {"step": change.record, "rev": change.rev}

It reads outside the lock and may run again if what it read has changed, so it does nothing but read by its context and queue changes.
What a change came to (`record`, `rev`, `outcome`, `receipt`, `position`, and places in the record: `value("fields", "text")`) is only
known at the commit: in the reply such names are promises, filled in then. The log keeps the reply with its promises open. So a repeated
call answers with the records as they stand and the outcome `duplicate` (and `first_outcome`, if the reply has that promise), and what a
reply shows of a record is kept in the record's own entries alone; what an action puts into its reply literally is kept with the call.
"""

from __future__ import annotations

import importlib
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ValidationError

from holdfast.core.errors import DeclarationError, InvalidValue, Malformed
from holdfast.core.misfit import misfit
from holdfast.model.record import Record

__all__ = ["Action", "App", "AppRoute", "action", "load_app", "loaded_apps", "route"]

ActionFunction: TypeAlias = Callable[..., Awaitable[Any]]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True, slots=True)
class Action:
    """`arguments`: a msgspec Struct, a pydantic model, or None for a plain dict. `only_for`: roles of which the caller needs one.
    `grants`: roles that the action acts with besides the caller's. `reads_only`: it queues nothing and leaves no entry."""

    name: str
    function: ActionFunction
    arguments: type[Any] | None
    only_for: frozenset[str] | None = None
    grants: frozenset[str] = frozenset()
    reads_only: bool = False
    doc: str = ""

    def read_arguments(self, given: Mapping[str, Any]) -> Any:
        """`given` as the action's own type. Raises InvalidValue, naming the argument."""
        kind = self.arguments
        if kind is None:
            return dict(given)
        if issubclass(kind, BaseModel):
            try:
                return kind.model_validate(dict(given))
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False, include_input=False)[0]
                raise InvalidValue(f"{first['msg']}.", field="/" + "/".join(str(part) for part in first["loc"])) from None
        try:
            return msgspec.convert(dict(given), kind)
        except msgspec.ValidationError as error:
            reason, place = misfit(error)
            raise InvalidValue(f"{reason}.", field=place) from None


def action(name: str, *, only_for: Iterable[str] | None = None, grants: Iterable[str] = (),
           reads_only: bool = False) -> Callable[[ActionFunction], Action]:
    """Make an action of an async function `(ctx, arguments)`. Raises DeclarationError."""

    def declare(function: ActionFunction) -> Action:
        if not name or not NAME_CHARACTERS.issuperset(name):
            raise DeclarationError(f"An action's name is of a-z, 0-9 and _, not {name!r}.")
        if not inspect.iscoroutinefunction(function):
            raise DeclarationError(f"Action {name}: the function is not `async def`.")
        return Action(name, function, _arguments_of(name, function), None if only_for is None else frozenset(only_for), frozenset(grants),
                      reads_only, inspect.cleandoc(function.__doc__ or ""))

    return declare


def _arguments_of(name: str, function: ActionFunction) -> type[Any] | None:
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2:
        raise DeclarationError(f"Action {name}: the function takes two parameters, the context and the arguments.")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise DeclarationError(f"Action {name}: the type of {parameters[1]} cannot be found ({error}).",
                               hint="Declare the type at the top of the module.") from None
    kind = hints.get(parameters[1])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct | BaseModel):
        return kind
    if kind is None or kind is dict or typing.get_origin(kind) in (dict, Mapping, typing.get_origin(Mapping[str, Any])):
        return None
    raise DeclarationError(f"Action {name}: the arguments are a msgspec Struct, a pydantic model or a dict, not {kind}.")


@dataclass(frozen=True, slots=True)
class AppRoute:
    """An address of the application's own. Parameters in the path, the query (GET, DELETE) or the JSON body are the action's arguments;
    `mutation_id` in the body, or the `Idempotency-Key`, is its id. The answer is the action's reply."""

    method: Method
    path: str
    action: str
    status: int = 200


def route(method: Method, path: str, called: Action | str, *, status: int = 200) -> AppRoute:
    """`path` begins with /api/ and may hold names in braces."""
    if not path.startswith("/api/"):
        raise DeclarationError(f"An application's routes lie under /api/, not at {path!r}.")
    return AppRoute(method, path, called if isinstance(called, str) else called.name, status)


@dataclass(frozen=True)
class App:
    """An application, as `open_store` and `holdfast serve --app` take it."""

    name: str
    records: Sequence[type[Record]] = ()
    actions: Sequence[Action] = ()
    routes: Sequence[AppRoute] = ()
    title: str = ""
    doc: str = ""
    _by_name: dict[str, Action] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name or not NAME_CHARACTERS.issuperset(self.name):
            raise DeclarationError(f"An application's name is of a-z, 0-9 and _, not {self.name!r}.")
        for one in self.actions:
            if one.name in self._by_name:
                raise DeclarationError(f"Application {self.name} has two actions named {one.name!r}.")
            self._by_name[one.name] = one
        for one_route in self.routes:
            if one_route.action not in self._by_name:
                raise DeclarationError(f"Application {self.name}: the route {one_route.path} calls {one_route.action!r}, "
                                       "which is no action of it.")

    def action_named(self, name: str) -> Action | None:
        return self._by_name.get(name)


def load_app(place: str) -> App:
    """The application of a module: its `app`, or the name after a colon ("mine.notes:application"). Raises DeclarationError."""
    module_name, _, attribute = place.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DeclarationError(f"The application {place!r} cannot be imported: {error}.",
                               hint="Give the name of an importable module.") from error
    found = getattr(module, attribute or "app", None)
    if not isinstance(found, App):
        raise DeclarationError(f"{place!r} holds no application: {attribute or 'app'} is not an App.",
                               hint="Write `app = App(\"name\", records=[…])`.")
    return found


def loaded_apps(apps: Iterable[App | str]) -> tuple[App, ...]:
    """Applications, those given by their module's name imported. Raises DeclarationError for two of one name."""
    found = tuple(load_app(one) if isinstance(one, str) else one for one in apps)
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise DeclarationError(f"Two applications have one name: {', '.join(sorted(names))}.")
    return found


def split_action_name(full_name: str) -> tuple[str, str]:
    """"workshop.save" -> ("workshop", "save"). Raises Malformed."""
    app_name, dot, name = full_name.partition(".")
    if not dot:
        raise Malformed("An action is called as application.action.", field="action")
    return app_name, name
