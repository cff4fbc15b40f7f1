from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autospine.volumes import Geometry, Volume

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TURNS = list(product(permutations(range(3)), product((False, True), repeat=3)))
angles = st.floats(-180, 180)


def grid(direction: np.ndarray, size=(4, 5, 6), spacing=(0.7, 1.5, 4.0)) -> Geometry:
    return Geometry(size, spacing, (10.0, -20.0, 30.0), tuple(float(x) for x in np.ravel(direction)))


def turned(volume: np.ndarray, geometry: Geometry, axes, flips) -> tuple[np.ndarray, Geometry]:
    """The same voxels in space, stored with permuted and flipped axes."""
    affine = geometry.affine()
    matrix = np.eye(4)
    matrix[:3, 3] = affine[:3, 3]
    for new, old in enumerate(axes):
        step = affine[:3, old]
        matrix[:3, new] = -step if flips[new] else step
        matrix[:3, 3] += step * (geometry.size[old] - 1) * flips[new]
    array = volume.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return array, Geometry.from_affine(array.shape, matrix)


def test_all_48_directions_become_lip(directions):
    for direction in directions:
        canonical = grid(direction).canonical()
        assert nibabel.aff2axcodes(RAS @ canonical.affine()) == ("L", "I", "P")
        assert canonical.canonical_axes() == ((0, 1, 2), (False, False, False))


def test_the_axes_are_those_that_nibabel_finds(directions):
    for direction in directions:
        geometry = grid(direction)
        axes, flips = geometry.canonical_axes()
        ornt = nibabel.io_orientation(RAS @ geometry.affine())  # row f: RAS axis and sign of file axis f
        target = nibabel.orientations.axcodes2ornt(("L", "I", "P"))
        to_lip = nibabel.orientations.ornt_transform(ornt, target)
        assert [int(to_lip[axis, 0]) for axis in axes] == [0, 1, 2]
        assert [bool(to_lip[axis, 1] < 0) for axis in axes] == list(flips)


def test_the_code_is_the_one_of_simpleitk(directions):
    for direction in directions:
        flat = [float(x) for x in np.ravel(direction)]
        expected = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(flat)
        assert grid(direction).orientation == expected


@given(angles, angles, angles, st.sampled_from(TURNS))
@settings(max_examples=150, deadline=None)
def test_any_direction_in_any_order_gives_the_same_canonical_volume(a, b, c, turn):
    geometry = grid(Rotation.from_euler("xyz", (a, b, c), degrees=True).as_matrix())
    values = np.arange(120).reshape(geometry.size)
    copy, copied = turned(values, geometry, *turn)
    one, other = Volume.from_file_order(values, geometry), Volume.from_file_order(copy, copied)
    np.testing.assert_array_equal(one.array, other.array)
    np.testing.assert_allclose(one.canonical_affine(), other.canonical_affine(), atol=1e-9)
    np.testing.assert_array_equal(other.in_file_order(), copy)


@pytest.mark.parametrize(
    "rotation",
    [
        *((axis, sign * angle) for axis in "xyz" for sign in (-1, 1) for angle in (45, 135)),
        ("xy", (45, 45)),
        ("zx", (45, -45)),
        ("xyz", (45, 45, 45)),
    ],
)
def test_ties_at_45_degrees_do_not_depend_on_the_order_of_the_axes(rotation):
    matrix = Rotation.from_euler(rotation[0], rotation[1], degrees=True).as_matrix()
    geometry = grid(matrix)
    values = np.arange(120).reshape(geometry.size)
    expected = Volume.from_file_order(values, geometry)
    for turn in TURNS:
        copy = Volume.from_file_order(*turned(values, geometry, *turn))
        np.testing.assert_array_equal(copy.array, expected.array)
        np.testing.assert_allclose(copy.canonical_affine(), expected.canonical_affine(), atol=1e-9)


@given(st.floats(-25, 25), st.floats(-25, 25), st.floats(-25, 25), st.integers(0, 47))
@settings(max_examples=100, deadline=None)
def test_moderately_oblique_axes_are_those_that_nibabel_finds(directions, a, b, c, index):
    tilt = Rotation.from_euler("xyz", (a, b, c), degrees=True).as_matrix()
    if np.trace(tilt) < 1 + 2 * np.cos(np.radians(44)):
        return
    canonical = grid(tilt @ directions[index], spacing=(1.0, 1.0, 1.0)).canonical()
    assert nibabel.aff2axcodes(RAS @ canonical.affine()) == ("L", "I", "P")


