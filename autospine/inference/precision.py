"""Number format of prediction: measured once for each kind of processor, and remembered."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import nn

from autospine.core.errors import UserError
from autospine.core.files import read_json, write_json
from autospine.core.locks import locked
from autospine.core.precision import DTYPES, Precision, cpu_capabilities, usual_precision

log = logging.getLogger(__name__)

FILE = "precision.json"  # in the user's cache folder
CPU = torch.device("cpu")
CHANNELS, PASSES = 32, 5
SIZES = {2: (128, 128), 3: (8, 48, 48)}  # of the image that is measured with
WORTH = 0.97  # bfloat16 must need less than this share of float32's time


def prediction_precision(device: torch.device, dimension: int, asked: str | None = None) -> Precision:
    """Return the number format in which a device predicts fastest.

    Args:
        device: Of the networks.
        dimension: Of the networks, 2 or 3.
        asked: Instead: "float32", "bfloat16" or "float16".

    Raises:
        UserError: The format is none of them.
    """
    if asked is not None:
        if asked not in DTYPES:
            raise UserError(f"--precision {asked}", "is no number format", f"choose from {', '.join(DTYPES)}")
        return Precision(asked)
    if device.type == "cuda":
        return Precision("float16")
    return Precision(_remembered(dimension)) if device.type == "cpu" else Precision()


def _remembered(dimension: int) -> str:
    """Return the format of this processor; what it is decides where nothing can be remembered: equal on every run."""
    folder = user_cache_path("autospine")
    path = folder / FILE
    capabilities = cpu_capabilities()
    name = capabilities.get("cpu_name") or platform.processor() or platform.machine()
    halves = sorted(key for key, value in capabilities.items() if "bf16" in key and value)
    key = " ".join([str(name), *halves, f"torch {torch.__version__}", f"{dimension}-D"])
    try:
        known = _read(path)
        if key not in known:
            with locked(folder, "measures the processor", wait=True):
                known = _read(path)
                if key not in known:
                    known[key] = _measure(dimension)
                    write_json(path, known)
    except UserError as error:
        log.debug("%s", error)
        return usual_precision(CPU).dtype
    return known[key]


def _read(path: Path) -> dict[str, str]:
    """Return the formats by processor; a file that is not what was written here is begun anew."""
    try:
        data = read_json(path) if path.exists() else {}
    except UserError:
        return {}
    items = data.items() if isinstance(data, Mapping) else ()
    return {key: value for key, value in items if isinstance(value, str) and value in DTYPES}


def _measure(dimension: int) -> str:
    """Return the quicker of float32 and bfloat16: by one thread's own time, which other processes hardly disturb."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network, image = _network(dimension), torch.zeros(1, CHANNELS, *SIZES[dimension])
        single, half = (_seconds(network, image, Precision(name)) for name in ("float32", "bfloat16"))
    finally:
        torch.set_num_threads(threads)
    chosen = "bfloat16" if half < WORTH * single else "float32"
    log.info("a first measurement: %s predicts faster here (bfloat16 takes %.2f of float32)", chosen, half / single)
    return chosen


def _network(dimension: int) -> nn.Module:
    """Return two layers as networks for segmentation have many."""
    convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
    norm = nn.InstanceNorm2d if dimension == 2 else nn.InstanceNorm3d
    layers = [
        layer
        for _ in range(2)
        for layer in (convolution(CHANNELS, CHANNELS, 3, padding=1), norm(CHANNELS, affine=True), nn.LeakyReLU())
    ]
    return nn.Sequential(*layers).eval()


def _seconds(network: nn.Module, image: torch.Tensor, precision: Precision) -> float:
    """Return the seconds of some passes after a first one."""
    with torch.inference_mode(), precision.autocast(CPU):
        network(image)
        start = time.thread_time()
        for _ in range(PASSES):
            network(image)
        return time.thread_time() - start
