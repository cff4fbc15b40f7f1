"""The main job on synthetic scans: plan, train, predict, evaluate; `make demo` runs it.

    python benchmarks/demo.py demo [--minutes 4]

Every step is a command that is printed as a person would type it. Run again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

CASES, NEW_CASES = 16, 3
SEED, NEW_SEED = 1, 2  # another seed: patients that no training has seen
MODEL = Path("models/unet/2d_sagittal/adapted/fold_0")


def show(text: str) -> None:
    print(text, flush=True)


def find_command(name: str) -> str:
    """The command beside this Python, else the one on the path."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SystemExit(f"demo: {name} is not installed: run `make demo`, or `pip install -e .` first")
    return found


def step(title: str, *command: str | Path) -> None:
    """Show a command and runs it; ends the demo with its exit status if it fails."""
    words = [str(word) for word in command]
    show(f"\n== {title}\n$ {shlex.join(words)}")
    status = subprocess.run([find_command(words[0]), *words[1:]], check=False).returncode
    if status:
        show(f"\ndemo: {words[0]} ended with status {status}; fix what it names above and run the demo again")
        raise SystemExit(status)


def started(model: Path) -> bool:
    return (model / "checkpoint.pt").exists() or (model / "model.json").exists()


def run(folder: Path, minutes: float) -> None:
    data, new, work, masks = (folder / name for name in ("data", "new", "work", "masks"))
    model = work / MODEL
    # A finished model is kept; one that was begun is gone on with.
    go_on = ["--continue"] if started(model) else []
    step(
        "1. Synthetic scans to train on, in SPIDER's layout",
        *("autospine_phantom", data, "--cases", str(CASES), "--seed", str(SEED), "--size", "small"),
    )
    step(
        "2. Scans of other patients, to be segmented later",
        *("autospine_phantom", new, "--cases", str(NEW_CASES), "--seed", str(NEW_SEED), "--size", "small"),
    )
    step("3. Look at the data, decide, preprocess", "autospine_plan", data, work)
    step(
        f"4. Train one fold for {minutes:g} minutes, validation included",
        *("autospine_train", work, "--fold", "0", "--minutes", f"{minutes:g}", *go_on),
    )
    step(
        "5. Segment the new scans",
        *("autospine_predict", "-i", new, "-o", masks, "-m", model, "--overlay", "--overwrite"),
    )
    step("6. Score them", "autospine_evaluate", masks, new, "-o", folder / "scores")
    pictures = sorted(masks.glob("*.png"))
    show("\nwhat to look at:")
    for picture in pictures:
        show(f"  {picture}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"), help="default: demo")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training (default: 4)")
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        run(options.folder, options.minutes)
    except KeyboardInterrupt:
        raise SystemExit("demo: interrupted; run it again to go on") from None
    show(f"done in {(time.monotonic() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
