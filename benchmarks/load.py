"""Load by wrk: a Lua script that rotates through requests, and what wrk measured."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from operations import Request

_PATIENCE_SECONDS = 60  # for responses that are still on their way at the end

# Every request is built once, before the load, so that wrk costs the same for all systems.
_SCRIPT = """local requests = {{
{requests}
}}
local made, n = {{}}, 0

init = function(arguments)
  for i, one in ipairs(requests) do made[i] = wrk.format(one.method, one.path, one.headers, one.body) end
end

request = function()
  n = n % #made + 1
  return made[n]
end

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests": %d, "seconds": %.6f, "bytes": %d, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What one run of wrk measured."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def answer_bytes(self) -> float:
        """The mean size of a response, headers included."""
        return self.bytes / max(1, self.requests)


def write_script(file: Path, requests: Sequence[Request], secret: str) -> Path:
    """Write the script that sends these requests, by default with this secret."""
    file.write_text(_SCRIPT.format(requests=",\n".join(_lua(request, secret) for request in requests)))
    return file


def _lua(request: Request, secret: str) -> str:
    body = "nil" if request.body is None else f"[==[{request.body}]==]"
    headers = ", ".join(f'["{name}"] = "{value}"' for name, value in request.headers(secret).items())
    return f'{{ method = "{request.method}", path = "{request.path}", headers = {{ {headers} }}, body = {body} }}'


def run_load(url: str, script: Path, clients: int, seconds: int) -> Load:
    """Run wrk for this many seconds. Raises subprocess.SubprocessError if it fails or does not end."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", f"--timeout={_PATIENCE_SECONDS}s", f"-s{script}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _PATIENCE_SECONDS, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    return Load(**json.loads(line.removeprefix("RESULT ")))
