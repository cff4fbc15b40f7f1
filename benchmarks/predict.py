"""Time `autospine_predict` against its networks alone on the same windows, and measures its memory.

The whole command may take 1.3 times the bare networks plus a start-up of 2 s, and 1.5 GB on one scan. Start-up is a
process that does all that comes before the first window: imports, weights, choice of the number format. Bare is
a process that starts up likewise and then does nothing but put the same batches of windows through the networks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from figures import Spread, call, command, images, make_parser, print_ratio, ratios, workspace

RATIO, STARTUP, GIGABYTES = 1.3, 2.0, 1.5


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--model", type=Path, help="model folder (default: one trained for a minute, now)")
    parser.add_argument("--child", choices=("startup", "bare"), help="for the benchmark's own processes")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.model, options.dataset)
        return
    with workspace(options.dataset) as (dataset, folder):
        model = options.model or train_briefly(dataset, folder)
        scans = images(dataset)
        measure("one scan", scans[0], model, folder, options.repeats)
        measure(f"{len(scans)} scans", scans[0].parent, model, folder, max(options.repeats // 2, 1))


def train_briefly(dataset: Path, folder: Path) -> Path:
    call(command("plan", dataset, folder / "work"))
    call(command("train", folder / "work", "--minutes", 1))
    return next((folder / "work" / "models").glob("*/*/*/fold_0"))


def measure(title: str, source: Path, model: Path, folder: Path, repeats: int) -> None:
    """Whole, start-up and bare in turn."""
    rounds, gigabytes, formats = [], [], set()
    for _ in range(repeats):
        line = command("predict", "-i", source, "-o", folder / "masks", "-m", model, "--overwrite")
        whole, peak = watched(line)
        startup, _ = watched(own(source, model, "startup"))
        found = json.loads(call(own(source, model, "bare")))
        gigabytes.append(peak)
        formats.add(found["format"])
        rounds.append((whole, startup, found["seconds"]))
    print(f"{title}: {source.name}, networks in {', '.join(sorted(formats))}")
    for kind, clock in enumerate(("seconds", "processor seconds")):
        whole, startup, bare = (
            Spread(tuple(process[kind] for process in processes)) for processes in zip(*rounds, strict=True)
        )
        body = Spread(tuple(w - s for w, s in zip(whole.seconds, startup.seconds, strict=True)))
        print(f"  {clock}")
        print(f"    {'whole command':38s} {whole}")
        print(f"    {'start-up':38s} {startup}  target {STARTUP:g} s")
        print(f"    {'bare networks':38s} {bare}")
        print_ratio("    (whole - start-up) / bare", ratios(body, bare), f"{RATIO:g}")
    print(f"  {'peak memory':40s} {max(gigabytes):8.2f} GB  target {GIGABYTES:g} GB on one scan")


def own(source: Path, model: Path, part: str) -> list[str]:
    return [sys.executable, __file__, str(source), "--model", str(model), "--child", part]


def watched(line: list[str]) -> tuple[tuple[float, float], float]:
    """Seconds and processor seconds of a process, and its peak memory in GB."""
    start = time.perf_counter()
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        errors = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(errors)
    seconds = (time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    return seconds, usage.ru_maxrss * 1024 / 1e9


def child(part: str, model: Path, source: Path) -> None:
    """Starts up as the command does; for "bare", then prints the seconds of the networks alone."""
    import torch

    from autospine.inference.model import find_models
    from autospine.inference.predictor import ModelGroup, Predictor
    from autospine.inference.run import find_scans
    from autospine.volumes import read_image

    predictor = Predictor(find_models([model]), torch.device("cpu"))
    if part == "startup":
        return
    batches: list[tuple[ModelGroup, torch.Tensor]] = []

    def kept(group: ModelGroup, windows: torch.Tensor) -> torch.Tensor:
        batches.append((group, windows))
        answer = torch.zeros(len(windows), predictor.encoding.channels, *windows.shape[2:])
        answer[:, 0] = 1  # background
        return answer

    for group in predictor.groups:
        group._timed = partial(kept, group)  # type: ignore[method-assign]
    for scan in find_scans([source], predictor.plan.channels):
        volume = read_image(scan.images[0])
        predictor.predict(volume.array[None], volume.spacing)
    start, worked = time.perf_counter(), time.process_time()
    with torch.inference_mode(), predictor.groups[0].precision.autocast(torch.device("cpu")):
        for group, windows in batches:
            for network in group.networks:
                network(windows)
    seconds = (time.perf_counter() - start, time.process_time() - worked)
    print(json.dumps({"seconds": seconds, "format": predictor.groups[0].precision.dtype}))


if __name__ == "__main__":
    main()
