"""Installation of a zip, whatever is in it; list, card, check and removal."""

from __future__ import annotations

import http.server
import json
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from autospine.commands.models import main
from autospine.core.errors import UserError
from autospine.inference.model import find_models, read_model
from autospine.models.files import file_hash
from autospine.models.provenance import Provenance
from autospine.sharing.download import download
from autospine.sharing.manage import ModelsRequest, manage_models


def ask(action: str, target: object = None, sha256: str | None = None) -> str:
    return manage_models(ModelsRequest(action, None if target is None else str(target), sha256))  # type: ignore[arg-type]


def test_without_a_model_one_line_says_how_to_get_one(command: Callable) -> None:
    answer = command(main)
    assert answer.status == 0
    (line,) = answer.out.splitlines()
    assert line.startswith("no model is installed; install one with autospine_models install FILE or URL")
    assert ask("check").startswith("no model is installed")


def test_a_zip_becomes_a_model_that_is_listed_shown_checked_used_by_name_and_removed(
    archive: Path, own_models: Path, command: Callable, trained
) -> None:
    answer = command(main, "install", archive, "--sha256", file_hash(archive).upper())
    assert answer.status == 0
    assert f"spine: installed in {own_models / 'spine'}" in answer.out
    names = {path.name for path in (own_models / "spine").iterdir()}
    assert names == {"model.json", "weights.safetensors", "card.json", "LICENCE.txt"}
    listed = command(main).out
    assert listed.startswith("spine 1.0: Tiny spines.\n")
    assert "weights as listed" in listed
    assert "learnt from 4 scans of data (licence: CC-BY-4.0)" in listed
    assert "vertebra (4 real)" in listed
    assert "has not seen slices under 4 mm, slices over 4 mm" in listed and "axial series" in listed
    shown = command(main, "show", "spine").out
    assert "trained on: 1_t1, 2_t2, 3_t1, 4_t2" in shown
    assert "held out: 5_t1, 6_t2" in shown
    assert "toy quick, 6 updates in 2 epochs" in shown and "seed 7, last loss 1.25" in shown
    assert command(main, "check").out == "spine 1.0: whole\n"
    (model,) = find_models([Path("spine")])
    assert model.card.trained_on == trained.card.trained_on
    assert find_models([])[0].folder == model.folder
    with pytest.raises(UserError, match="spine: is installed already; autospine_models remove spine"):
        ask("install", archive)
    assert command(main, "remove", "spine").out == "spine: removed\n"
    assert list(own_models.iterdir()) == []
    with pytest.raises(UserError, match="spine: is no installed model"):
        ask("remove", "spine")


def test_a_model_that_came_with_autospine_stays(archive: Path, own_models: Path, tmp_path: Path, monkeypatch) -> None:
    ask("install", archive)
    own_models.rename(tmp_path / "bundled")
    monkeypatch.setattr("autospine.models.installed.BUNDLED", tmp_path / "bundled")
    assert ask("check") == "spine 1.0: whole"
    with pytest.raises(UserError, match="spine: came with AutoSpine"):
        ask("remove", "spine")


def test_damaged_weights_are_named(archive: Path, own_models: Path) -> None:
    ask("install", archive)
    path = own_models / "spine" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "WEIGHTS DIFFER" in ask("list")
    with pytest.raises(UserError, match=r"weights\.safetensors: is damaged"):
        ask("check", "spine")
    (own_models / "spine" / "card.json").write_text("{}")
    assert "lacks the key 'name'" in ask("list")  # in its line: the others are listed all the same


def refused(path: Path, own_models: Path) -> str:
    with pytest.raises(UserError) as caught:
        ask("install", path)
    assert "\n" not in str(caught.value)
    assert list(own_models.iterdir()) == []  # nothing half-installed
    return str(caught.value)


def test_a_file_that_is_not_the_listed_one_is_refused(rezipped: Callable, own_models: Path) -> None:
    said = refused(rezipped(listed=False, card_json=b"{}"), own_models)
    assert "holds a card.json that is not the one it lists (SHA-256 differs)" in said


def test_weights_of_another_hash_than_the_model_names_are_refused(rezipped: Callable, own_models: Path) -> None:
    said = refused(rezipped(weights_safetensors=b"other weights"), own_models)
    assert "is damaged or not the one that model.json describes" in said


def test_a_card_that_cannot_be_is_refused(rezipped: Callable, own_models: Path) -> None:
    assert "unknown key 'colour'" in refused(rezipped(card_json=b'{"colour": 1}'), own_models)
    assert "is not valid JSON" in refused(rezipped(model_json=b"{"), own_models)


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "run.py", "model.pkl", "sub/model.json", "C:\\evil"])
def test_names_of_no_model_are_refused(name: str, rezipped: Callable, own_models: Path, tmp_path: Path) -> None:
    said = refused(rezipped(**{name: b"evil"}), own_models)
    assert "which is no file of a model" in said
    assert not list(tmp_path.rglob("evil*"))


def test_missing_and_repeated_files_are_refused(rezipped: Callable, own_models: Path) -> None:
    assert "lacks card.json" in refused(rezipped(card_json=None), own_models)
    path = rezipped()
    with ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("card.json", b"{}")
    assert "holds a file twice" in refused(path, own_models)