@pytest.mark.parametrize("axis", "yz")
@pytest.mark.parametrize("degrees", [0, 30, 46, 50, 60, -46, -60, 120, 134])
@pytest.mark.parametrize("size", [(15, 40, 30), (60, 20, 20)])
def test_a_sagittal_stack_stays_one_when_it_is_tilted(axis, degrees, size):
    """Slices 4 mm apart along the file's first axis, from right to left, turned about another axis."""
    geometry = grid(Rotation.from_euler(axis, degrees, degrees=True).as_matrix(), size, (4.0, 0.7, 0.8))
    for turn in TURNS:
        _, copied = turned(np.zeros(size), geometry, *turn)
        assert copied.canonical().spacing[0] == pytest.approx(4.0)
        assert copied.canonical().size[0] == size[0]


@pytest.mark.parametrize("degrees", [0, 20, -20])
def test_axial_and_coronal_stacks_keep_their_axes(degrees):
    for thick, axis in ((2, "y"), (1, "z")):
        spacing = tuple(4.0 if k == thick else 0.7 for k in range(3))
        geometry = grid(Rotation.from_euler(axis, degrees, degrees=True).as_matrix(), spacing=spacing)
        assert geometry.canonical().spacing == ((0.7, 4.0, 0.7) if thick == 2 else (0.7, 0.7, 4.0))


@pytest.mark.parametrize(
    ("size", "spacing", "words"),
    [
        ((4, 5, 6), (0.001, 0.7, 4.0), "spacing is 0.001 x 0.7 x 4 mm, not within 0.05 to 50 mm"),
        ((4, 5, 6), (700.0, 700.0, 4000.0), "not within 0.05 to 50 mm"),
        ((640, 640, 640), (5.0, 0.7, 4.0), "longer than a person"),
        ((4, 5, 0), (1.0, 1.0, 1.0), "its size is 4 x 5 x 0"),
    ],
)
def test_grids_that_no_scan_has_are_told_why(size, spacing, words):
    assert words in str(grid(np.eye(3), size, spacing).problem())
    assert grid(np.eye(3), (4, 5, 6), (0.05, 1.0, 50.0)).problem() is None


def test_the_affine_agrees_with_simpleitk():
    geometry = grid(Rotation.from_euler("xyz", (20, -30, 50), degrees=True).as_matrix())
    image = SimpleITK.Image(geometry.size, SimpleITK.sitkUInt8)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    expected = image.TransformIndexToPhysicalPoint((1, 2, 3))
    np.testing.assert_allclose((geometry.affine() @ (1, 2, 3, 1))[:3], expected, atol=1e-9)


def test_differences_are_said_in_words():
    one = grid(np.eye(3))
    assert one.difference(one) is None
    assert one.same_grid(replace(one, origin=(10.0, -20.0, 30.05)))
    assert one.difference(replace(one, size=(4, 5, 7))) == "size 4 x 5 x 6 against 4 x 5 x 7"
    assert "origin 3 mm apart" in str(one.difference(replace(one, origin=(10.0, -20.0, 33.0))))
    assert "spacing" in str(one.difference(replace(one, spacing=(0.7, 1.5, 5.0))))
    tilted = grid(Rotation.from_euler("z", 3, degrees=True).as_matrix())
    assert "3 degrees apart" in str(one.difference(tilted))
    assert "LPS against RPS" in str(one.difference(grid(np.diag([-1.0, 1, 1]))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spacing": (1.0, 0.0, 1.0)}, "spacing"),
        ({"spacing": (1.0, float("nan"), 1.0)}, "finite"),
        ({"size": (4, 0, 6)}, "size"),
        ({"direction": (1.0, 0, 0, 0, 1, 0, 0, 0, 0)}, "same way"),
    ],
)
def test_impossible_grids_are_recognised(change, words):
    assert grid(np.eye(3)).problem() is None
    assert words in str(replace(grid(np.eye(3)), **change).problem())


def test_skewed_directions_are_kept_and_measured():
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 0.2
    geometry = Geometry.from_affine((4, 5, 6), affine)
    np.testing.assert_allclose(geometry.affine(), affine, atol=1e-12)
    assert geometry.skew() == pytest.approx(np.degrees(np.arctan(0.1)))


def test_other_values_must_have_the_same_shape():
    volume = Volume.from_file_order(np.zeros((4, 5, 6)), grid(np.eye(3)))
    assert volume.with_array(np.ones(volume.array.shape)).geometry is volume.geometry
    with pytest.raises(ValueError, match="does not fit"):
        volume.with_array(np.zeros((1, 2, 3)))
