"""The executor of this schema."""

from dataclasses import fields

from ..execution.bounds import Bounds
from ..execution.executor import Executor
from ..settings import Settings
from .costs import cost_rules
from .federation import schema
from .visibility import ALL


def bounds_of(settings: Settings) -> Bounds:
    """The limits of documents that the settings give."""
    return Bounds(**{field.name: getattr(settings, field.name) for field in fields(Bounds)})


def make_executor(settings: Settings) -> Executor:
    """An executor with these settings. Raises StartError if the manifest cannot be read."""
    return Executor(
        schema,
        bounds_of(settings),
        cost_rules(settings),
        trusted_documents=settings.trusted_documents,
        open_fields=ALL | {"__typename", "viewer"},  # `viewer` is null without a credential
        compiles=settings.compiled_execution,
    )
