"""What AutoSpine does on a GPU: right, in memory, fast, and in prediction; a table, and gpu.json after every step.

Run by benchmarks/gpu.sh. A step that fails says why and the others go on; steps that no longer fit into --minutes are
left out. `--device cpu` rehearses all of it.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figures import call, command, machine
from torch import nn

from autospine import volumes
from autospine.core import registry
from autospine.core.machine import SHARE_OF_MEMORY, Machine, find_machine
from autospine.core.precision import Precision, usual_precision
from autospine.core.workspace import WorkFolder
from autospine.fingerprint.fingerprint import Fingerprint
from autospine.inference.model import Model, find_models
from autospine.inference.predictor import Predictor
from autospine.inference.run import PredictRequest, predict_scans
from autospine.networks.clustered_attention import clustered_attention
from autospine.networks.self_attention import PositionAttention
from autospine.planning.plan import Plan, Plans
from autospine.planning.recipe import Recipe
from autospine.training.budget import precisions
from autospine.training.data import Batch, Batches
from autospine.training.feed import Feed
from autospine.training.folds import read_case_pool
from autospine.training.job import TrainingJob, seed_everything
from autospine.training.loading import augmented, make_batches
from autospine.training.losses.dice_ce import DiceCrossEntropy, deep_supervision_weights, downsample_labels
from autospine.training.optimisation import MovingAverage
from autospine.training.profiling import micro_batches_that_fit
from autospine.training.run import choose_plan
from autospine.training.trainer import Context, Trainer, prepare

PLANS = ("2d_sagittal", "2d_axial", "3d_volume", "slice_reconstruction")
MODEL = Path("models/unet/2d_sagittal/adapted/fold_0")
CARDS = (8, 12, 24, 80)  # GB
FALLING_OVER = 5  # updates at either end whose mean losses are compared
Row = tuple[str, str]


class Bench:
    """The work folders, the device, and what the steps share."""

    def __init__(self, out: Path, options: argparse.Namespace) -> None:
        self.out, self.device, self.updates = out, torch.device(options.device), options.updates
        self.cuda = self.device.type == "cuda"
        self.dataset, self.work = options.dataset or out / "phantom", out / "work"

    def plan(self) -> list[Row]:
        """Phantoms, unless a data set is given, and every plan of them."""
        if not self.dataset.exists():
            call(command("phantom", self.dataset, "--cases", 6, "--seed", 1, "--size", "small"))
        call(command("plan", self.dataset, self.work, "--device", self.device, "--plans", *PLANS))
        return [(plan.name, f"patch {plan.patch}, batch {plan.batch}, {plan.memory_gib} GiB") for plan in self.plans()]

    def plans(self) -> tuple[Plan, ...]:
        """The work folder's plans."""
        return Plans.load(WorkFolder(self.work).plans).plans

    def trainer(self, name: str, recipe: str | None = None, plan: str | None = None) -> Trainer:
        """A trainer of the work folder."""
        kind = registry.load("trainers", name)
        return kind(choose_plan(kind, WorkFolder(self.work), plan), kind.recipe_named(recipe))

    def batches(self, trainer: Trainer) -> Batches:
        """The training batches of fold 0."""
        folder = WorkFolder(self.work)
        fold = read_case_pool(folder).folds[0]
        job = TrainingJob(self.work, self.out / "model", folder.preprocessed(trainer.plan.name), fold, "0", self.device)
        batches = make_batches(trainer, job, fold.train, 0)
        trainer.fit_statistics(batches.sampler)
        return batches

    def context(
        self, trainer: Trainer, precision: Precision, device: torch.device | None = None, narrow: bool = False
    ) -> Context:
        """Fresh networks; the narrowest where that is asked for, or where this is a rehearsal."""
        torch.manual_seed(0)
        shape = trainer.width_options()[0] if narrow or not self.cuda else trainer.shape()
        return prepare(trainer, shape, precision, device or self.device)

    def losses(self, trainer: Trainer, context: Context, batches: Batches, updates: int) -> list[float]:
        """The losses of the first updates; augmentation is left out, since generators differ between devices."""
        found = []
        for step in range(updates):
            seed_everything(0, step, 0)
            batch = batches.make(step).to(context.device)
            found.append(float(trainer.training_step(replace(context, step=step), batch)["loss"]))
        return found

    def wait(self) -> None:
        """Until the GPU has done what it was given."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    # 1. Right.

    def same_losses(self) -> list[Row]:
        """The first losses in float32 on this device and on the processor; bar 1e-3."""
        trainer = self.trainer("unet", plan="2d_sagittal")
        batches, count = self.batches(trainer), min(10, self.updates)
        here, there = (
            self.losses(trainer, self.context(trainer, Precision(), device, narrow=True), batches, count)
            for device in (self.device, torch.device("cpu"))
        )
        worst = max(abs(a - b) / max(abs(b), 1e-9) for a, b in zip(here, there, strict=True))
        return [(f"largest relative difference of {count} losses", f"{worst:.1e} (bar 1e-3)")]

    def formats(self) -> list[Row]:
        """Losses in every number format, float16 with its scaler."""
        rows = []
        for precision in (*precisions(self.device), *([Precision("float16")] if self.cuda else [])):
            trainer = self.trainer("unet", plan="2d_sagittal")
            context = self.context(trainer, precision, narrow=True)
            found = self.losses(trainer, context, self.batches(trainer), self.updates)
            rows.append((f"{precision.dtype}{', channels last' * precision.channels_last}", falling(found)))
        return rows

    def trainers(self) -> list[Row]:
        """Every trainer in each of its recipes: a few updates at the recipe's own size."""
        rows = []
        for name in registry.known("trainers"):
            for recipe in registry.load("trainers", name).recipes.values():
                large = recipe.patch is not None and not self.cuda
                text = "left out: too large for a processor" if large else self._trained(name, recipe)
                rows.append((f"{name} {recipe.name}", text))
                show(*rows[-1])
        return rows

    def _trained(self, name: str, recipe: Recipe) -> str:
        try:
            trainer = self.trainer(name, recipe.name, recipe.plans[0] if recipe.plans else None)
            members = getattr(trainer, "members", None)
            batches, context = self.batches(trainer), self.context(trainer, usual_precision(self.device))
            first = batches.make(0).to(self.device)
            parts = micro_batches_that_fit(trainer, context, trainer.shape(), first)
            start = time.perf_counter()
            found = self.losses(trainer, replace(context, micro_batches=parts), batches, self.updates)
            seconds = (time.perf_counter() - start) / self.updates
            text = f"{falling(found)}, {seconds:.2f} s an update"
            return f"{text}, its first network of {len(members)}" if members else text
        except Exception as error:  # the other trainers go on
            return f"FAILED: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        finally:
            if self.cuda:
                torch.cuda.empty_cache()

    def attention(self) -> list[Row]:
        """Attention on one position, and clustered attention, forward and back."""
        rows = []
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(2, 64, 1, 1, device=self.device, requires_grad=True)
            with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                PositionAttention(2, 64).to(self.device)(x).float().square().sum().backward()
            q, k, v = torch.randn(3, 1, 4, 1, 16, device=self.device, requires_grad=True).unbind(0)
            clustered_attention(q, k, v, 64).square().sum().backward()
            self.wait()
            rows.append((f"one position, {dtype}", "finite" if bool(x.grad.isfinite().all()) else "NOT FINITE"))
        q, k, v = torch.randn(3, 1, 4, 16384, 16, device=self.device).unbind(0)
        seconds = self.seconds_of(lambda: clustered_attention(q, k, v, 64))
        return [*rows, ("clustered attention, 16384 positions", f"{seconds * 1000:.1f} ms")]

    def too_large(self) -> list[Row]:
        """A batch that the memory cannot hold is divided."""
        trainer = self.trainer("unet", plan="2d_sagittal")
        trainer.recipe = replace(trainer.recipe, batch=4096 if self.cuda else 24)
        context, batches = self.context(trainer, usual_precision(self.device)), self.batches(trainer)
        parts = micro_batches_that_fit(trainer, context, trainer.shape(), batches.make(0).to(self.device))
        return [(f"batch of {trainer.batch}", f"{parts} micro-batches")]

    def killed(self) -> list[Row]:
        """A training by the command, killed with SIGKILL and continued."""
        line = command("train", self.work, "--minutes", "0.6", "--device", self.device)
        checkpoint = self.work / MODEL / "checkpoint.pt"
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 90
        while process.poll() is None and not checkpoint.exists() and time.monotonic() < limit:
            time.sleep(0.2)
        time.sleep(3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start = time.monotonic()
        call([*line, "--continue"])
        return [("killed and continued", f"a model after {time.monotonic() - start:.0f} s more")]

    def several(self) -> list[Row]:
        """Trainings by torchrun with one process, and with one for every GPU."""
        rows = []
        for count in sorted({1, torch.cuda.device_count() if self.cuda else 1}):
            start = time.monotonic()
            line = [*("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")]
            line += ["-m", "autospine.commands.train", str(self.work), "--minutes", "0.4", "--seed", str(count)]
            line += ["--fold", str(len(rows) + 1), "--recipe", "classification", "--device", self.device.type]
            done = subprocess.run([sys.executable, *line], check=False, capture_output=True, text=True)
            text = f"ends with {done.returncode} after {time.monotonic() - start:.0f} s"
            rows.append((f"torchrun, {count} processes", text + ("" if not done.returncode else done.stderr[-200:])))
        return rows

    def onnx(self) -> list[Row]:
        """The planned 2-D network as ONNX, where onnx and onnxruntime were carried along; bar 1e-3."""
        if find_spec("onnxscript") is None or find_spec("onnxruntime") is None:
            return [("ONNX", "not carried")]
        import onnxruntime

        trainer, path = self.trainer("unet", plan="2d_sagittal"), self.out / "unet.onnx"
        torch.manual_seed(0)
        network = trainer.build(trainer.width_options()[0]).eval().to(self.device)
        image = torch.randn(1, 1, *trainer.patch, device=self.device)
        torch.onnx.export(network, (image,), str(path), input_names=["image"], dynamo=True)
        providers = onnxruntime.get_available_providers()
        session = onnxruntime.InferenceSession(path, providers=providers)
        with torch.inference_mode():
            expected = network(image).cpu().numpy()
        worst = float(np.abs(session.run(None, {"image": image.cpu().numpy()})[0] - expected).max())
        return [(f"ONNX on {session.get_providers()[0]}", f"differs by {worst:.1e} (bar 1e-3)")]

    # 2. Memory.

    def memory(self) -> list[Row]:
        """Peak of the planned networks' training against the plan's estimate; bar within 20 %."""
        if not self.cuda:
            return [("peak against the estimate", "not measured without CUDA")]
        return [(name, self._peak(self.trainer("unet", plan=name))) for name in ("2d_sagittal", "3d_volume")]

    def cards(self) -> list[Row]:
        """Plans for cards of 8, 12, 24 and 80 GB, and their peaks where this one has as much."""
        found, kind = Fingerprint.load(WorkFolder(self.work).fingerprint), registry.load("trainers", "unet")
        rows = []
        for name in ("2d_sagittal", "3d_volume"):
            for card in CARDS:
                plan = registry.load("planners", name)(found, Machine("cuda", SHARE_OF_MEMORY * card, 16)).plan()
                text = f"batch {plan.batch} of {plan.patch}, {plan.memory_gib:.2f} GiB"
                if self.cuda and plan.memory_gib < find_machine(str(self.device), None).memory_gib:
                    text += f"; {self._peak(kind(plan, kind.recipe_named(None)))}"
                rows.append((f"{name}, {card} GB", text))
        return rows

    def _peak(self, trainer: Trainer) -> str:
        batches = self.batches(trainer)
        before = torch.cuda.memory_allocated(self.device)  # the cases, where they are held
        torch.cuda.reset_peak_memory_stats(self.device)
        self.losses(trainer, self.context(trainer, precisions(self.device)[0]), batches, 3)
        peak = (torch.cuda.max_memory_allocated(self.device) - before) / 2**30
        ratio = peak / trainer.plan.memory_gib
        verdict = "within" if abs(ratio - 1) <= 0.2 else "NOT within"
        return f"{peak:.2f} GiB, planned {trainer.plan.memory_gib:.2f}: ratio {ratio:.2f}, {verdict} 20 %"

    # 3. Fast.

    def speed(self) -> list[Row]:
        """An update in the loop, of one batch again and again, and of a bare loop of network, loss and optimiser."""
        rows = []
        for name in ("2d_sagittal", "3d_volume"):
            trainer = self.trainer("unet", plan=name)
            batches, precision = self.batches(trainer), precisions(self.device)[0]
            context = self.context(trainer, precision)
            ready = augmented(trainer, batches.make(0).to(self.device), context.precision)
            bare = self.seconds_of(lambda c=context, b=ready: self._bare(c, b))
            step = self.seconds_of(lambda t=trainer, c=context, b=ready: t.training_step(c, b))
            loop, waiting = self._loop_seconds(trainer, context, batches)
            rows.append((f"{name}, bare update", f"{bare * 1000:.0f} ms"))
            rows.append((f"{name}, training step over it", f"{step / bare:.2f}"))
            waits = f"waits {waiting / loop:.0%} of the time for batches"
            rows.append((f"{name}, loop over it", f"{loop / bare:.2f} (bar 1.1): {waits}"))
            rows.append((f"{name}, nnU-Net's step over the loop", self._nnunet(trainer, ready, loop)))
        return rows

    def _nnunet(self, trainer: Trainer, batch: Batch, loop: float) -> str:
        """nnU-Net's plain U-Net with its optimiser and number format on the same batch; bar 1.5."""
        if find_spec("dynamic_network_architectures") is None:
            return "not carried"
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        shape, dimension = trainer.shape(), trainer.plan.dimension
        if not self.cuda:
            shape = trainer.width_options()[0]
        stages, classes = len(shape.widths), trainer.encoding.semantic_channels
        kinds = (nn.Conv2d, nn.InstanceNorm2d) if dimension == 2 else (nn.Conv3d, nn.InstanceNorm3d)
        network = PlainConvUNet(
            *(1, stages, list(shape.widths), kinds[0], list(shape.kernels), list(shape.strides), 2, classes),
            *([2] * (stages - 1), True, kinds[1], {"eps": 1e-5, "affine": True}, None, None),
            *(nn.LeakyReLU, {"inplace": True}, True),
        ).to(self.device)
        optimiser = torch.optim.SGD(network.parameters(), 1e-2, 0.99, nesterov=True, weight_decay=3e-5)
        scaler, loss = torch.amp.GradScaler(enabled=self.cuda), DiceCrossEntropy().to(self.device)
        labels = trainer.loss().to(self.device).class_of[batch.labels.long()].clamp(min=0)

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.float16, enabled=self.cuda):
                outputs = network(batch.images)
            weighed = zip(deep_supervision_weights(len(outputs)), outputs, strict=True)
            total = sum(w * loss(o, downsample_labels(labels, o.shape[2:]), None) for w, o in weighed)
            scaler.scale(total).backward()
            scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(network.parameters(), 12)
            scaler.step(optimiser)
            scaler.update()

        return f"{self.seconds_of(step) / loop:.2f} (aim 1.5)"

    def compiled(self) -> list[Row]:
        """A training step with torch.compile, and with its CUDA graphs, over one without."""
        rows, seconds = [], {}
        for mode in (None, "default", "reduce-overhead") if self.cuda else (None,):
            trainer = self.trainer("unet", plan="2d_sagittal")
            context = self.context(trainer, precisions(self.device)[0])
            ready = augmented(trainer, self.batches(trainer).make(0).to(self.device), context.precision)
            if mode:
                context.networks[trainer.inference].compile(mode=mode)
            seconds[mode] = self.seconds_of(lambda t=trainer, c=context, b=ready: t.training_step(c, b))
            rows.append(
                (mode or "not compiled", f"{seconds[mode] / seconds[None]:.2f} of {seconds[None] * 1000:.0f} ms")
            )
        return rows

    def _bare(self, context: Context, batch: Batch) -> None:
        network = next(iter(context.networks))
        optimiser = context.updater.optimisers[network]
        optimiser.zero_grad(set_to_none=True)
        with context.precision.autocast(self.device):
            outputs = context.networks[network](batch.images)
        context.loss(outputs, batch)["loss"].backward()
        optimiser.step()

    def _loop_seconds(self, trainer: Trainer, context: Context, batches: Batches) -> tuple[float, float]:
        """Seconds of an update as the loop makes it, and for how many of them the device waited for its batch."""
        average = MovingAverage(context.networks[trainer.inference], 0.99)
        with Feed(batches.iterate(0, self.updates + 1), self.device) as feed:
            feed.take()
            self.wait()
            feed.waited()
            start = time.perf_counter()
            for _ in range(self.updates):
                trainer.training_step(context, augmented(trainer, feed.take(), context.precision))
                average.update_parameters(context.networks[trainer.inference])
            self.wait()
            seconds = time.perf_counter() - start
            return seconds / self.updates, feed.waited() / self.updates

    def seconds_of(self, run: Callable[[], object]) -> float:
        """The median of a few runs after two to warm up."""
        found = []
        for _ in range(2 + max(self.updates // 2, 2)):
            self.wait()
            start = time.perf_counter()
            run()
            self.wait()
            found.append(time.perf_counter() - start)
        return sorted(found[2:])[len(found[2:]) // 2]

    # 4. Predict.

    def predict(self) -> list[Row]:
        """Seconds a scan with the model kept loaded, and the same mask on both devices."""
        models = find_models([self.work / MODEL])
        scans = volumes.find_volumes(self.dataset / "images")[:6]
        here, masks = self._predicted(models, self.device, scans)
        rows = [(f"a scan, {len(scans)} in turn, {self.device}", here), self._folder()]
        if self.cuda:
            there, others = self._predicted(models, torch.device("cpu"), scans[:2])
            dice = min(label_dice(a, b) for a, b in zip(masks, others, strict=False))
            rows += [("a scan, cpu", there), ("label Dice of both", f"{dice:.5f} (bar 0.999)")]
        return rows

    def _folder(self) -> Row:
        """The whole folder by the command's own function: reading, networks and writing at once; aim 0.3 s a scan."""
        images, masks = self.dataset / "images", self.out / "masks"
        request = PredictRequest((images,), masks, (self.work / MODEL,), device=str(self.device), overwrite=True)
        start = time.perf_counter()
        done = predict_scans(request)
        seconds, count = time.perf_counter() - start, max(len(done.done), 1)
        busy = done.network_seconds / seconds
        text = f"{seconds / count:.2f} s, model loaded once; networks {busy:.0%} of the time (aim 80 %)"
        return f"a scan, folder of {count}", text

    def _predicted(self, models: list[Model], device: torch.device, scans: list[Path]) -> tuple[str, list[Any]]:
        predictor, masks, reading = Predictor(models, device), [], 0.0
        predictor.predict(volumes.read_image(scans[0]).array[None], volumes.read_image(scans[0]).spacing)
        before, start = predictor.network_seconds, time.perf_counter()
        for path in scans:
            begun = time.perf_counter()
            scan = volumes.read_image(path)
            reading += time.perf_counter() - begun
            masks.append(predictor.predict(scan.array[None], scan.spacing).decoded.labels)
        each = (time.perf_counter() - start) / len(scans)
        network = (predictor.network_seconds - before) / len(scans)
        return f"{each:.2f} s: reading {reading / len(scans):.2f}, network {network:.2f}", masks


def label_dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of all labels together; a voxel agrees where both have the same one."""
    agreed = np.count_nonzero((one == other) & (one > 0))
    return 2 * agreed / max(np.count_nonzero(one) + np.count_nonzero(other), 1)


def falling(losses: list[float]) -> str:
    """Whether losses are finite, and whether the last are lower than the first."""
    if not all(map(math.isfinite, losses)):
        return "NOT FINITE"
    count = min(FALLING_OVER, max(len(losses) // 2, 1))
    first, last = sum(losses[:count]) / count, sum(losses[-count:]) / count
    return f"{first:.3g} to {last:.3g} in {len(losses)} updates"


def show(name: str, text: str) -> None:
    print(f"  {name:44s} {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for gpu.json, phantoms and models")
    parser.add_argument("--dataset", type=Path, help="default: phantoms, made now")
    parser.add_argument("--device", default="cuda", help="default: cuda; cpu rehearses")
    parser.add_argument("--updates", type=int, default=20, help="of each trainer (default: 20)")
    parser.add_argument("--minutes", type=float, default=6.0, help="no step starts later than this (default: 6)")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="some steps alone, after plan")
    options = parser.parse_args()
    bench = Bench(options.out, options)
    kind = torch.cuda.get_device_name(bench.device) if bench.cuda else "no GPU"
    found: dict[str, Any] = {"machine": machine(), "device": kind, "torch": torch.__version__}
    print(*found.values(), sep="\n")
    steps = (
        *(bench.plan, bench.same_losses, bench.attention, bench.formats, bench.memory, bench.speed, bench.killed),
        *(bench.predict, bench.trainers, bench.too_large, bench.cards, bench.onnx, bench.compiled, bench.several),
    )
    started = time.monotonic()
    for step in steps:
        name = step.__name__
        if options.only and name not in ("plan", *options.only):
            continue
        print(f"{name}: {(step.__doc__ or '').splitlines()[0]}", flush=True)
        begun = time.monotonic()
        if begun - started > options.minutes * 60:
            found[name] = "left out: no time"
        else:
            try:
                found[name] = step()
            except (Exception, SystemExit) as error:  # a command that fails ends with its error line
                found[name] = f"FAILED: {type(error).__name__}: {error}"
        rows = [("", found[name])] if isinstance(found[name], str) else found[name]
        for row in rows if name != "trainers" else ():
            show(*row)
        found[f"{name} seconds"] = round(time.monotonic() - begun, 1)
        (options.out / "gpu.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
