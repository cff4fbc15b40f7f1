from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autospine.core.workspace import WorkFolder
from autospine.inference.model import read_model
from autospine.training import distributed
from tests.paths import ROOT

SCRIPT = """
import sys
import time
from pathlib import Path
from dataclasses import replace
from autospine.training import loop
from autospine.training.distributed import process_group, rank
from autospine.core.workspace import WorkFolder
from tests.tiny import make_job, plan_of
from tests.toys import QUICK, DigestTrainer

work, out = WorkFolder(Path(sys.argv[1])), Path(sys.argv[2])
recipe = replace(QUICK, checkpoint="best", patience=2, min_updates=5)
trainer = DigestTrainer(plan_of(work, 2), recipe)
with process_group("cpu") as device:
    real = time.perf_counter
    if rank() == 1:  # a process with a clock of its own must not decide otherwise
        time.perf_counter = lambda: 1000 * real()
    loop.fit(trainer, make_job(work, trainer.plan, out, device=device, minutes=float(sys.argv[3])))
"""


def test_alone_nothing_is_shared() -> None:
    assert (distributed.rank(), distributed.processes(), distributed.is_main()) == (0, 1, True)
    assert distributed.of_the_main([1.5, 2.0], torch.device("cpu")) == (1.5, 2.0)
    with distributed.process_group("cpu") as device:
        assert device == torch.device("cpu")
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    distributed.average_gradients([weight])
    assert weight.grad.tolist() == [1, 1]
    distributed.wait_for_all()


def test_gradients_are_the_mean_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process's gradients are 3 and 5 times as large."""
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: flat.mul_(torch.tensor([4.0, 4, 6])))
    first, second, unused = (torch.nn.Parameter(torch.ones(n)) for n in (2, 1, 4))
    first.grad, second.grad = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    distributed.average_gradients([first, second, unused])
    assert first.grad.tolist() == [2, 4]
    assert second.grad.tolist() == [9]
    assert unused.grad is None


def launch(script: Path, arguments: list[str], tmp_path: Path, timeout: float) -> subprocess.CompletedProcess:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-addr", "127.0.0.1", "--master-port", str(port), str(script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIGESTS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_a_model(toys: None, tiny_work: WorkFolder, tmp_path: Path) -> None:
    """Their clocks differ, so that each alone would choose another network and another number of updates."""
    script = tmp_path / "two.py"
    script.write_text(SCRIPT)
    model = tmp_path / "model"
    done = launch(script, [str(tiny_work.root), str(model), "0.06"], tmp_path, 80)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"rank_{rank}").read_text().split() for rank in (0, 1))
    assert first[:2] == second[:2]  # step and digest of the weights
    assert first[2] != second[2]  # each saw patches of its own
    network = read_model(model).network(torch.device("cpu"))
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
