"""An application with one field of each kind that merges in its own way, for the browser client's tests against a real server."""

from typing import Annotated

from holdfast import Counter, Json, Record, Set, Text, merge, tenant
from holdfast.app import App


class Page(Record, collection="pages", access=tenant):
    """Something that several people write at."""

    title: str = ""
    price: Annotated[int, merge.ask] | None = None
    notes: Text = ""
    other: Text = ""
    views: Counter = 0
    tags: Set[str] = set()
    extra: Json = {}


app = App("pages", records=[Page])