def rewritten(path: Path, change: Callable[[ZipInfo], None], name: str, content: bytes | None = None) -> Path:
    """The zip with one member stored otherwise."""
    with ZipFile(path) as before:
        members = {info.filename: before.read(info) for info in before.infolist()}
    target = path.with_name("special.zip")
    with ZipFile(target, "w") as after:
        for member, value in members.items():
            info = ZipInfo(member)
            if member == name:
                change(info)
            after.writestr(info, content if member == name and content is not None else value)
    return target


def test_links_and_devices_are_refused(archive: Path, own_models: Path) -> None:
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR):
        path = rewritten(
            archive, lambda info, kind=kind: setattr(info, "external_attr", (kind | 0o777) << 16), "card.json"
        )
        assert "holds card.json as a link or a device" in refused(path, own_models)


def test_bombs_are_refused_before_they_are_unpacked(archive: Path, own_models: Path) -> None:
    def packed(info: ZipInfo) -> None:
        info.compress_type = 8

    path = rewritten(archive, packed, "weights.safetensors", bytes(30_000_000))
    assert "holds weights.safetensors of 30,000,000 bytes, more than a model's" in refused(path, own_models)
    path = rewritten(archive, packed, "LICENCE.txt", bytes(range(256)) * 8192)
    assert "holds LICENCE.txt of 2,097,152 bytes, more than a model's" in refused(path, own_models)


def test_a_header_that_promises_less_than_comes_is_damage(archive: Path, own_models: Path) -> None:
    content = archive.read_bytes()
    with ZipFile(archive) as opened:
        size = opened.getinfo("weights.safetensors").file_size
    archive.write_bytes(content.replace(size.to_bytes(4, "little"), (size // 2).to_bytes(4, "little")))
    refused(archive, own_models)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_zip_cut_short_is_damage(share: float, archive: Path, own_models: Path) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    assert "is damaged or no zip" in refused(archive, own_models)


@pytest.mark.parametrize("name", ["..", ".hidden", "UPPER", "a/b", "", "box\n"])
def test_names_that_are_no_folders_name_are_refused(name: str, archive: Path, own_models: Path) -> None:
    with ZipFile(archive) as before:
        manifest = json.loads(before.read("manifest.json"))
    path = rewritten(archive, lambda _: None, "manifest.json", json.dumps(manifest | {"name": name}).encode())
    assert "manifest.json" in refused(path, own_models)


def test_a_newer_zip_and_another_sha256(archive: Path, own_models: Path) -> None:
    with pytest.raises(UserError, match="is another file than --sha256 says"):
        ask("install", archive, "0" * 64)
    with ZipFile(archive) as before:
        manifest = json.loads(before.read("manifest.json"))
    path = rewritten(archive, lambda _: None, "manifest.json", json.dumps(manifest | {"version": 9}).encode())
    assert "newer AutoSpine" in refused(path, own_models)


def test_what_the_command_lacks_is_said(command: Callable, tmp_path: Path) -> None:
    for arguments, problem in (
        (("install",), "autospine_models install: needs a zip or an address"),
        (("show",), "autospine_models show: needs a model's name"),
        (("install", tmp_path / "nowhere.zip"), "nowhere.zip: is no file"),
        (("list", "--sha256", "0"), "--sha256: is for install, not for list"),
        (("install", "http://example.org/spine.zip"), "http://example.org/spine.zip: is not encrypted"),
    ):
        answer = command(main, *arguments)
        assert answer.status == 2
        (line,) = answer.errors
        assert problem in line


@pytest.fixture
def served(archive: Path) -> Iterator[str]:
    """The address of the folder that holds the zip, on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://example.org/spine.zip")
                self.end_headers()
            else:
                super().do_GET()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_address_is_installed_like_a_file(served: str, own_models: Path, tmp_path: Path) -> None:
    assert "spine: installed" in ask("install", f"{served}/spine.zip")
    with pytest.raises(UserError, match=r"nothing\.zip: answers 404"):
        ask("install", f"{served}/nothing.zip")
    with pytest.raises(UserError, match=r"example\.org.*is not encrypted"):
        download(f"{served}/elsewhere", tmp_path / "x.zip")


def test_an_address_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1/x\.zip: cannot be read"):
        download("http://127.0.0.1:1/x.zip", tmp_path / "x.zip")


def test_what_a_killed_installation_left_is_swept(archive: Path, own_models: Path) -> None:
    import os

    left = own_models / ".unpacking-dead"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    ask("install", archive)
    assert [path.name for path in own_models.iterdir()] == ["spine"]


def test_the_card_is_read_as_it_was_written(archive: Path, own_models: Path) -> None:
    ask("install", archive)
    card = Provenance.load(own_models / "spine")
    assert card is not None
    assert card.half_precision and card.labels == "spider"
    replace(card, release="1.1").save(own_models / "spine")
    assert Provenance.load(own_models / "spine") == replace(card, release="1.1")
    seen = read_model(own_models / "spine").card.seen
    assert [scan.id for scan in seen] == ["1_t1", "2_t2", "3_t1", "4_t2"]
    assert all(len(scan.image) == 16 and scan.shape == (6, 72, 36) for scan in seen)
