"""What an outsider may try at every route and with every message of the socket, to learn of what is hidden. A route or message without a
probe fails `test_apart.py`. Placeholders in braces are the world's `values`; those of hidden things are the same in both twins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["EVERYBODY", "MESSAGES", "PROBES", "Probe", "filled"]

HIDDEN = {"patients": ("{patient}", "{gone}"), "visits": ("{visit}",), "workshop_sessions": ("{session}",),
          "step_responses": ("{response}",)}
"""By collection, the hidden records' ids."""

EVERYBODY = "everybody"

ONE = "/v1/records/{collection}/{id}"


@dataclass(frozen=True)
class Probe:
    """One call, by every outsider; with `who` by that one alone instead (None: by nobody)."""

    method: str
    url: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    who: str | None = EVERYBODY


def filled(template: Any, values: dict[str, Any]) -> Any:
    """`template` with its `{names}` replaced; a text that is one name alone takes the value as it is."""
    if isinstance(template, str):
        if template.startswith("{") and template.endswith("}") and template[1:-1] in values:
            return values[template[1:-1]]
        for name, value in values.items():
            template = template.replace("{" + name + "}", str(value))
        return template
    if isinstance(template, dict):
        return {filled(name, values): filled(value, values) for name, value in template.items()}
    return [filled(value, values) for value in template] if isinstance(template, list) else template


def records() -> list[tuple[str, str]]:
    return [(collection, record) for collection, ids in HIDDEN.items() for record in (*ids, "{unknown}")]


