"""Cases for every row of the route table: who calls what, and what comes back. A route without a case fails `test_every_route_has_cases`.

Placeholders in braces are filled from the scene. Others (the isolation matrix) read this table too: a case whose `who` is a member
and whose address or body names something of acme can be played by anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "Case", "Want"]


@dataclass(frozen=True)
class Want:
    """What the answer must be. `code`: the problem's; `holds`: members of the JSON answer; `headers`: those that must be there."""

    status: int = 200
    code: str | None = None
    holds: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """`route` is the pattern of the route table."""

    method: str
    route: str
    says: str
    want: Want
    url: str = ""
    who: str | None = "emil"
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None

    @property
    def address(self) -> str:
        return self.url or self.route

    @property
    def name(self) -> str:
        return f"{self.method} {self.route}: {self.says}"


def refused(status: int, code: str) -> Want:
    return Want(status, code)


MALFORMED, INVALID, MISSING = refused(400, "malformed"), refused(422, "invalid"), refused(404, "not_found")
NOBODY, FORBIDDEN, LIMIT = refused(401, "not_signed_in"), refused(403, "forbidden"), refused(413, "limit")
ONE = "/v1/records/{collection}/{id}"
MUTATION = {"mutation_id": "m-1", "collection": "notes", "record_id": "{note}", "base": "{position}",
            "ops": [{"op": "splice", "path": "/body", "edits": [[0, 0, "x"]]}]}

SIGN_IN = [
    Case("POST", "/v1/auth/login", "the right password", Want(holds={"tenant": "acme", "actor_id": "{emil}"}), who=None,
         body={"email": "emil@acme.example", "password": "correct horse battery"}),
    Case("POST", "/v1/auth/login", "a wrong password", NOBODY, who=None, body={"email": "emil@acme.example", "password": "wrong"}),
    Case("POST", "/v1/auth/login", "an unknown account", NOBODY, who=None, body={"email": "nobody@acme.example", "password": "wrong"}),
    Case("POST", "/v1/auth/login", "a foreign organisation", NOBODY, who=None,
         body={"email": "emil@acme.example", "password": "correct horse battery", "tenant": "other"}),
    Case("POST", "/v1/auth/login", "no password", INVALID, who=None, body={"email": "x"}),
    Case("POST", "/v1/auth/login", "a password beyond all measure", INVALID, who=None, body={"email": "x", "password": "x" * 2_000}),
    Case("POST", "/v1/auth/login", "a form", refused(415, "media_type"), who=None, raw=b"email=x&password=y",
         headers={"content-type": "application/x-www-form-urlencoded"}),
    Case("POST", "/v1/auth/login", "from a page of another site", FORBIDDEN, who=None, headers={"origin": "https://evil.example"},
         body={"email": "emil@acme.example", "password": "correct horse battery"}),
    Case("POST", "/v1/auth/logout", "a token", Want(204)),
    Case("POST", "/v1/auth/password", "the right one", Want(204), body={"current": "correct horse battery", "new": "another long one"}),
    Case("POST", "/v1/auth/password", "a wrong one", NOBODY, body={"current": "wrong", "new": "another long one"}),
    Case("POST", "/v1/auth/password", "too short a new one", INVALID, body={"current": "correct horse battery", "new": "x"}),
    Case("GET", "/v1/me", "a member", Want(holds={"tenant": "acme", "roles": ["editor"]})),
]

