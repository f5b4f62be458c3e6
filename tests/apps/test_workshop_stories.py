"""Workshop: random stories of one person's tabs that save in any order, each from the version it saw last. Whatever they do, nothing that
somebody typed is gone unless somebody deleted it (P3), and what the last answer shows is what the server has (P5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import open_store, record_id
from holdfast.apps.workshop import StepResponse

TABS = 3


@dataclass
class Tab:
    """What one tab shows, and the version it is made from."""

    text: str = ""
    base: str | None = None


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[int, float, bool]]:
    """(tab, place of the insertion as a share of the text, whether it reads the answer anew before)"""
    return draw(st.lists(st.tuples(st.integers(0, TABS - 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=25))


async def tell(story: list[tuple[int, float, bool]]) -> tuple[str, list[Tab], set[str]]:
    """Play the story; each step types a word of its own. Returns the text that stands, the tabs, and all words."""
    async with open_store(None, apps=["holdfast.apps.workshop"]) as store:
        fay = await store.member("acme", "fay@example.org", roles={"facilitator"})
        pam = await store.member("acme", "pam@example.org", roles={"participant"})
        workshop = await fay.call("workshop.open_workshop", title="Doors")
        session = (await pam.call("workshop.create_session", workshop_id=workshop["id"]))["id"]
        first = await pam.call("workshop.save", session_id=session, step_number=1, response_text="")
        tabs = [Tab("", first["position"]) for _ in range(TABS)]
        words = set()
        for number, (at, share, reads) in enumerate(story):
            tab = tabs[at]
            if reads:
                found = (await pam.call("workshop.resume", session_id=session))["responses"][0]
                tab.text, tab.base = found["response_text"], found["position"]
            words.add(word := f"<{number}>")
            place = word_border(tab.text, share)
            tab.text = tab.text[:place] + word + tab.text[place:]
            saved = await pam.call("workshop.save", session_id=session, step_number=1, response_text=tab.text, base=tab.base)
            tab.text, tab.base = saved["response"]["response_text"], saved["position"]
        stands = await pam.get(StepResponse, record_id(StepResponse, session_id=session, step_number=1))
        return stands.response_text, tabs, words


def word_border(text: str, share: float) -> int:
    borders = [0, *(at + 1 for at, character in enumerate(text) if character == ">")]
    return borders[round(share * (len(borders) - 1))]


@settings(max_examples=60, deadline=None)
@given(story=stories())
def test_every_word_of_every_tab_is_there_once(story: list[tuple[int, float, bool]]) -> None:
    text, tabs, words = asyncio.run(tell(story))
    assert all(text.count(word) == 1 for word in words)
    assert len(text) == sum(len(word) for word in words)
    assert tabs[story[-1][0]].text == text
