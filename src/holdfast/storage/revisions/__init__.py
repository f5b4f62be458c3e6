"""Numbered revisions of the fixed tables (`hf_…`), for Alembic. A revision that was released is never changed."""
