"""The page at `/`: what runs here, and where to go on. Plain HTML, no scripts, light and dark."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape

from holdfast.core.schema import Collection, Schema
from holdfast.engine.app import App
from holdfast.model.typed import collection_of

__all__ = ["CONTENT_POLICY", "start_page"]

_STYLE = """
:root{color-scheme:light dark;--page:#fafaf7;--surface:#fff;--line:#deded6;--ink:#1c1f1e;--quiet:#5a605d;--accent:#0b6b63}
@media(prefers-color-scheme:dark){:root{--page:#141615;--surface:#1b1e1d;--line:#343937;--ink:#eceeea;--quiet:#a3aba7;--accent:#5cc8bc}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 Inter,system-ui,sans-serif}
main{max-width:720px;margin:0 auto;padding:48px 16px}h1{font-size:28px;line-height:1.25;font-weight:600;margin:0 0 8px}
h2{font-size:20px;line-height:1.25;font-weight:600;margin:0}p{margin:0 0 24px;color:var(--quiet);max-width:72ch}
ul{list-style:none;margin:0;padding:0}main>ul>li{background:var(--surface);border:1px solid var(--line);border-radius:8px;padding:16px;
margin:0 0 12px}li p{margin:4px 0 12px}h2+ul{margin-top:12px}li li{display:flex;gap:12px;padding:4px 0;border-top:1px solid var(--line)}
li li span{color:var(--quiet);flex:1}code{font:13px/1.5 ui-monospace,monospace;min-width:160px}a{color:var(--accent)}
nav{margin-top:32px;font-size:13px;display:flex;flex-wrap:wrap;gap:16px}
@media(max-width:480px){li li{flex-direction:column;gap:0}}
""".replace("\n", "")

_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def start_page(schema: Schema, applications: Sequence[App], base_path: str) -> str:
    """The whole page; each collection stands under its application."""
    kept = {app.name: [schema.collections[collection_of(record)] for record in app.records] for app in applications}
    listed = {collection.name for collections in kept.values() for collection in collections}
    items = "".join(_application(escape(app.title or app.name.capitalize()), app.doc, kept[app.name]) for app in applications)
    others = [one for one in schema.collections.values() if one.name not in listed]
    items += _application("Kept for every organisation", "", others)
    none = "<p>No application is installed. Start with <code>holdfast serve --app your_module</code>.</p>"
    listing = f"{'' if applications else none}<ul>{items}</ul>"
    base = escape(base_path)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Holdfast</title><style>{_STYLE}</style></head><body><main><h1>Holdfast runs here</h1>"
        "<p>Work is saved while people type, comes back after a crash, and is never overwritten without a trace. "
        f"These applications keep their records on this server.</p>{listing}"
        f'<nav><a href="{base}/openapi.json">API description</a><a href="{base}/healthz">Health</a><a href="{base}/readyz">Ready</a></nav>'
        "</main></body></html>"
    )


def _application(title: str, doc: str, collections: Sequence[Collection]) -> str:
    rows = "".join(f"<li><code>{escape(one.name)}</code><span>{escape(_first_line(one.doc))}</span></li>" for one in collections)
    about = f"<p>{escape(_first_line(doc))}</p>" if doc else ""
    return f"<li><h2>{title}</h2>{about}{f'<ul>{rows}</ul>' if rows else ''}</li>"


def _first_line(text: str) -> str:
    """The first line of a docstring, without the marks that are for readers of code."""
    return text.strip().split("\n", 1)[0].replace("`", "")
