"""What `fuzz.py` attacks: a damaged file of each kind, and the material that it is made of."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random

from mutators import damage

GOOD = "2_t2"


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