def at_each(method: str, rest: str, *bodies: Any, **headers: str) -> list[Probe]:
    """The call at every hidden record, with each body."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return [Probe(method, f"/v1/records/{collection}/{record}{rest}", body, given)
            for collection, record in records() for body in (bodies or (None,))]


def mutations(collection: str, record: str) -> list[dict[str, Any]]:
    """One of each kind, made on nothing, on what is hidden, as another's fork, and in another's line."""
    field_name = {"patients": "/notes", "visits": "/findings", "step_responses": "/response_text"}.get(collection, "/steps")
    ops: list[dict[str, Any]] = [
        {"op": "set", "path": field_name, "value": "x"}, {"op": "unset", "path": "/phone"}, {"op": "delete"}, {"op": "undelete"},
        {"op": "splice", "path": field_name, "edits": [[0, 1, "x"]]}, {"op": "add", "path": "/calls", "by": 1},
        {"op": "include", "path": "/allergies", "items": ["x"]}, {"op": "exclude", "path": "/allergies", "items": ["Tlaloc"]},
        {"op": "set", "path": "/fee", "value": "4711.00"}, {"op": "set", "path": "/nothing", "value": 1},
        {"op": "set", "path": "/file/Ybbs/code", "value": "Wolpertinger"}]
    made = [{"ops": [op]} for op in ops]
    made += [{"ops": [ops[0]], "base": "{secret_position}"}, {"ops": [ops[0]], "base": "{before}"}, {"ops": [ops[8]], "atomic": True},
             {"ops": [ops[0]], "after": "{secret_mutation}"},
             {"ops": [ops[0]], "base": "{secret_position}", "edited_at": "1900000000000:0"},
             {"ops": [ops[0]], "forked_from": {"device_id": "{secret_device}", "mutation_id": "{secret_mutation}"}},
             {"ops": [ops[0]], "contract": 99}]
    return [{"collection": collection, "record_id": record, **one} for one in made]


def pushes() -> list[Probe]:
    kinds = zip(*(mutations(collection, record) for collection, record in records()), strict=True)
    wall = [{"collection": "notices", "record_id": "{wall}", "ops": [{"op": "set", "path": "/title", "value": "forked"}],
             "forked_from": {"device_id": "{secret_device}", "mutation_id": known}} for known in ("{secret_mutation}", "dev-pia.9999")]
    references: list[dict[str, Any]] = [
        {"collection": "notices", "ops": [{"op": "create", "value": {"title": "t", "patient": target}}]}
        for target in ("{patient}", "{gone}", "{unknown}")]
    references += [{"collection": "visits", "ops": [{"op": "create", "value": {"patient": target, "day": 2}}]}
                   for target in ("{patient}", "{unknown}")]
    references += [{"collection": "meetings", "ops": [{"op": "create", "value": {"circle": "{patient}"}}]}]
    alone = [[one] for one in (*wall, *({"record_id": "{unknown}", **one} for one in references))]
    # A device of its own for each push: what one of them left behind must not decide the next.
    numbered = [[{"mutation_id": f"p{batch}.{at}", **one} for at, one in enumerate(several)] for batch, several in
                enumerate([*kinds, *alone])]
    return [*(Probe("POST", "/v1/push", {"device_id": f"probe-{batch}-{{who}}", "mutations": several})
              for batch, several in enumerate(numbered)),
            Probe("POST", "/v1/push", {"device_id": "{secret_device}", "mutations": []}),
            Probe("POST", "/v1/push", {"device_id": "{secret_device}", "mutations": [
                {"mutation_id": "{secret_mutation}", "collection": "patients", "record_id": "{patient}", "ops": [{"op": "delete"}]}]})]


def lists() -> list[Probe]:
    found = [f"/v1/records/{collection}{query}" for collection in (*HIDDEN, "notices", "circles", "meetings", "invoices", "members",
                                                                   "workshops", "chat_messages")
             for query in ("", "?include_deleted=true&limit=1", "?sort=-rev&limit=2", "?rev__gte={first_secret}", "?id={patient}",
                           "?id__in={patient},{visit},{session}", "?id__ne={unknown}", "?sort=-id")]
    patients = ["name=Quetzalcoatl", "name__prefix=Q", "ward=west", "person={pia}", "person__ne={quin}", "phone=%2B49-555-0199",
                "phone__null=false", "secret_fee__null=true", "sort=phone", "sort=file", "fee__gte=4711.00", "sort=-fee", "calls=3",
                "notes__prefix=Xylo", "q=Quetzalcoatl", "include=visits", "include=visits:count", "include=notices:count,visits",
                "via_patient__person={pia}", "plan=x", "allergies=Tlaloc"]
    others = ["visits?patient={patient}", "visits?sort=day&limit=1", "visits?via_patient__person={pia}", "visits?sort=via_patient__person",
              "visits?patient__in={patient},{unknown}", "notices?patient={patient}", "notices?include=nothing",
              "workshops?include=workshop_sessions:count", "workshop_sessions?workshop_id={workshop}",
              "workshop_sessions?include=step_responses,chat_messages:count", "invoices?account=Ybbs", "invoices?sort=-amount",
              "members?email=pia@clinic.example", "members?sort=email&limit=2", "members?display_name__prefix=P", "members?roles=owner",
              "circles?include=meetings:count", "step_responses?session_id={session}", "chat_messages?session_id={session}"]
    urls = [*found, *(f"/v1/records/patients?{one}" for one in patients), *(f"/v1/records/{one}" for one in others)]
    return [Probe("GET", url) for url in urls]


def creates() -> list[Probe]:
    bodies: list[tuple[str, Any]] = [
        ("patients", {"fields": {"person": "{quin}", "name": "x"}, "id": "{patient}"}),
        ("patients", {"fields": {"person": "{pia}", "name": "x"}, "id": "{patient}"}),
        ("patients", {"fields": {"person": "{pia}"}}),
        ("notices", {"fields": {"title": "x", "patient": "{patient}"}}), ("notices", {"fields": {"title": "x", "patient": "{gone}"}}),
        ("notices", {"fields": {"title": "x", "patient": "{unknown}"}}), ("visits", {"fields": {"patient": "{patient}", "day": 9}}),
        ("visits", {"fields": {"patient": "{unknown}", "day": 9}}), ("meetings", {"fields": {"circle": "{patient}"}}),
        ("invoices", {"fields": {"label": "x"}}), ("members", {"fields": {"display_name": "x", "roles": ["owner"]}}),
        ("members", {"fields": {"roles": ["owner"]}, "id": "{pia}"}), ("workshops", {"fields": {"title": "x"}}),
        ("workshop_sessions", {"fields": {"workshop_id": "{workshop}"}}), ("workshop_sessions", {"fields": {"workshop_id": "{unknown}"}}),
        ("step_responses", {"fields": {"session_id": "{session}", "step_number": 2}}),
        ("chat_messages", {"fields": {"session_id": "{session}", "step_number": 1, "role": "user", "content": "x"}}),
    ]
    plain = [Probe("POST", f"/v1/records/{collection}", body) for collection, body in bodies]
    keyed = [Probe("POST", "/v1/records/patients", {"fields": {"person": "{quin}"}}, {"idempotency-key": key})
             for key in ("{secret_mutation}", "once-{who}", "once-{who}")]
    # A record id that is taken is told, as a natural key is: those two differ between the twins, and have a test of their own.
    return [one for one in plain if not (isinstance(one.body, dict) and one.body.get("id") == "{patient}")] + keyed


def past() -> dict[tuple[str, str], list[Probe]]:
    return {
        ("GET", f"{ONE}/history"): at_each("GET", "/history") + at_each("GET", "/history?cursor={many_seq}&limit=1"),
        ("GET", f"{ONE}/at/{{rev}}"): at_each("GET", "/at/{first_secret}") + at_each("GET", "/at/1") + at_each("GET", "/at/9999"),
        ("GET", f"{ONE}/diff"): at_each("GET", "/diff?from={first_secret}") + at_each("GET", "/diff?from=1&to={many_seq}"),
        ("GET", f"{ONE}/why"): at_each("GET", "/why?path=/name") + at_each("GET", "/why?path=/nothing"),
        ("POST", f"{ONE}/versions"): [
            *at_each("POST", "/versions", {"rev": "{first_secret}", "name": "x"}, {"rev": 1, "name": "x"}),
            Probe("POST", "/v1/records/notices/{wall}/versions", {"rev": "{first_secret}", "name": "x"})],
        ("POST", f"{ONE}/restore"): at_each("POST", "/restore", {"rev": "{first_secret}"}, {"rev": 9999}),
        ("POST", f"{ONE}/undo"): [
            *at_each("POST", "/undo", {}, {"seq": "{first_secret}"}, {"device_id": "{secret_device}"}),
            Probe("POST", "/v1/records/notices/{wall}/undo", {"seq": "{first_secret}"}),
            Probe("POST", "/v1/records/notices/{wall}/undo", {"device_id": "{secret_device}"})],
        ("POST", f"{ONE}/redo"): at_each("POST", "/redo", {}, {"device_id": "{secret_device}"}),
        ("POST", f"{ONE}/undelete"): at_each("POST", "/undelete"),
    }


def one_record() -> dict[tuple[str, str], list[Probe]]:
    changes = ({"fields": {"name": "x"}}, {"fields": {"nothing": 1}}, {"ops": [{"op": "add", "path": "/calls", "by": 1}]},
               {"fields": {"notes": "x"}, "base": "{secret_position}"}, {"fields": {"fee": "1.00"}, "base": "{before}", "atomic": True})
    return {
        ("GET", ONE): at_each("GET", "") + at_each("GET", "?include_deleted=true") + at_each("GET", "", if_none_match='"{many_seq}"')
        + [Probe("GET", "/v1/records/patients/{patient}?include=visits"), Probe("GET", "/v1/records/members/{pia}"),
           Probe("GET", "/v1/records/members/{unknown}"), Probe("GET", "/v1/records/workshops/{workshop}?include=workshop_sessions:count"),
           Probe("GET", "/v1/records/circles/{pad}")],
        ("PATCH", ONE): at_each("PATCH", "", *changes) + at_each("PATCH", "", {"fields": {"name": "x"}}, if_match='"{many_seq}"')
        + at_each("PATCH", "", {"fields": {"name": "x"}}, idempotency_key="{secret_mutation}")
        + [Probe("PATCH", "/v1/records/members/{pia}", {"fields": {"roles": ["owner"]}}),
           Probe("PATCH", "/v1/records/notices/{wall}", {"fields": {"patient": "{patient}"}}),
           Probe("PATCH", "/v1/records/notices/{wall}", {"fields": {"patient": "{unknown}"}}),
           Probe("PATCH", "/v1/records/notices/{wall}", {"fields": {"title": "x"}, "base": "{secret_position}"}),
           Probe("PATCH", "/v1/records/circles/{pad}", {"fields": {"topic": "x"}})],
        ("DELETE", ONE): at_each("DELETE", "") + at_each("DELETE", "", if_match='"{many_seq}"'),
        ("POST", "/v1/records"): [Probe("POST", "/v1/records", {"wanted": [
            {"collection": collection, "record_id": record, "base": base} for collection, record in records()
            for base in (None, "{secret_position}", "{before}")]})],
    }


def reading() -> dict[tuple[str, str], list[Probe]]:
    pulls = ["", "?limit=1", "?cursor={before}", "?cursor={before}&limit=1", "?cursor={before}&limit=7&collections=patients,visits",
             "?cursor={secret_position}", "?collections=patients", "?collections=invoices&limit=3", "?cursor=1.00000000",
             "?cursor={before}&device_id={secret_device}", "?contracts=patients:0"]
    snapshots = ["", "?collections=patients", "?after=patients/{patient}", "?after=visits/{visit}&collections=visits"]
    searches = ["", "?limit=1", "?record_id={patient}", "?record_id={patient}&limit=1", "?record_id={unknown}&limit=1",
                "?collection=patients&limit=1", "?collection=patients&kind=change", "?collection=invoices&limit=1",
                "?actor_id={dora}&limit=1", "?actor_id={pia}&limit=2", "?device_id={secret_device}&limit=1",
                "?kind=access", "?kind=access&limit=1", "?kind=version",
                "?kind=action&limit=1", "?kind=undo&limit=1", "?kind=redecide", "?kind=resolve", "?since=2020-01-01T00:00:00Z&limit=1",
                "?cursor={many_seq}&limit=1&record_id={patient}", "?cursor={many_seq}"]
    return {
        ("GET", "/v1/pull"): [Probe("GET", f"/v1/pull{query}") for query in pulls],
        ("GET", "/v1/snapshot"): [Probe("GET", f"/v1/snapshot{query}") for query in snapshots],
        ("POST", "/v1/snapshot"): [Probe("POST", "/v1/snapshot", {"pending": {f"{collection}/{record}": base for collection, record in
                                                                             records() for base in ("{secret_position}",)}}),
                                   Probe("POST", "/v1/snapshot", {"pending": {"patients/{patient}": None}, "after": "patients/{gone}"})],
        ("GET", "/v1/records/{collection}"): lists(),
        ("GET", "/v1/activity"): [Probe("GET", f"/v1/activity{query}") for query in searches],
        ("GET", "/v1/inbox"): [Probe("GET", "/v1/inbox"), Probe("GET", "/v1/inbox?limit=1"), Probe("GET", "/v1/inbox?cursor=1&limit=1")],
        ("GET", "/v1/inbox/{id}"): [Probe("GET", f"/v1/inbox/{item}") for item in ("{item}", "999999", "0", "x", "{patient}")],
    }


def doing() -> dict[tuple[str, str], list[Probe]]:
    ways = ({"apply": True}, {"value": {"/fee": "1.00"}}, {"discard": True}, {"assign": "{quin}"}, {"assign": "{unknown}"})
    calls: list[Any] = [{"patient_id": "{patient}", "note": "x"}, {"patient_id": "{gone}", "note": "x"}, {"patient_id": "{unknown}"},
                        {"patient_id": "{visit}"}]
    saves = [{"session_id": session, "step_number": 1, "response_text": "x"} for session in ("{session}", "{unknown}")]
    saves.append({"session_id": "{own_session}", "step_number": 1, "response_text": "x", "base": "{secret_position}"})
    return {
        ("POST", "/v1/push"): pushes(),
        ("POST", "/v1/records/{collection}"): creates(),
        ("POST", "/v1/inbox/{id}"): [Probe("POST", f"/v1/inbox/{item}", way) for item in ("{item}", "999999") for way in ways],
        ("POST", "/v1/devices/report"): [Probe("POST", "/v1/devices/report", {"device_id": device, "pending": 1})
                                         for device in ("{secret_device}", "own-{who}")],
        ("POST", "/v1/actions/{action}"): [
            *(Probe("POST", f"/v1/actions/clinic.{name}", body) for name in ("weigh", "look") for body in calls),
            *(Probe("POST", "/v1/actions/workshop.save", body) for body in saves), Probe("POST", "/v1/actions/clinic.fail", {}),
            Probe("POST", "/v1/actions/clinic.weigh", {**calls[0], "mutation_id": "{secret_mutation}", "device_id": "{secret_device}"}),
            Probe("POST", "/v1/actions/workshop.create_session", {"workshop_id": "{unknown}"}),
            Probe("POST", "/v1/actions/workshop.create_session", {"join_code": "NONE"})],
        ("POST", "/api/clinic/patients/{patient_id}/weigh"): [Probe("POST", f"/api/clinic/patients/{record}/weigh", {"note": "x"})
                                                              for record in ("{patient}", "{gone}", "{unknown}")],
        ("GET", "/api/clinic/patients/{patient_id}"): [Probe("GET", f"/api/clinic/patients/{record}")
                                                       for record in ("{patient}", "{gone}", "{unknown}")],
        ("POST", "/api/clinic/fail"): [Probe("POST", "/api/clinic/fail", {})],
        ("POST", "/api/workshop/create"): [Probe("POST", "/api/workshop/create", {"title": "x"})],
        ("POST", "/api/workshop/session/create"): [Probe("POST", "/api/workshop/session/create", {"workshop_id": "{unknown}"}),
                                                   Probe("POST", "/api/workshop/session/create", {"join_code": "NONE"})],
        ("POST", "/api/workshop/save"): [Probe("POST", "/api/workshop/save", body) for body in saves],
        ("GET", "/api/workshop/{session_id}"): [Probe("GET", f"/api/workshop/{one}") for one in ("{session}", "{unknown}", "{patient}")],
    }


def around() -> dict[tuple[str, str], list[Probe]]:
    guesses = [{"email": email, "password": "wrong", **tenant} for email in ("pia@clinic.example", "zoe@clinic.example", "x@clinic.example")
               for tenant in ({}, {"tenant": "other"}, {"tenant": "nowhere"})]
    plain = ("/v1/me", "/v1/schema", "/openapi.json", "/healthz", "/readyz", "/")
    return {
        ("POST", "/v1/auth/login"): [Probe("POST", "/v1/auth/login", guess, who=None) for guess in guesses],
        ("POST", "/v1/auth/password"): [Probe("POST", "/v1/auth/password", {"current": "wrong", "new": "another long one"}, who="quin")],
        ("POST", "/v1/auth/logout"): [Probe("POST", "/v1/auth/logout", who="parting"), Probe("GET", "/v1/me", who="parting")],
        ("GET", "/metrics"): [],            # compared by itself: what was asked before is counted there
        **{("GET", url): [Probe("GET", url)] for url in plain},
    }


PROBES: dict[tuple[str, str], list[Probe]] = {**around(), **reading(), **one_record(), **past(), **doing()}
"""(method, pattern) of a route -> what to try there. Reads come before what changes something."""

PLACE = {"type": "presence", "collection": "patients", "record_id": "{patient}"}
MUTATION = {"mutation_id": "s-1", "collection": "patients", "record_id": "{patient}", "ops": [{"op": "set", "path": "/name", "value": "x"}]}
MESSAGES: dict[str, list[dict[str, Any]]] = {
    "hello": [{}, {"cursor": "{before}"}, {"cursor": "{secret_position}"}, {"collections": ["patients"], "cursor": "{before}"},
              {"watch": ["patients", "visits", "circles"]}, {"tenant": "other"}, {"tenant": "nowhere"}, {"device_id": "{secret_device}"}],
    "resume": [{"type": "resume", "cursor": cursor} for cursor in ("{secret_position}", None, "1.00000000", "{before}")],
    "push": [{"type": "push", "id": "1", "mutations": [MUTATION, {**MUTATION, "mutation_id": "s-2", "record_id": "{unknown}"},
                                                      {**MUTATION, "mutation_id": "s-3", "after": "{secret_mutation}"}]}],
    "presence": [PLACE, {**PLACE, "record_id": "{unknown}"}, {**PLACE, "field": "/name", "state": {"x": 1}},
                 {**PLACE, "collection": "notices", "record_id": "{wall}"}, {"type": "presence"}],
    "ping": [{"type": "ping", "id": "1"}],
}
"""type of a message -> what to say. `hello` is said first, the others on one socket in this order."""
