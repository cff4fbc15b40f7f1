"""Planners, trainers, comparisons and preprocessing transforms by name, built in or of installed packages."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from inspect import getsourcefile
from pathlib import Path
from pkgutil import extend_path
from typing import Any

from autospine.core.errors import UserError

log = logging.getLogger(__name__)

HOME = Path(__file__).parents[2]  # the folder of autospine, beside which lie the packages of the built-in plug-ins
PACKAGES = ("planners", "trainers")

BUILT_IN: dict[str, dict[str, str]] = {
    "planners": {
        "2d_sagittal": "planners.sagittal_2d:Sagittal2D",
        "2d_axial": "planners.axial_2d:Axial2D",
        "3d_volume": "planners.volume_3d:Volume3D",
        "slice_reconstruction": "planners.slice_reconstruction:SliceReconstruction",
    },
    "trainers": {
        "unet": "trainers.unet:UNetTrainer",
        "unetplusplus": "trainers.medfusionnet.comparators:UNetPlusPlusTrainer",
        "resunet": "trainers.medfusionnet.comparators:ResUNetTrainer",
        "deeplabv3": "trainers.medfusionnet.comparators:DeepLabV3Trainer",
        "cfnet": "trainers.safnet.comparison:CFNetTrainer",
        "segnet": "trainers.wgan_resunet.comparison:SegNetTrainer",
        "deeplabv3plus": "trainers.wgan_resunet.comparison:DeepLabV3PlusTrainer",
        "spine_gan": "trainers.wgan_resunet.spine_gan:SpineGANTrainer",
        "attention_unet": "trainers.attention_unet.trainer:AttentionUNetTrainer",
        "modified_unet": "trainers.modified_unet.trainer:ModifiedUNetTrainer",
        "safnet": "trainers.safnet.trainer:SAFNetTrainer",
        "wgan_resunet": "trainers.wgan_resunet.trainer:WGANResUNetTrainer",
        "medfusionnet": "trainers.medfusionnet.trainer:MedFusionNetTrainer",
    },
    "comparisons": {  # of papers with other trainers: recipes of those, and tables after their validation
        "safnet": "trainers.safnet.comparison:SAFNetComparison",
        "wgan_resunet": "trainers.wgan_resunet.comparison:AxialComparison",
    },
    "transforms": {
        "centre_crop": "autospine.preprocessing.transforms.spatial:CentreCrop",
        "resize": "autospine.preprocessing.transforms.spatial:Resize",
        "pad": "autospine.preprocessing.transforms.spatial:Pad",
        "fit": "autospine.preprocessing.transforms.spatial:Fit",
        "box_masks": "autospine.preprocessing.transforms.masks:BoxMasks",
        "otsu_crop": "autospine.preprocessing.transforms.spatial:OtsuCrop",
        "shearlet_denoise": "autospine.preprocessing.transforms.denoising:ShearletDenoise",
        "wavelet_denoise": "autospine.preprocessing.transforms.denoising:WaveletDenoise",
        "adaptive_histogram": "autospine.preprocessing.transforms.intensity:AdaptiveHistogram",
        "z_score": "autospine.preprocessing.transforms.intensity:ZScore",
        "unit_range": "autospine.preprocessing.transforms.intensity:UnitRange",
        "clean_masks": "autospine.preprocessing.transforms.masks:CleanMasks",
        "filter_slices": "trainers.modified_unet.transform:FilterSlices",
        "annotated_slices": "autospine.preprocessing.transforms.slices:AnnotatedSlices",
        "derive_axial4": "trainers.wgan_resunet.transform:DeriveAxial4",
    },
}


def known(group: str) -> dict[str, str]:
    """Return the names of a group of `BUILT_IN`, each with its class as "module:class"."""
    installed = {point.name: point.value for point in entry_points(group=f"autospine.{group}")}
    return {**installed, **BUILT_IN[group]}


def load(group: str, name: str) -> Any:
    """Return the class called `name`.

    Raises:
        UserError: No such name (the message lists the known ones), or its module fails to import.
    """
    classes = known(group)
    if name not in classes:
        raise UserError(name, f"is none of the {group}", f"choose from {', '.join(sorted(classes))}")
    module, _, attribute = classes[name].partition(":")
    for package in PACKAGES:
        _find_beside_autospine(package)
    try:
        plug_in = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(classes[name], f"cannot be loaded ({error})", "reinstall its package") from error
    level = logging.DEBUG if name in BUILT_IN[group] else logging.INFO
    log.log(level, "%s %s comes from %s", group[:-1], name, getsourcefile(plug_in))
    return plug_in


def _find_beside_autospine(package: str) -> None:
    """Let a package's modules be those beside autospine, whatever of the same name lies in the current directory.

    What a user's own package of that name holds besides can still be imported.
    """
    own = HOME / package
    module = sys.modules.get(package)
    if module is None:
        spec = spec_from_file_location(package, own / "__init__.py", submodule_search_locations=[str(own)])
        if spec is None or spec.loader is None:
            raise UserError(own, "cannot be loaded", "reinstall autospine")
        module = module_from_spec(spec)
        sys.modules[package] = module
        spec.loader.exec_module(module)
        module.__path__ = extend_path(module.__path__, package)
    places = list(getattr(module, "__path__", ()))  # a single file has none
    if str(own) not in places[:1]:
        module.__path__ = [str(own), *(place for place in places if place != str(own))]
