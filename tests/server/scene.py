"""What stands in the office when a case begins: records of every kind of visibility, an open question, a token to lose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdfast.core.identity import natural_id
from tests.server.office import Office


@dataclass
class Scene:
    """Ids by name. `values` fills the placeholders of the cases' addresses and bodies."""

    office: Office
    values: dict[str, Any] = field(default_factory=dict)


async def set_scene(office: Office) -> Scene:
    """A note with a past, a deleted note, emil's diary with a page, a salary, emil's open question about the note's price."""
    values: dict[str, Any] = {"missing": natural_id("nothing", ["x"]), "emil": office.actors["emil"], "olga": office.actors["olga"]}
    note = await office.note(title="First", body="hello")
    values |= {"note": note["id"], "first_rev": note["rev"], "first_position": note["position"]}
    async with office.client("emil") as emil, office.client("olga") as olga:
        changed = (await emil.patch(f"/v1/records/notes/{note['id']}", json={"fields": {"title": "Second"}})).json()
        values |= {"rev": changed["rev"], "position": changed["position"]}
        gone = await office.note(title="Gone")
        await emil.delete(f"/v1/records/notes/{gone['id']}")
        values["deleted"] = gone["id"]
        written = {"writer": office.actors["emil"], "text": "dear"}
        diary = (await emil.post("/v1/records/diaries", json={"fields": written})).json()["record"]
        page = (await emil.post("/v1/records/pages", json={"fields": {"diary": diary["id"], "number": 1}})).json()["record"]
        values |= {"diary": diary["id"], "page": page["id"], "diary_rev": diary["rev"]}
        salary = (await olga.post("/v1/records/salaries", json={"fields": {"person": "emil", "amount": "10.00"}})).json()["record"]
        values |= {"salary": salary["id"], "salary_rev": salary["rev"]}
        priced = await office.note(title="Priced")
        values["priced"] = priced["id"]
        await olga.patch(f"/v1/records/notes/{priced['id']}", json={"fields": {"price": "20.00"}})
        held = await emil.post("/v1/push", json={"device_id": "dev-emil", "mutations": [
            {"mutation_id": "held-1", "collection": "notes", "record_id": priced["id"], "base": priced["position"],
             "ops": [{"op": "set", "path": "/price", "value": "10.00"}]}]})
        result = held.json()["results"][0]
        assert result["outcome"] == "held", result
        values["item"] = result["inbox_id"]
        head = (await emil.get("/v1/pull")).json()
        values["cursor"] = head["cursor"]
    return Scene(office, values)


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
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    return template
