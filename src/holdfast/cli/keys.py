"""`holdfast keys`: a new master key, and the rotation of the organisations' keys."""

from __future__ import annotations

import click

from holdfast.cli.output import Command, columns, json_option, show
from holdfast.cli.place import Place, place_options, run
from holdfast.core.errors import NotFound
from holdfast.engine.rekeying import rotate_keys
from holdfast.model.keys import new_master_key
from holdfast.runtime import RealRuntime
from holdfast.storage.folder import DATABASE_NAME

__all__ = ["keys"]


@click.group()
def keys() -> None:
    """Keys of sensitive values."""


@keys.command("create", cls=Command)
@json_option
@place_options
def create_key(place: Place, as_json: bool) -> None:
    """Print a new master key, alone. Nothing is stored. Put it first in `master.key` of the data folder, in HOLDFAST_MASTER_KEY or in the
    file that HOLDFAST_MASTER_KEY_FILE names, keep the older ones behind it, and run `holdfast keys rotate --rewrap`; then they can go."""
    show({"key": new_master_key(RealRuntime().random_bytes)}, as_json, lambda facts: [facts["key"]])


@keys.command("rotate", cls=Command)
@click.option("--tenant", "tenants", multiple=True, metavar="SLUG", help="Only this organisation; several times.")
@click.option("--rewrap", is_flag=True, help="Make no new keys: only wrap those there are by the first master key.")
@json_option
@place_options
@run
async def rotate(place: Place, tenants: tuple[str, ...], rewrap: bool, as_json: bool) -> None:
    """Give each organisation a new key, which seals from now on, and wrap all its keys by the first master key. What was sealed before
    stays readable. Stop the server first."""
    if not (place.folder / DATABASE_NAME).exists():
        raise NotFound(f"There is no database in {place.folder}.", hint="Check --data.")
    made = await rotate_keys(place.folder, RealRuntime(), tenants=tenants, rewrap_only=rewrap)
    facts = {"tenants": [{"tenant": one.tenant_id, "version": one.version, "master_key": one.master_id} for one in made]}
    show(facts, as_json, lambda said: columns([(one["tenant"], f"seals with key {one['version']}",
                                                f"wrapped by master key {one['master_key']}") for one in said["tenants"]]))
