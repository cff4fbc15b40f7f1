from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

import autospine
from autospine import api
from autospine.core.errors import UserError
from autospine.planning.run import PlanRequest
from tests.paths import ROOT


@dataclass(frozen=True)
class Request:
    """What a test is asked.

    Attributes:
        folder: A folder.
    """

    folder: Path
    models: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = None
    output: Path | None = None


def answer(request: Request) -> Request:
    return request


def test_text_becomes_paths_and_one_thing_or_a_list_a_tuple() -> None:
    call = api._call("call", "Answer.", Request, answer)
    assert call("a") == Request(Path("a"))  # type: ignore[arg-type]
    assert call("a", models="m", names="n", output="o") == Request(Path("a"), (Path("m"),), ("n",), Path("o"))  # type: ignore[arg-type]
    assert call("a", ["m", Path("n")], ["x", "y"]) == Request(Path("a"), (Path("m"), Path("n")), ("x", "y"))  # type: ignore[arg-type]
    plan = api._as(get_type_hints(PlanRequest)["dataset"], ["a", "b"])
    assert plan == (Path("a"), Path("b"))
    assert "folder: A folder." in str(call.__doc__)
    assert list(inspect.signature(call).parameters) == ["folder", "models", "names", "output"]


@pytest.mark.parametrize("name", sorted(set(autospine.__all__) - {"Segmentation", "__version__"}))
def test_every_call_says_what_its_arguments_mean(name: str) -> None:
    call = getattr(autospine, name)
    assert call.__name__ == name
    for argument in inspect.signature(call).parameters:
        assert re.search(rf"^ +{argument}: ", call.__doc__, re.MULTILINE), argument


def test_a_mistake_is_the_commands_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--folds: is 1; ask for at least 2"):
        autospine.plan(tmp_path, tmp_path / "work", folds=1)


def test_names_that_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="module 'autospine' has no attribute 'segment_everything'"):
        autospine.segment_everything  # noqa: B018


@pytest.mark.slow
def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(example[1], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "plan 2d_sagittal" in done.stdout
    assert (tmp_path / "scores" / "report.html").is_file()
