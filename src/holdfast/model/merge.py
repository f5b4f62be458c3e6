"""How two concurrent `set`s of one place settle: `Annotated[Money, merge.ask] | None`.

`merge.latest` (the default): the later edit wins, the other is kept in the history. `merge.ask`: the first one committed stands,
the second waits in the inbox until a person decides.
"""

from __future__ import annotations

from typing import Final

from holdfast.core.schema import Merge

__all__ = ["ask", "latest"]

latest: Final = Merge.LATEST
ask: Final = Merge.ASK
