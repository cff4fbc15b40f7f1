"""Damaged files for every reader and command: one line each, or an answer; never a traceback, a crash or a hang.

    python benchmarks/fuzz.py [--files 2000] [--seed 1] [--kinds mha dicom predict]

The first file of each kind is left whole and has to be read; the others are damaged by a seed, a kind in a process of
its own, with limits of memory and time. Counted are tracebacks (also those that a command's boundary turned into a
line), crashes of the process, hangs over 20 s, over 2 GB of memory, outputs that are half-written, and inputs or good
cases that are lost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' tiny spines are its material
from mutators import damage

HANG_SECONDS, MEMORY = 20, 2 * 10**9
FAULTS = ("traceback", "crash", "hang", "memory", "half-written", "lost")
GOOD = "2_t2"


class HangError(BaseException):
    """A case took too long; no handler of Exception keeps it."""


@dataclass(frozen=True)
class Case:
    """One damaged file's turn.

    Attributes:
        folder: Empty, to write into.
        base: Folder of what `prepare` made.
        random: What is damaged, and how.
        control: Leave the file whole: it has to be read.
    """

    folder: Path
    base: Path
    random: Random
    control: bool = False

    def copy(self, source: str, target: str) -> Path:
        """Copy a file or folder of the base."""
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if (self.base / source).is_dir():
            shutil.copytree(self.base / source, path)
        else:
            shutil.copy(self.base / source, path)
        return path

    def damage(self, path: Path) -> None:
        """Damage a file in place."""
        if self.control:
            return
        path.write_bytes(damage(path.name, path.read_bytes(), self.random))

    def refused_or(self, work: Callable[[Path], object], path: Path) -> None:
        """Do something with a file; one line instead is right as well, but not for want of memory."""
        from autospine.core.errors import UserError

        try:
            work(path)
        except UserError as error:
            if self.control or "\n" in str(error):
                raise AssertionError(str(error)) from error
            if "memory" in error.problem:
                raise MemoryError(str(error)) from error


# Each kind of case: prepares its files, and yields once before it calls what is attacked.
Attack = Callable[[Case], Iterator[None]]


def read_scan(suffix: str) -> Attack:
    def attack(case: Case) -> Iterator[None]:
        from autospine.volumes import read_header, read_image, read_mask

        source = case.random.choice(("image", "mask"))
        path = case.copy(f"volumes/{source}{suffix}", f"input/{source}{suffix}")
        if suffix == ".mhd":
            raw = path.with_suffix(".raw")
            case.copy(f"volumes/{raw.name}", f"input/{raw.name}")
        case.damage(path)
        yield
        for read in (read_header, read_image, read_mask):
            case.refused_or(read, path)

    return attack


def read_series(case: Case) -> Iterator[None]:
    from autospine.volumes import read_header, read_image

    folder = case.copy("volumes/series", "input/series")
    slices = sorted(folder.glob("*.dcm"))
    for path in case.random.sample(slices, case.random.choice((1, 1, 2, len(slices)))):
        case.damage(path)
    yield
    for read in (read_header, read_image):
        case.refused_or(read, folder)


def call(case: Case, main: Callable[[], int], *arguments: object) -> str:
    """Run a command in this process; return what it said."""
    said = StringIO()
    sys.argv = [main.__module__.rpartition(".")[2], *map(str, arguments)]
    with redirect_stdout(said), redirect_stderr(said):
        try:
            status = main()
        except SystemExit as end:
            status = end.code
    logging.getLogger().handlers.clear()
    text = said.getvalue()
    if ("needs more memory" in text and "is its spacing right" not in text) or "free memory" in text:
        raise MemoryError(text)
    if status not in ((0,) if case.control else (0, 2)) or "unexpected" in text or "Traceback" in text:
        logs = "".join(path.read_text() for path in traces(text))
        raise AssertionError(f"status {status}: {text}\n{logs}")
    return text


def traces(text: str) -> list[Path]:
    """Return the files of traces that a command named."""
    return [Path(name) for name in re.findall(r"full trace is in (\S+?)(?:[;,)]|\s|$)", text) if Path(name).is_file()]


def lost_unless(there: bool, what: str) -> None:
    """Raise what is counted as lost."""
    if not there:
        raise LookupError(f"lost: {what}")


def predict_scan(case: Case) -> Iterator[None]:
    from autospine.commands.predict import main

    suffix = case.random.choice((".mha", ".mhd", ".nii", ".nii.gz", ".nrrd"))
    bad = case.copy(f"volumes/image{suffix}", f"input/bad{suffix}")
    if suffix == ".mhd":
        case.copy("volumes/image.raw", "input/image.raw")
    case.damage(bad)
    case.copy("volumes/image.nii", f"input/{GOOD}.nii")
    yield
    flags = ["--overlay"] if case.random.random() < 0.1 else []
    call(case, main, "-i", case.folder / "input", "-o", case.folder / "out", "-m", case.base / "model", *PLAIN, *flags)
    lost_unless((case.folder / f"out/{GOOD}.nii").exists(), f"the mask of {GOOD}")


PLAIN = ("--device", "cpu", "--precision", "float32", "--workers", "1")


def predict_with_model(name: str) -> Attack:
    def attack(case: Case) -> Iterator[None]:
        from autospine.commands.predict import main

        model = case.copy("model", "input/model")
        case.damage(model / name)
        if name != "model.json" and case.random.random() < 0.8:  # made by whoever damaged it
            card = json.loads((model / "model.json").read_text())
            card["weights"] = hashlib.sha256((model / name).read_bytes()).hexdigest()
            (model / "model.json").write_text(json.dumps(card))
        scan = case.copy("volumes/image.nii", f"input/{GOOD}.nii")
        yield
        call(case, main, "-i", scan, "-o", case.folder / "out", "-m", model, *PLAIN)

    return attack


def evaluate_masks(case: Case) -> Iterator[None]:
    from autospine.commands.evaluate import main

    suffix = case.random.choice((".mha", ".nii", ".nii.gz", ".nrrd"))
    for folder in ("pred", "ref"):
        case.copy("volumes/mask.nii", f"input/{folder}/{GOOD}.nii")
        case.copy(f"volumes/mask{suffix}", f"input/{folder}/bad{suffix}")
    case.damage(case.folder / "input" / case.random.choice(("pred", "ref")) / f"bad{suffix}")
    yield
    out = ["-o", case.folder / "out"] if case.random.random() < 0.3 else []
    said = call(case, main, case.folder / "input/pred", case.folder / "input/ref", "--workers", "1", *out)
    lost_unless("1.000" in said or "different" in said or "labels" in said, f"the score of {GOOD}: {said}")


def plan_data(case: Case) -> Iterator[None]:
    from autospine.commands.plan import main

    data = case.copy("data", "input/data")
    (data / "dataset.json").write_text(json.dumps({"channels": ["MRI"], "labels": spider_labels()}))
    files = [data / "dataset.json", *sorted(data.glob("*/*.mha"))]
    case.damage(case.random.choice((files[0], case.random.choice(files))))
    yield
    call(
        case,
        main,
        data,
        case.folder / "out",
        "--plans",
        "2d_sagittal",
        "--folds",
        "3",
        "--device",
        "cpu",
        "--workers",
        "1",
    )


def spider_labels() -> dict[str, str]:
    from autospine.labels.conversion import get_scheme

    return get_scheme("spider").to_dict()["labels"]


def load_plans(case: Case) -> Iterator[None]:
    from autospine.planning.plan import Plans
    from tests.toys import QUICK, ToyTrainer

    path = case.copy("work/plans.json", "input/plans.json")
    case.damage(path)
    yield

    def load(path: Path) -> None:
        for plan in Plans.load(path).plans:
            trainer = ToyTrainer(plan, QUICK)
            trainer.build(trainer.shape())

    case.refused_or(load, path)


def continue_training(case: Case) -> Iterator[None]:
    from autospine.core.workspace import WorkFolder
    from autospine.training.loop import fit
    from tests.tiny import make_job, plan_of
    from tests.toys import QUICK, ToyTrainer

    work = WorkFolder(case.base / "work")
    path = case.copy("trained/checkpoint.pt", "input/checkpoint.pt")
    case.damage(path)
    plan = plan_of(work, 2)
    yield
    (case.folder / "out").mkdir()
    shutil.copy(path, case.folder / "out/checkpoint.pt")
    job = make_job(work, plan, case.folder / "out", resume=True)
    with quiet():
        case.refused_or(lambda _: fit(ToyTrainer(plan, QUICK), job), job.checkpoint)
    (case.folder / "out/checkpoint.pt").unlink()


KINDS: dict[str, tuple[Attack, int]] = {  # and how many of 100 files it gets
    **{suffix[1:]: (read_scan(suffix), 12) for suffix in (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd")},
    "dicom": (read_series, 12),
    "predict": (predict_scan, 6),
    "evaluate": (evaluate_masks, 6),
    "plan": (plan_data, 3),
    "model": (predict_with_model("model.json"), 5),
    "weights": (predict_with_model("weights.safetensors"), 3),
    "plans": (load_plans, 3),
    "checkpoint": (continue_training, 2),
}


def prepare(base: Path) -> None:
    """Make the material: volumes of each format, a data set with its plan, a model, a training."""
    import SimpleITK

    from autospine.inference.model import save_model
    from autospine.planning.splits import Fold
    from autospine.training.loop import fit
    from tests.tiny import RIGHT_POSTERIOR_INFERIOR, SPACING, make_job, make_work, plan_of, spine_image, spine_mask
    from tests.toys import QUICK, ToyTrainer

    with quiet():
        work = make_work(base)
    mask = spine_mask()
    (base / "volumes").mkdir()
    for name, array in (("image", spine_image(mask).astype("int16")), ("mask", mask)):
        image = SimpleITK.GetImageFromArray(array[::-1].copy())
        image.SetSpacing(SPACING[::-1])
        image.SetDirection(RIGHT_POSTERIOR_INFERIOR)
        for suffix in (".mha", ".mhd", ".nii", ".nii.gz", ".nrrd"):
            SimpleITK.WriteImage(image, str(base / "volumes" / f"{name}{suffix}"), suffix == ".mha")
    write_series(base / "volumes/series", spine_image(mask))
    plan = plan_of(work, 2)
    trainer = ToyTrainer(plan, QUICK)
    job = make_job(work, plan, base / "model")
    card = trainer.model_card(trainer.shape(), job)
    # Known to commands by name, as the model's own would be.
    save_model(
        base / "model", type(card)(**{**vars(card), "trainer": "unet", "recipe": unet_recipe()}), unet_weights(plan)
    )
    with quiet():
        fit(trainer, make_job(work, plan, base / "trained", fold=Fold(("1_t1", "2_t2"), ("3_t1",)), epochs=1))


def unet_recipe():
    from trainers.unet import ADAPTED

    return ADAPTED


def unet_weights(plan):
    from trainers.unet import UNetTrainer

    trainer = UNetTrainer(plan, unet_recipe())
    return trainer.build(trainer.shape()).state_dict()


def write_series(folder: Path, array) -> None:
    """Write a sagittal DICOM series of a canonical array (slices, rows, columns)."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    series, study = generate_uid(entropy_srcs=["series"]), generate_uid(entropy_srcs=["study"])
    for number, plane in enumerate(array):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = Dataset()
        slice_.file_meta = meta
        slice_.SOPClassUID, slice_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        slice_.Modality, slice_.SeriesInstanceUID, slice_.StudyInstanceUID = "MR", series, study
        slice_.PatientName, slice_.SeriesNumber, slice_.InstanceNumber = "A^B", 1, number + 1
        slice_.Rows, slice_.Columns = plane.shape
        slice_.PixelSpacing, slice_.SliceThickness, slice_.SpacingBetweenSlices = [3, 3], 4, 4
        slice_.ImageOrientationPatient, slice_.ImagePositionPatient = [0, 1, 0, 0, 0, -1], [4.0 * number, 0, 0]
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.PixelData = plane.clip(0).astype("<u2").tobytes()
        slice_.save_as(folder / f"{number}.dcm", enforce_file_format=True)


