from __future__ import annotations

import platform
import subprocess
import sys
import warnings

import pytest
import torch

from autospine.core import machine
from autospine.core.errors import UserError


def test_the_processor_has_cores_and_memory() -> None:
    found = machine.find_machine("cpu", None)
    assert found.device == "cpu"
    assert found.cores == machine.cores() >= 1
    assert found.memory_gib == pytest.approx(machine.SHARE_OF_MEMORY * machine.machine_memory_gib())


def test_memory_that_the_user_allows_counts_as_it_is() -> None:
    assert machine.find_machine("cpu", 3.5).memory_gib == 3.5


def test_a_card_elsewhere_is_planned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = machine.find_machine("cuda:3", 4.8)
    assert (found.device, found.memory_gib) == ("cuda:3", 4.8)


@pytest.mark.parametrize("memory", [0.0, -1.0])
def test_no_memory_at_all_is_refused(memory: float) -> None:
    with pytest.raises(UserError, match=r"--memory: is .*; give the GiB"):
        machine.find_machine("cpu", memory)


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="finds no CUDA devices; use --device cpu"):
        machine.find_machine("cuda", None)
    assert machine.find_machine("auto", None).device == "cpu"


def test_an_accelerator_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        total_memory = 10 * 2**30

    monkeypatch.setattr(machine, "gpu_possible", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card())
    found = machine.find_machine("auto", None)
    assert (found.device, found.memory_gib) == ("cuda", pytest.approx(10 * machine.SHARE_OF_MEMORY))
    assert machine.find_machine("cpu", None).device == "cpu"
    assert machine.find_machine("cuda:1", None).device == "cuda:1"
    with pytest.raises(UserError, match="--device cuda:2: finds 2 CUDA devices; give a smaller number"):
        machine.find_machine("cuda:2", None)


def test_a_driver_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it.", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    with pytest.raises(UserError, match=r"no CUDA devices \(The NVIDIA driver on your system is too old .*\); use"):
        machine.find_machine("cuda", None)


def test_apple_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="finds no Apple GPU"):
        machine.find_machine("mps", None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * 2**30)
    found = machine.find_machine("mps", None)
    assert (found.device, found.memory_gib) == ("mps", pytest.approx(12 * machine.SHARE_OF_MEMORY))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CUDA", "cpu:0 "])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(UserError, match="is no device; use auto, cpu, cuda, cuda:N or mps"):
        machine.find_machine(device, None)


def test_workers() -> None:
    assert machine.workers_for(3) == 3
    assert machine.workers_for(0) == machine.cores()
    with pytest.raises(UserError, match="--workers: is -1"):
        machine.workers_for(-1)


def test_torch_is_not_loaded_to_ask_for_a_gpu_that_no_driver_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "GPU_DRIVERS", ())
    monkeypatch.setattr(machine.sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert machine.find_machine("auto", None).device == "cpu"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_memory_that_was_freed_is_kept_and_not_cleared_again() -> None:
    code = (
        "import resource\n"
        "from autospine.core.machine import keep_freed_memory\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    bytes(b'x' * 2**26)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults()\n"
        "usual = faults()\n"
        "assert keep_freed_memory()\n"
        "faults()\n"
        "print(usual, faults())\n"
    )
    usual, kept = map(int, subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert kept < 100 < usual  # 64 MB are 16,384 pages
