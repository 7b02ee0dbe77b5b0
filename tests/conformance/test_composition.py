"""The subgraph composes, by both composers that there are, and needs no hint for it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gql_identity.cli import main
from gql_identity.schema.federation import schema
from tests.conftest import Api, missing_tool

NPM = Path(__file__).parent / "npm"
LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])'
USERS = f"""{LINK}
    type Query {{ me: User users: [User!]! }}
    type User @key(fields: "domainId userId") {{ domainId: ID! userId: ID! email: String! domain: Domain }}
    type Domain @key(fields: "domainId") {{ domainId: ID! title: String! }}"""
# Names that many schemas have, each with a meaning of its own.
NAMESAKES = f"""{LINK}
    type Query {{ node(id: ID!): Node orders(filter: Filter, sort: Sort, page: Page): OrderConnection stats: JSON }}
    type Mutation {{ createOrder(input: Query_): Order }}
    type Subscription {{ orderChanged: Order }}
    interface Node {{ id: ID! createdAt: DateTime! }}
    enum State {{ OPEN PAID SHIPPED }}
    enum Role {{ BUYER SELLER }}
    enum Operator {{ PLUS MINUS }}
    input Filter {{ state: State role: Role }}
    input Sort {{ by: Operator }}
    input Page {{ number: Int! }}
    input Query_ {{ text: String! }}
    scalar JSON
    scalar DateTime
    type Order implements Node @key(fields: "id") {{ id: ID! createdAt: DateTime! state: State! }}
    type OrderConnection {{ edges: [OrderEdge!]! pageInfo: PageInfo! }}
    type OrderEdge {{ cursor: String! node: Order! }}
    type PageInfo @shareable {{
        hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }}"""


def compose(**subgraphs: str) -> Any:
    """What each composer makes of the subgraphs."""
    for name in ("@apollo/composition", "@theguild/federation-composition"):
        if shutil.which("node") is None or not (NPM / "node_modules" / name).exists():
            missing_tool(f"{name} (npm ci in tests/conformance/npm)")
    named = [{"name": name, "sdl": sdl} for name, sdl in subgraphs.items()]
    command = ["node", "compose.mjs"]
    ran = subprocess.run(
        command, cwd=NPM, input=json.dumps(named), capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(ran.stdout)


@pytest.fixture
async def sdl(api: Api) -> str:
    return str((await api.data("{ _service { sdl } }"))["_service"]["sdl"])


async def test_the_command_prints_what_gateways_are_told(sdl: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["schema", "--subgraph"])
    assert capsys.readouterr().out == f"{sdl}\n"


async def test_it_composes_with_a_users_subgraph(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=USERS).items():
        assert composed["errors"] == composed["hints"] == [], composer
        assert "apiKeyStats" in composed["supergraph"]


async def test_it_composes_beside_namesakes_of_everything(sdl: str) -> None:
    for composer, composed in compose(keys=sdl, users=USERS, orders=NAMESAKES).items():
        assert composed["errors"] == [], composer
        assert "orderChanged" in composed["supergraph"]
        assert "apiKeyChanged" in composed["supergraph"]


async def test_it_composes_alone(sdl: str) -> None:
    for composer, composed in compose(keys=sdl).items():
        assert composed["errors"] == [], composer


def test_with_node_it_would_not() -> None:
    for composer, composed in compose(keys=schema.as_str(), orders=NAMESAKES).items():
        assert "node" in str(composed["errors"]), composer
