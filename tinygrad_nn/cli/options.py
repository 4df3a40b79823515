"""Constructors for the kinds of options that the commands use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def option(panel: str, text: str, **more: Any) -> Any:
    """Return an option that the help shows in a given panel."""
    return typer.Option(help=text, rich_help_panel=panel, **more)


def word(panel: str, text: str, **more: Any) -> Any:
    """Return an option whose value is a name."""
    return option(panel, text, metavar="NAME", **more)


def integer(panel: str, text: str, **more: Any) -> Any:
    """Return an option whose value is an integer."""
    return option(panel, text, metavar="N", parser=lambda value: _number(int, value, "whole number, e.g. 16"), **more)


def decimal(panel: str, text: str, **more: Any) -> Any:
    """Return an option whose value is a real number."""
    return option(panel, text, metavar="X", parser=lambda value: _number(float, value, "number, e.g. 0.1"), **more)


def _number(kind: Callable[[Any], Any], value: Any, description: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a {description}") from None


def flag(name: str, panel: str, text: str) -> Any:
    """Return an option without a value."""
    return typer.Option(name, help=text, rich_help_panel=panel)