@contextmanager
def quiet() -> Iterator[None]:
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        yield


def attempt(kind: str, number: int, seed: int, base: Path, folder: Path) -> tuple[str, str]:
    """Run one case; return "fine" or a fault, and what is known of it."""
    case = Case(folder, base, Random(f"{kind} {number} {seed}"), control=number == 0)
    attack = KINDS[kind][0](case)
    next(attack)
    before = digests(folder / "input")
    reset_peak_memory()
    start = peak_memory()
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        next(attack, None)
    except HangError:
        return "hang", traceback.format_exc()
    except LookupError as error:
        return ("lost" if str(error).startswith("lost: ") else "traceback"), traceback.format_exc()
    except MemoryError:
        return "memory", traceback.format_exc()
    except (Exception, SystemExit):
        return "traceback", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    taken = peak_memory() - start
    if taken > MEMORY:
        return "memory", f"{taken / 1e9:.1f} GB"
    after = digests(folder / "input")
    if before != after:
        return "lost", f"inputs changed: {sorted(set(before.items()) ^ set(after.items()))}"
    return half_written(folder / "out")


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def half_written(folder: Path) -> tuple[str, str]:
    """Look for what is not whole in a command's output."""
    from autospine.core.errors import UserError
    from autospine.volumes import read_mask

    for path in folder.rglob("*"):
        try:
            if ".partial." in path.name:
                return "half-written", f"left behind: {path.name}"
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.name.endswith((".mha", ".nii", ".nii.gz", ".nrrd")) and path.is_file():
                read_mask(path)
        except (ValueError, UserError) as error:
            return "half-written", f"{path.name}: {error}"
    return "fine", ""


