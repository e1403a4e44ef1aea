"""Files that only their owner reads, written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from realtor_local.private_files import make_private_folder, write_private


def test_a_private_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "first")
    write_private(path, "second")
    assert path.read_text() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["secret"]


def test_a_private_folder_keeps_others_out_and_an_existing_one_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    folder.chmod(0o750)
    make_private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
