"""Outputs are there whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from vqcodec.cli.output import replacing
from vqcodec.errors import WriteError


def write(path: Path, data: bytes = b"new", overwrite: bool = False) -> None:
    with replacing(path, overwrite) as file:
        file.write(data)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_writes_a_file_and_the_directories_above_it(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "c.vqc")
    assert (tmp_path / "a" / "b" / "c.vqc").read_bytes() == b"new"
    assert names(tmp_path / "a" / "b") == ["c.vqc"]


def test_others_may_read_what_they_may_read_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "a.vqc")
    (tmp_path / "b.vqc").touch()
    assert stat.S_IMODE((tmp_path / "a.vqc").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "b.vqc").stat().st_mode
    )


def test_overwrites_only_when_asked_to(tmp_path: Path) -> None:
    target = tmp_path / "a.vqc"
    target.write_bytes(b"old")
    with pytest.raises(WriteError, match="exists already"):
        write(target)
    assert target.read_bytes() == b"old"
    write(target, overwrite=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.vqc"]


def test_does_not_replace_what_appears_during_the_work(tmp_path: Path) -> None:
    target = tmp_path / "a.vqc"

    def race() -> None:
        with replacing(target) as file:
            file.write(b"new")
            target.write_bytes(b"from elsewhere")

    with pytest.raises(WriteError, match="exists already"):
        race()
    assert target.read_bytes() == b"from elsewhere"
    assert names(tmp_path) == ["a.vqc"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "a.vqc"
    if overwrite:
        target.write_bytes(b"old")

    def stopped() -> None:
        with replacing(target, overwrite) as file:
            file.write(b"half of it")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert names(tmp_path) == (["a.vqc"] if overwrite else [])
    assert not overwrite or target.read_bytes() == b"old"


def test_writes_through_a_link_and_leaves_the_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.vqc").write_bytes(b"old")
    (tmp_path / "link.vqc").symlink_to(tmp_path / "real" / "a.vqc")
    write(tmp_path / "link.vqc", overwrite=True)
    assert (tmp_path / "link.vqc").is_symlink()
    assert (tmp_path / "real" / "a.vqc").read_bytes() == b"new"


def test_writes_to_a_device_directly() -> None:
    write(Path(os.devnull))


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a directory"):
        write(tmp_path, overwrite=True)


def test_below_a_file_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(WriteError, match="file is not a directory"), replacing(tmp_path / "file" / "out"):
        pass
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_a_full_disk_is_one_line() -> None:
    with pytest.raises(WriteError, match="cannot be written: No space left on device"):
        write(Path("/dev/full"), b"x" * 100_000)


# --- permissions and times ------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="needs permissions of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "a.vqc"
    for kept in (0o600, 0o664, 0o400):
        target.write_bytes(b"old")
        target.chmod(kept)
        write(target, overwrite=True)
        assert (mode(target), target.read_bytes()) == (kept, b"new")
        target.unlink()


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    target = tmp_path / "a.vqc"
    target.write_bytes(b"old")
    os.chown(target, 1234, 5678)
    write(target, overwrite=True)
    assert (target.stat().st_uid, target.stat().st_gid) == (1234, 5678)


@posix
def test_nobody_reads_a_private_file_while_it_is_written(tmp_path: Path) -> None:
    target = tmp_path / "a.vqc"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with replacing(target, overwrite=True) as file:
        file.write(b"new")
        (temporary,) = tmp_path.glob(".*.tmp")
        assert mode(temporary) == 0o600


@posix
def test_times_and_permissions_of_another_file(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "a.vqc"
    source.touch()
    source.chmod(0o640)
    os.utime(source, ns=(10**18 + 1000, 9 * 10**17 + 2000))
    for _ in range(2):
        with replacing(target, overwrite=True, like=source.stat()) as file:
            file.write(b"new")
        found = target.stat()
        assert (mode(target), found.st_mtime_ns) == (0o640, 9 * 10**17 + 2000)
        assert found.st_atime_ns == 10**18 + 1000
        target.chmod(0o600)


def test_names_may_be_as_long_as_the_system_lets_them(tmp_path: Path) -> None:
    name = 83 * "\u4e2d" + ".vqc" if os.name == "posix" else 200 * "n" + ".vqc"
    write(tmp_path / name)
    assert names(tmp_path) == [name]
    with pytest.raises(WriteError, match="cannot be written: "):
        write(tmp_path / (300 * "n" + ".vqc"))