def reset_peak_memory() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Return bytes of the highest resident memory; 0 where the system does not tell."""
    with suppress(OSError):
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return 0


def limit_memory() -> None:
    """Let this process take 4 GB more than it has: above what is counted, so that it is the case that is counted."""
    import resource

    with suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 2 * MEMORY, resource.RLIM_INFINITY))


def serve(options: argparse.Namespace) -> None:
    """Run cases of one kind in this process, a line of JSON before and after each."""

    def hang(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGALRM, hang)
    import torch
    import torch._dynamo  # which optimisers import late: a slow machine's hang must not end it half-way

    torch.set_num_threads(1)
    from autospine.core import registry

    registry.load("trainers", "unet")
    logging.disable(logging.WARNING)  # readers warn of what is doubtful
    limit_memory()
    kind, base = options.kinds[0], options.material
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for number in range(options.first, options.first + options.files):
        answers.write(json.dumps([number, "started", ""]) + "\n")
        with TemporaryDirectory(dir=base.parent, ignore_cleanup_errors=True) as folder:
            outcome, text = attempt(kind, number, options.seed, base, Path(folder))
        answers.write(json.dumps([number, outcome, text]) + "\n")


@dataclass
class Batch:
    """Cases of one kind, in processes that are renewed after a crash."""

    kind: str
    files: int
    seed: int
    material: Path

    def run(self) -> list[tuple[int, str, str]]:
        """Return number, outcome and text of each case."""
        done: list[tuple[int, str, str]] = []
        first = 0
        while first < self.files:
            done += self._process(first)
            first = done[-1][0] + 1
        return done

    def _process(self, first: int) -> list[tuple[int, str, str]]:
        command = [sys.executable, __file__, "--serve", "--kinds", self.kind, "--seed", str(self.seed)]
        command += ["--first", str(first), "--files", str(self.files - first), "--material", str(self.material)]
        seconds = 60 + 2 * HANG_SECONDS + 10 * (self.files - first)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        lines = [tuple(json.loads(line)) for line in out.splitlines()]
        if not lines:
            raise SystemExit(f"fuzz: {self.kind} could not start: {err[-2000:]}")
        ended = [line for line in lines if line[1] != "started"]
        if lines[-1][1] == "started":
            outcome = "hang" if process.returncode == -signal.SIGKILL else "crash"
            ended.append((lines[-1][0], outcome, f"exit status {process.returncode}: {err[-2000:]}"))
        return ended


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="damaged files of all kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    for name, kind in (("--first", int), ("--material", Path)):
        parser.add_argument(name, type=kind, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return 0
    with TemporaryDirectory(prefix="fuzz_") as folder:
        base = Path(folder) / "material"
        base.mkdir()
        prepare(base)
        return run_all(options, base)


def run_all(options: argparse.Namespace, base: Path) -> int:
    """Run every kind; print counts and faults, return 1 if there was one."""
    shares = {kind: KINDS[kind][1] for kind in options.kinds}
    total: Counter[str] = Counter()
    print(f"{'kind':12s} {'files':>6s} {'seconds':>8s}  " + "  ".join(FAULTS))
    for kind, share in shares.items():
        started, files = time.monotonic(), max(1, round(options.files * share / sum(shares.values())))
        outcomes = Batch(kind, files, options.seed, base).run()
        counts = Counter(outcome for _, outcome, _ in outcomes)
        total += counts
        figures = "  ".join(f"{counts[fault]:{len(fault)}d}" for fault in FAULTS)
        print(f"{kind:12s} {len(outcomes):6d} {time.monotonic() - started:8.1f}  {figures}", flush=True)
        for number, outcome, text in outcomes:
            if outcome != "fine":
                print(f"\n{outcome}: {kind} {number} (seed {options.seed})\n{text}", flush=True)
    faults = sum(total[fault] for fault in FAULTS)
    print(f"{total.total()} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