DEVICES = [
    Case("POST", "/v1/push", "a change", Want(), body={"device_id": "d1", "now": 1795186782000, "mutations": [MUTATION]}),
    Case("POST", "/v1/push", "nothing", Want(holds={"results": []}), body={"device_id": "d1", "mutations": []}),
    Case("POST", "/v1/push", "a broken neighbour", Want(), body={"device_id": "d1", "mutations": [{"nonsense": True}, MUTATION]}),
    Case("POST", "/v1/push", "no device", INVALID, body={"mutations": []}),
    Case("POST", "/v1/push", "a device id that is none", INVALID, body={"device_id": "no id!", "mutations": []}),
    Case("POST", "/v1/push", "no JSON", MALFORMED, raw=b"{", headers={"content-type": "application/json"}),
    Case("POST", "/v1/push", "brackets without end", MALFORMED, raw=b'{"device_id":"d","mutations":' + b"[" * 100_000,
         headers={"content-type": "application/json"}),
    Case("POST", "/v1/push", "too many", LIMIT, body={"device_id": "d1", "mutations": [{}] * 501}),
    Case("POST", "/v1/push", "parameters", MALFORMED, url="/v1/push?x=1", body={"device_id": "d1", "mutations": []}),
    Case("POST", "/v1/push", "text", refused(415, "media_type"), raw=b"{}", headers={"content-type": "text/plain"}),
    Case("POST", "/v1/push", "compressed", refused(415, "media_type"), raw=b"{}",
         headers={"content-type": "application/json", "content-encoding": "gzip"}),
    Case("POST", "/v1/push", "another character set", refused(415, "media_type"), raw=b"{}",
         headers={"content-type": "application/json; charset=latin-1"}),
    Case("GET", "/v1/pull", "from the start", Want()),
    Case("GET", "/v1/pull", "from the end", Want(holds={"changes": [], "more": False, "cursor": "{cursor}"}),
         url="/v1/pull?cursor={cursor}"),
    Case("GET", "/v1/pull", "some collections", Want(), url="/v1/pull?collections=notes,folders&limit=2&device_id=d1&contracts=notes:1"),
    Case("GET", "/v1/pull", "another history", Want(holds={"reset": "history"}), url="/v1/pull?cursor=3.00000000"),
    Case("GET", "/v1/pull", "a cursor that is none", MALFORMED, url="/v1/pull?cursor=yesterday"),
    Case("GET", "/v1/pull", "an unknown collection", MISSING, url="/v1/pull?collections=nothing"),
    Case("GET", "/v1/pull", "a limit out of bounds", INVALID, url="/v1/pull?limit=0"),
    Case("GET", "/v1/pull", "a misspelt parameter", MALFORMED, url="/v1/pull?limt=5"),
    Case("GET", "/v1/pull", "a parameter twice", MALFORMED, url="/v1/pull?limit=5&limit=6"),
    Case("GET", "/v1/pull", "bytes that are no UTF-8", MALFORMED, url="/v1/pull?cursor=%ff%fe"),
    Case("GET", "/v1/pull", "contracts that are none", INVALID, url="/v1/pull?contracts=notes:x"),
    Case("GET", "/v1/snapshot", "everything", Want()),
    Case("GET", "/v1/snapshot", "resumed", Want(), url="/v1/snapshot?collections=notes&after=notes/{note}"),
    Case("GET", "/v1/snapshot", "resumed from nowhere", MALFORMED, url="/v1/snapshot?after=nowhere"),
    Case("GET", "/v1/snapshot", "an unknown collection", MISSING, url="/v1/snapshot?collections=nothing"),
    Case("POST", "/v1/snapshot", "with a base", Want(), body={"collections": ["notes"], "pending": {"notes/{note}": "{first_position}"}}),
    Case("POST", "/v1/snapshot", "an unknown member", INVALID, body={"collection": ["notes"]}),
    Case("POST", "/v1/devices/report", "a report", Want(204), body={"device_id": "d1", "version": "1.0", "pending": 3, "cause": "offline"}),
    Case("POST", "/v1/devices/report", "a device id that is none", INVALID, body={"device_id": ""}),
    Case("POST", "/v1/devices/report", "somebody else's device", FORBIDDEN, who="ines", body={"device_id": "dev-emil"}),
    Case("POST", "/v1/devices/report", "a novel", INVALID, body={"device_id": "d1", "cause": "x" * 1_000}),
]

