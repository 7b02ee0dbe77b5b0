"""The benchmarks run: what they measure on a busy machine is not looked at."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import missing_tool
from ..processes import ROOT, surroundings

RUN_SECONDS = 180


@pytest.mark.slow
def test_the_benchmarks_measure_the_service_beside_the_baseline(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        missing_tool("wrk")

    what = ("--quick", "--only", "ours,baseline", "--operations", "G,L", "--keys", "1000")
    run = _run(*what, "--output", str(tmp_path))

    assert run.returncode == 0, run.stderr
    (file,) = tmp_path.glob("*.json")
    results = json.loads(file.read_text())
    for operation in ("G", "L"):
        for system in ("ours", "baseline"):
            measured = results["medians"][operation][system]
            assert measured["requests_per_second"] > 0
            assert measured["cpu_us"] > 0
            assert measured["errors"] == 0
            assert measured["to_baseline"]["p99_ms"] > 0
    assert results["machine"]["cores"] > 0
    assert "[8/8]" in run.stderr


@pytest.mark.slow
def test_the_benchmarks_measure_tokens_beside_verification(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        missing_tool("wrk")

    what = ("--quick", "--only", "tokens", "--operations", "V,A,X,K")
    run = _run(*what, "--output", str(tmp_path))

    assert run.returncode == 0, run.stderr
    (file,) = tmp_path.glob("*.json")
    medians = json.loads(file.read_text())["medians"]
    for operation in ("V", "A", "X", "K"):
        assert medians[operation]["tokens"]["requests_per_second"] > 0
        assert medians[operation]["tokens"]["errors"] == 0
    assert "A of tokens, requests/s beside its V" in run.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "benchmarks/run.py", *arguments],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
