"""The greatest lengths of this schema's lists, for the cost of an operation."""

from ..execution.cost import ListLengths
from ..messages.connections import DEFAULT_PAGE_SIZE

LENGTH_ARGUMENTS = {
    "Query.apiKeys": ("input.query.page.limit",),
    "Query.apiKeyStats": ("input.query.page.limit",),
    "Domain.apiKeyStats": ("query.page.limit",),
    "Query._entities": ("representations",),
    "Mutation.verifyApiKeys": ("input",),
}


def list_lengths(max_page_size: int) -> ListLengths:
    """The lengths of all lists, if a page has at most this many results."""
    return ListLengths(
        max_page=max_page_size,
        arguments=LENGTH_ARGUMENTS,
        connection_arguments=("first", "last"),
        connection_default=DEFAULT_PAGE_SIZE,
        # Average lengths of introspection's lists in this schema.
        typical={"__Schema.types": 60, "__Type.fields": 2, "__Field.args": 1, "__Type.inputFields": 3},
    )