RECORDS = [
    Case("GET", "/v1/records/{collection}", "all", Want(), url="/v1/records/notes"),
    Case("GET", "/v1/records/{collection}", "by a value", Want(), url="/v1/records/notes?title=Second&status=open&sort=-title,rev&limit=1"),
    Case("GET", "/v1/records/{collection}", "by comparisons", Want(),
         url="/v1/records/notes?rev__gte=1&title__prefix=S&status__in=open,done&price__null=true&views__lt=5&id__ne={deleted}"),
    Case("GET", "/v1/records/{collection}", "with children", Want(), url="/v1/records/diaries?include=pages"),
    Case("GET", "/v1/records/{collection}", "with their number", Want(),
         url="/v1/records/diaries?include=pages:count&include_deleted=true"),
    Case("GET", "/v1/records/{collection}", "an unknown collection", MISSING, url="/v1/records/nothing"),
    Case("GET", "/v1/records/{collection}", "an unknown field", INVALID, url="/v1/records/notes?colour=red"),
    Case("GET", "/v1/records/{collection}", "a sensitive field", INVALID, url="/v1/records/notes?pin=1"),
    Case("GET", "/v1/records/{collection}", "whether a sensitive field is empty", INVALID, url="/v1/records/notes?pin__null=true"),
    Case("GET", "/v1/records/{collection}", "sorted by a sensitive field", INVALID, url="/v1/records/notes?sort=pin"),
    Case("GET", "/v1/records/{collection}", "a comparison that is none", INVALID, url="/v1/records/notes?title__like=x"),
    Case("GET", "/v1/records/{collection}", "a value of another kind", INVALID, url="/v1/records/notes?views=many"),
    Case("GET", "/v1/records/{collection}", "a choice that is none", INVALID, url="/v1/records/notes?status=lost"),
    Case("GET", "/v1/records/{collection}", "a made-up cursor", MALFORMED, url="/v1/records/notes?cursor=AAAA"),
    Case("GET", "/v1/records/{collection}", "an unknown child", INVALID, url="/v1/records/notes?include=pages"),
    Case("GET", "/v1/records/{collection}", "a search, which comes later", INVALID, url="/v1/records/notes?q=x"),
    Case("POST", "/v1/records/{collection}", "a note", Want(201, holds={"outcome": "applied", "receipt": "committed"}),
         url="/v1/records/notes",
         body={"fields": {"title": "New"}}),
    Case("POST", "/v1/records/{collection}", "without what it needs", INVALID, url="/v1/records/notes", body={"fields": {}}),
    Case("POST", "/v1/records/{collection}", "an unknown field", INVALID, url="/v1/records/notes",
         body={"fields": {"title": "x", "color": 1}}),
    Case("POST", "/v1/records/{collection}", "an unknown member", INVALID, url="/v1/records/notes",
         body={"fields": {"title": "x"}, "x": 1}),
    Case("POST", "/v1/records/{collection}", "an id that is none", MISSING, url="/v1/records/notes",
         body={"fields": {"title": "x"}, "id": "7"}),
    Case("POST", "/v1/records/{collection}", "without the right", FORBIDDEN, url="/v1/records/salaries", body={"fields": {"person": "me"}}),
    Case("POST", "/v1/records/{collection}", "a member twice", MALFORMED, url="/v1/records/notes",
         raw=b'{"fields":{"title":"x","title":"y"}}', headers={"content-type": "application/json"}),
    Case("POST", "/v1/records/{collection}", "U+0000", MALFORMED, url="/v1/records/notes", raw=b'{"fields":{"title":"a\\u0000b"}}',
         headers={"content-type": "application/json"}),
    Case("POST", "/v1/records/{collection}", "half a character", MALFORMED, url="/v1/records/notes", raw=b'{"fields":{"title":"\\ud800"}}',
         headers={"content-type": "application/json"}),
    Case("POST", "/v1/records/{collection}", "an idempotency key that is none", MALFORMED, url="/v1/records/notes",
         body={"fields": {"title": "x"}}, headers={"idempotency-key": "no key!"}),
    Case("GET", ONE, "a note", Want(holds={"id": "{note}", "rev": "{rev}"}, headers={"etag": '"{rev}"'}), url="/v1/records/notes/{note}"),
    Case("GET", ONE, "not changed", Want(304), url="/v1/records/notes/{note}", headers={"if-none-match": '"1", "{rev}"'}),
    Case("GET", ONE, "with children", Want(), url="/v1/records/diaries/{diary}?include=pages,pages:count"),
    Case("GET", ONE, "an unknown id", MISSING, url="/v1/records/notes/{missing}"),
    Case("GET", ONE, "what is no id", MISSING, url="/v1/records/notes/x%00y"),
    Case("GET", ONE, "a deleted one", MISSING, url="/v1/records/notes/{deleted}"),
    Case("GET", ONE, "a deleted one, asked for", Want(holds={"deleted": True}), url="/v1/records/notes/{deleted}?include_deleted=1"),
    Case("GET", ONE, "a hidden one", MISSING, url="/v1/records/diaries/{diary}", who="ines"),
    Case("PATCH", ONE, "a field", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{note}", body={"fields": {"status": "done"}}),
    Case("PATCH", ONE, "ops", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{note}",
         body={"ops": [{"op": "add", "path": "/views", "by": 2}], "base": "{position}", "atomic": True}),
    Case("PATCH", ONE, "at the version it was read", Want(), url="/v1/records/notes/{note}", body={"fields": {"title": "x"}},
         headers={"if-match": '"{rev}"'}),
    Case("PATCH", ONE, "at an older version", Want(412, "stale"), url="/v1/records/notes/{note}", body={"fields": {"title": "x"}},
         headers={"if-match": '"{first_rev}"'}),
    Case("PATCH", ONE, "an ETag that is none", MALFORMED, url="/v1/records/notes/{note}", body={"fields": {}}, headers={"if-match": "W/x"}),
    Case("PATCH", ONE, "a question", Want(202, holds={"outcome": "held"}), who="ines", url="/v1/records/notes/{priced}",
         body={"fields": {"price": "30.00"}, "base": "{position}"}),
    Case("PATCH", ONE, "a value that does not fit", INVALID, url="/v1/records/notes/{note}", body={"fields": {"status": "lost"}}),
    Case("PATCH", ONE, "fields and ops", INVALID, url="/v1/records/notes/{note}", body={"fields": {}, "ops": []}),
    Case("PATCH", ONE, "neither", INVALID, url="/v1/records/notes/{note}", body={}),
    Case("PATCH", ONE, "an op that is none", MALFORMED, url="/v1/records/notes/{note}", body={"ops": [{"op": "explode"}]}),
    Case("PATCH", ONE, "a hidden one", MISSING, url="/v1/records/diaries/{diary}", who="ines", body={"fields": {"text": "x"}}),
    Case("PATCH", ONE, "an unknown one", MISSING, url="/v1/records/notes/{missing}", body={"fields": {"title": "x"}}),
    Case("DELETE", ONE, "a note", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{note}"),
    Case("DELETE", ONE, "at an older version", Want(412, "stale"), url="/v1/records/notes/{note}", headers={"if-match": '"{first_rev}"'}),
    Case("DELETE", ONE, "an unknown one", MISSING, url="/v1/records/notes/{missing}"),
    Case("DELETE", ONE, "a hidden one", MISSING, url="/v1/records/salaries/{salary}"),
    Case("POST", ONE + "/undelete", "a deleted one", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{deleted}/undelete"),
    Case("POST", ONE + "/undelete", "a hidden one", MISSING, url="/v1/records/salaries/{salary}/undelete"),
    Case("POST", "/v1/records", "since a base", Want(), body={"wanted": [{"collection": "notes", "record_id": "{note}", "base": None}]}),
    Case("POST", "/v1/records", "an unknown collection", Want(), body={"wanted": [{"collection": "nothing", "record_id": "{note}"}]}),
    Case("POST", "/v1/records", "too many", LIMIT, body={"wanted": [{"collection": "notes", "record_id": "x"}] * 201}),
]

PAST = [
    Case("GET", ONE + "/history", "a note's", Want(), url="/v1/records/notes/{note}/history?limit=1"),
    Case("GET", ONE + "/history", "a made-up cursor", MALFORMED, url="/v1/records/notes/{note}/history?cursor=x"),
    Case("GET", ONE + "/history", "a hidden one's", MISSING, url="/v1/records/diaries/{diary}/history", who="ines"),
    Case("GET", ONE + "/at/{rev}", "a note", Want(holds={"id": "{note}"}), url="/v1/records/notes/{note}/at/{first_rev}"),
    Case("GET", ONE + "/at/{rev}", "the future", MISSING, url="/v1/records/notes/{note}/at/999999"),
    Case("GET", ONE + "/at/{rev}", "what is no rev", MISSING, url="/v1/records/notes/{note}/at/yesterday"),
    Case("GET", ONE + "/at/{rev}", "a hidden one", MISSING, url="/v1/records/salaries/{salary}/at/{salary_rev}"),
    Case("GET", ONE + "/diff", "two versions", Want(holds={"from": "{first_rev}", "to": "{rev}"}),
         url="/v1/records/notes/{note}/diff?from={first_rev}&to={rev}"),
    Case("GET", ONE + "/diff", "without from", INVALID, url="/v1/records/notes/{note}/diff"),
    Case("GET", ONE + "/diff", "a hidden one", MISSING, url="/v1/records/salaries/{salary}/diff?from=1", who="ines"),
    Case("GET", ONE + "/why", "a title", Want(), url="/v1/records/notes/{note}/why?path=/title"),
    Case("GET", ONE + "/why", "no pointer", INVALID, url="/v1/records/notes/{note}/why?path=title"),
    Case("GET", ONE + "/why", "a bad pointer", MALFORMED, url="/v1/records/notes/{note}/why?path=/extra/~2"),
    Case("GET", ONE + "/why", "an unknown field", MISSING, url="/v1/records/notes/{note}/why?path=/colour"),
    Case("GET", ONE + "/why", "a hidden one", MISSING, url="/v1/records/diaries/{diary}/why?path=/text", who="ines"),
    Case("POST", ONE + "/versions", "a name", Want(), url="/v1/records/notes/{note}/versions",
         body={"rev": "{first_rev}", "name": "Draft"}),
    Case("POST", ONE + "/versions", "no name", INVALID, url="/v1/records/notes/{note}/versions", body={"rev": "{first_rev}", "name": " "}),
    Case("POST", ONE + "/versions", "a rev of another kind", INVALID, url="/v1/records/notes/{note}/versions",
         body={"rev": "1", "name": "x"}),
    Case("POST", ONE + "/versions", "a hidden one", MISSING, url="/v1/records/salaries/{salary}/versions",
         body={"rev": "{salary_rev}", "name": "x"}),
    Case("POST", ONE + "/restore", "a note", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{note}/restore",
         body={"rev": "{first_rev}", "paths": ["/title"]}),
    Case("POST", ONE + "/restore", "the future", MISSING, url="/v1/records/notes/{note}/restore", body={"rev": 999999}),
    Case("POST", ONE + "/restore", "a hidden one", MISSING, url="/v1/records/diaries/{diary}/restore", who="ines", body={"rev": 1}),
    Case("POST", ONE + "/undo", "the caller's newest", Want(holds={"outcome": "applied"}), url="/v1/records/notes/{note}/undo"),
    Case("POST", ONE + "/undo", "nothing of the caller's", Want(409, "conflict"), who="ines", url="/v1/records/notes/{note}/undo", body={}),
    Case("POST", ONE + "/undo", "an unknown entry", MISSING, url="/v1/records/notes/{note}/undo", body={"seq": 999999}),
    Case("POST", ONE + "/undo", "a hidden one", MISSING, url="/v1/records/diaries/{diary}/undo", who="ines", body={"seq": "{diary_rev}"}),
    Case("POST", ONE + "/redo", "nothing was undone", Want(409, "conflict"), url="/v1/records/notes/{note}/redo"),
    Case("POST", ONE + "/redo", "a hidden one", MISSING, url="/v1/records/diaries/{diary}/redo", who="ines"),
]

WAITING = [
    Case("GET", "/v1/inbox", "the own", Want(), url="/v1/inbox?limit=5"),
    Case("GET", "/v1/inbox", "a made-up cursor", MALFORMED, url="/v1/inbox?cursor=x"),
    Case("GET", "/v1/inbox/{id}", "the own", Want(holds={"id": "{item}"}), url="/v1/inbox/{item}"),
    Case("GET", "/v1/inbox/{id}", "somebody else's", MISSING, who="ines", url="/v1/inbox/{item}"),
    Case("GET", "/v1/inbox/{id}", "an unknown one", MISSING, url="/v1/inbox/999999"),
    Case("POST", "/v1/inbox/{id}", "apply", Want(holds={"outcome": "applied"}), url="/v1/inbox/{item}", body={"apply": True}),
    Case("POST", "/v1/inbox/{id}", "a value", Want(), url="/v1/inbox/{item}", body={"value": {"/price": "15.00"}}),
    Case("POST", "/v1/inbox/{id}", "discard", Want(), url="/v1/inbox/{item}", body={"discard": True, "reason": "old"}),
    Case("POST", "/v1/inbox/{id}", "assign", Want(), url="/v1/inbox/{item}", body={"assign": "{olga}"}),
    Case("POST", "/v1/inbox/{id}", "two ways at once", INVALID, url="/v1/inbox/{item}", body={"apply": True, "discard": True}),
    Case("POST", "/v1/inbox/{id}", "no way", INVALID, url="/v1/inbox/{item}", body={}),
    Case("POST", "/v1/inbox/{id}", "somebody else's", MISSING, who="ines", url="/v1/inbox/{item}", body={"discard": True}),
    Case("GET", "/v1/activity", "everything", Want()),
    Case("GET", "/v1/activity", "some", Want(), url="/v1/activity?collection=notes&record_id={note}&actor_id={emil}&kind=change&limit=2"
                                                     "&since=2020-01-01T00:00:00Z&until=2040-01-01T00:00:00Z"),
    Case("GET", "/v1/activity", "a time that is none", INVALID, url="/v1/activity?since=yesterday"),
    Case("POST", "/v1/actions/{action}", "an action", Want(), url="/v1/actions/desk.rename",
         body={"mutation_id": "a-1", "note_id": "{note}", "title": "Renamed"}),
    Case("POST", "/v1/actions/{action}", "an unknown one", MISSING, url="/v1/actions/desk.explode", body={}),
    Case("POST", "/v1/actions/{action}", "no application", MALFORMED, url="/v1/actions/rename", body={}),
    Case("POST", "/v1/actions/{action}", "an argument of another kind", INVALID, url="/v1/actions/desk.rename",
         body={"note_id": 7, "title": "x"}),
    Case("POST", "/v1/actions/{action}", "a mutation id that is none", INVALID, url="/v1/actions/desk.rename",
         body={"mutation_id": "no id!"}),
    Case("POST", "/v1/actions/{action}", "without the role", FORBIDDEN, url="/v1/actions/desk.nothing", body={}),
    Case("POST", "/v1/actions/{action}", "no object", INVALID, url="/v1/actions/desk.rename", body=[1]),
]

APPLICATION = [
    Case("POST", "/api/desk/notes/{note_id}/rename", "an action by its address", Want(), url="/api/desk/notes/{note}/rename",
         body={"title": "Renamed"}),
    Case("POST", "/api/desk/notes/{note_id}/rename", "an argument with two values", MALFORMED, url="/api/desk/notes/{note}/rename",
         body={"title": "x", "note_id": "{missing}"}),
    Case("POST", "/api/desk/notes/{note_id}/rename", "an unknown record", MISSING, url="/api/desk/notes/{missing}/rename",
         body={"title": "x"}),
    Case("GET", "/api/desk/count/{status}", "an argument in the query", Want(holds={"least": 3}), url="/api/desk/count/open?least=3"),
    Case("GET", "/api/desk/count/{status}", "one of another kind", INVALID, url="/api/desk/count/open?least=many"),
    Case("GET", "/api/desk/nothing", "null", Want(), who="olga"),
    Case("GET", "/api/desk/nothing", "without the role", FORBIDDEN),
]

MACHINES = [
    Case("GET", "/v1/schema", "a member", Want()),
    Case("GET", "/openapi.json", "anybody", Want(holds={"openapi": "3.1.0"}), who=None),
    Case("GET", "/healthz", "anybody", Want(holds={"status": "ok"}), who=None),
    Case("GET", "/readyz", "anybody", Want(holds={"status": "ready"}), who=None),
    Case("GET", "/metrics", "anybody", Want(), who=None),
    Case("GET", "/", "anybody", Want(), who=None),
    Case("GET", "/", "a parameter that is none", MALFORMED, who=None, url="/?x=1"),
]

CASES: list[Case] = [*SIGN_IN, *DEVICES, *RECORDS, *PAST, *WAITING, *APPLICATION, *MACHINES]
