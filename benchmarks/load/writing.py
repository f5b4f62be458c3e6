"""What people write: a draft of about 500 bytes, auto-saved again and again. Same draft and same edits for every server measured."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BODY_CODE_POINTS", "Draft", "draft_id"]

BODY_CODE_POINTS = 330
REPLACED_CODE_POINTS = 24
_SENTENCES = ("people save their work while they type and nobody should ever lose a sentence because the network went away or the battery "
              "was empty so every change is kept with its author its time and its reason until somebody asks for it again")
_WORDS = _SENTENCES.split()


def draft_id(number: int) -> str:
    """The id of draft `number`, the same in every run."""
    return str(uuid.UUID(int=(0x0190_0000_0000 + number) << 80 | 0x7 << 76 | 0b10 << 62 | number))


def sentence(source: random.Random, length: int) -> str:
    words = ""
    while len(words) < length:
        words += source.choice(_WORDS) + " "
    return words[:length]


@dataclass
class Draft:
    """One draft as its only writer knows it: the state that the server must end with."""

    number: int
    source: random.Random
    id: str = ""
    body: str = ""
    title: str = ""
    step: int = 0
    status: str = "draft"
    answers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begun(cls, number: int) -> Draft:
        source = random.Random(number)
        return cls(number, source, draft_id(number), sentence(source, BODY_CODE_POINTS), f"Draft {number}", 0, "draft",
                   {"goal": sentence(source, 40).strip(), "audience": "everybody", "pages": 3})

    @property
    def session(self) -> str:
        """Fifty drafts make a session."""
        return f"session-{self.number // 50:05d}"

    def fields(self) -> dict[str, Any]:
        return {"session": self.session, "title": self.title, "step": self.step, "status": self.status, "body": self.body,
                "answers": self.answers}

    def edit(self) -> tuple[int, str]:
        """Type over a part of the text and move on a step: (offset, what now stands there). The length stays."""
        at = int(self.source.random() * (BODY_CODE_POINTS - REPLACED_CODE_POINTS))
        pick = int(self.source.random() * (len(_TYPED) - REPLACED_CODE_POINTS))
        typed = _TYPED[pick:pick + REPLACED_CODE_POINTS]
        self.body = self.body[:at] + typed + self.body[at + REPLACED_CODE_POINTS:]
        self.step += 1
        return at, typed


_TYPED = sentence(random.Random(0), 4_000)
