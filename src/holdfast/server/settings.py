"""Settings of the server, each declared once: name, default, unit and help make the code, the command line's options, the
environment variables (`HOLDFAST_…`) and `docs/reference/settings.md` (a test compares).

Parsed once at start: from here on they are typed values, no strings. A value on the command line wins over the environment,
which wins over the default.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.core.errors import UnsafeSettings

__all__ = ["Declared", "Settings", "declared", "render_reference"]

ENVIRONMENT_PREFIX = "HOLDFAST_"


def setting(default: Any, help: str, *, unit: str = "", secret: bool = False) -> Any:
    """Declare one setting; a tuple is written as a comma-separated list in the environment."""
    return field(default=default, metadata={"help": help, "unit": unit, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `holdfast serve` runs with. Names carry their units."""

    data: str = setting("data", "Folder that holds everything (SQLite). Made when missing.", unit="path")
    app: tuple[str, ...] = setting((), "Python modules of the applications to serve; none: the bundled ones.", unit="module")
    demo: bool = setting(False, "Make a demonstration organisation with people and content, and print how to sign in.")
    host: str = setting("127.0.0.1", "Address to listen on.", unit="address")
    port: int = setting(8740, "Port to listen on; 0 takes a free one and prints it.", unit="port")
    public_url: str | None = setting(None, "Address under which browsers reach the server, where a proxy changes the host.", unit="URL")
    proxies: tuple[str, ...] = setting((), "Addresses of proxies whose X-Forwarded-For and -Proto are believed.", unit="address")
    cors_origins: tuple[str, ...] = setting((), "Other origins whose pages may call the API; none: only the own.", unit="origin")
    writer: str = setting("process", "Where the one writer runs: process (twice the single saves) or thread.", unit="process | thread")
    log_level: str = setting("info", "How much is logged: debug, info, warning or error. debug also writes the words of unexpected "
                             "errors, which may hold what people typed.", unit="level")
    metrics_token: str | None = setting(None, "Bearer token that /metrics asks for; none: open to whoever reaches the port.", unit="text",
                                        secret=True)

    session_hours: int = setting(24 * 14, "How long a browser session lasts.", unit="hours")
    oidc_issuer: str | None = setting(None, "OpenID Connect issuer whose tokens are taken.", unit="URL")
    oidc_audience: str | None = setting(None, "Audience that those tokens must name; needed with an issuer.", unit="text")
    oidc_algorithms: tuple[str, ...] = setting(("RS256", "PS256", "ES256", "EdDSA"), "Signature algorithms taken; none and HS… never are.",
                                               unit="name")
    oidc_account_claim: str = setting("email", "Claim that names the account: email (must be verified), or one that holds the account id.",
                                      unit="claim")
    oidc_tenant_claim: str = setting("tenant", "Claim that names the organisation; absent: the header Holdfast-Tenant, or the only one.",
                                     unit="claim")
    oidc_cache_seconds: int = setting(60, "How long a checked token is believed without checking again; the end of the account or "
                                      "membership shows at once in what it may do.", unit="seconds")
    oidc_leeway_seconds: int = setting(30, "How far the issuer's clock may be off.", unit="seconds")

    connections_max: int = setting(10_000, "Open connections; one more is answered 503.", unit="connections")
    header_bytes_max: int = setting(32 << 10, "Request line and headers together; more is answered 431.", unit="bytes")
    body_bytes_max: int = setting(2 << 20, "Body of a call other than push (which has its own limit); more is answered 413.", unit="bytes")
    header_seconds_max: float = setting(15.0, "A request's headers must be here by then.", unit="seconds")
    body_seconds_max: float = setting(120.0, "A request's body must be here by then.", unit="seconds")
    write_seconds_max: float = setting(60.0, "A client that reads nothing for so long is cut off.", unit="seconds")
    answer_seconds_max: float = setting(60.0, "A call that takes longer is answered 503; a save's outcome is then unknown and safe to send "
                                        "again.", unit="seconds")
    keep_alive_seconds: int = setting(75, "How long an idle connection stays open.", unit="seconds")
    shutdown_seconds: float = setting(5.0, "How long calls under way may take when the server stops.", unit="seconds")
    heartbeat_seconds: float = setting(15.0, "How often a socket hears where the log is.", unit="seconds")
    hello_seconds_max: float = setting(10.0, "A socket must have said who it is by then.", unit="seconds")
    presence_seconds: float = setting(0.1, "Presence is told at most so often.", unit="seconds")

    def __post_init__(self) -> None:
        if self.oidc_issuer and not self.oidc_audience:
            raise UnsafeSettings("An OIDC issuer is set without an audience: tokens made for other services would be taken.",
                                 field="oidc_audience", hint="Set HOLDFAST_OIDC_AUDIENCE to the name this server has at the issuer.")
        unsafe = [name for name in self.oidc_algorithms if name.lower() == "none" or name.upper().startswith("HS")]
        if unsafe:
            raise UnsafeSettings(f"OIDC algorithms {', '.join(unsafe)} would let anybody make tokens.", field="oidc_algorithms",
                                 hint="Name asymmetric algorithms only, such as RS256 or ES256.")
        if self.writer not in ("process", "thread"):
            raise UnsafeSettings(f"The writer runs in a process or a thread, not in {self.writer!r}.", field="writer",
                                 hint="Use process or thread.")
        if self.log_level not in ("debug", "info", "warning", "error"):
            raise UnsafeSettings(f"There is no log level {self.log_level!r}.", field="log_level", hint="Use debug, info, warning or error.")

    def __repr__(self) -> str:
        shown = [f"{item.name}={'***' if item.secret and value is not None else repr(value)}"
                 for item in declared() for value in (getattr(self, item.name),)]
        return f"Settings({', '.join(shown)})"

    @classmethod
    def load(cls, environment: Mapping[str, str], **given: Any) -> Settings:
        """Settings from the environment; `given` values that are not None win. Raises UnsafeSettings for one that cannot be read."""
        values = {item.name: item.read(environment[item.variable]) for item in declared() if item.variable in environment}
        return cls(**{**values, **{name: value for name, value in given.items() if value is not None}})


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting as declared. `kind` is str, int, float, bool or tuple."""

    name: str
    kind: type
    default: Any
    unit: str
    help: str
    secret: bool

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    def read(self, text: str) -> Any:
        """The typed value of `text`, as it stands in the environment."""
        try:
            if self.kind is bool:
                return {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False, "": False}[
                    text.strip().lower()]
            if self.kind is tuple:
                return tuple(part.strip() for part in text.split(",") if part.strip())
            return self.kind(text.strip())
        except (KeyError, ValueError):
            shown = "" if self.secret else f", not {text!r}"
            raise UnsafeSettings(f"{self.variable} takes {self.unit or self.kind.__name__}{shown}.", field=self.name,
                                 hint=f"{self.help} Default: {self.default!r}.") from None


def declared() -> tuple[Declared, ...]:
    """All settings, in order of declaration."""
    hints = typing.get_type_hints(Settings)
    return tuple(Declared(item.name, _plain(hints[item.name]), item.default, item.metadata["unit"], item.metadata["help"],
                          item.metadata["secret"]) for item in dataclasses.fields(Settings))


def _plain(hint: Any) -> type:
    """The constructor behind a hint: `str | None` is str, `tuple[str, ...]` is tuple."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    origin = typing.get_origin(hint) or hint
    assert isinstance(origin, type)
    return origin


def render_reference() -> str:
    """`docs/reference/settings.md`: made from the declarations, compared by a test."""
    lines = ["# Settings", "", "Each setting is an option of `holdfast serve` and an environment variable; the option wins. Lists are",
             "comma-separated in the environment and repeated on the command line.", "",
             "| option | environment | default | unit | what it does |", "|---|---|---|---|---|"]
    for item in declared():
        default = ", ".join(item.default) if isinstance(item.default, tuple) else "" if item.default is None else str(item.default)
        shown = f"`{default}`" if default else "none"
        unit = item.unit.replace("|", "or")
        lines.append(f"| `{item.option}` | `{item.variable}` | {shown} | {unit or 'yes or no'} | {item.help} |")
    return "\n".join(lines) + "\n"
