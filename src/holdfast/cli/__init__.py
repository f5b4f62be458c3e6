"""The command `holdfast`: starts what lies below, and tells how it is."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version

import click

from holdfast.cli.declared import distribute, migrate, schema
from holdfast.cli.doctor import doctor
from holdfast.cli.keys import keys
from holdfast.cli.people import tenant, token, user
from holdfast.cli.replica import replica
from holdfast.cli.serving import serve
from holdfast.cli.verifying import verify

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("holdfast"), message="holdfast %(version)s")
def main() -> None:
    """A store for applications whose users never lose work.

    Every command takes --data (a folder) or --database (an address), those of `replica` a FILE, and tells facts as JSON with --json. Exit
    code 0: it is done or holds; 1: it is not, and the error says why; 2: the command was called wrongly.
    """
    # An application of one's own is found in the folder one stands in; last, so that nothing there hides what is installed.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


for command in (serve, tenant, user, token, keys, migrate, distribute, doctor, verify, schema, replica):
    main.add_command(command)
