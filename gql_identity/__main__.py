"""`python -m gql_identity`: the same as the command `gql-identity`."""

from .cli import main

main()
