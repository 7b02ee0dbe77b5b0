"""The commands."""

from .commands import main as main
