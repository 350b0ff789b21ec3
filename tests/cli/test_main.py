"""The commands as a user meets them: files in, files out, one line and one exit code per fault."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitstream
from tests.support.exif import camera_exif
from tests.support.icc import rgb_profile
from vqcodec.cli.main import main
from vqcodec.codec import default_codec
from vqcodec.image.xmp import DIGITAL_SOURCE_TYPE

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def here(tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to work in, but for photo.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    photo.save("photo.png")
    return tmp_path


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code


def process(*arguments: str | Path, **options: object) -> subprocess.Popen:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, "-m", "vqcodec", *map(str, arguments)], env=environment, **options
    )


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def listed(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


# --- there and back -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
def test_a_photograph_goes_there_and_back(capsys: pytest.CaptureFixture) -> None:
    assert run("compress", "photo.png") == 0
    assert run("decompress", "photo.vqc", "-o", "back.png", "--reference", "photo.png") == 0
    out, err = capsys.readouterr()
    assert err == ""
    size = Path("photo.vqc").stat().st_size
    assert out.splitlines()[0] == (
        f"photo.png -> photo.vqc: 160x107, {size:,} bytes, {8 * size / 160 / 107:.3f} bpp"
    )
    assert out.splitlines()[1].startswith(f"photo.vqc -> back.png: 160x107, {size:,} bytes, ")
    assert out.endswith(" dB PSNR\n")
    with Image.open("photo.png") as image:
        data = default_codec().compress(image)
    assert Path("photo.vqc").read_bytes() == data
    with Image.open("back.png") as image:
        assert np.array_equal(image, default_codec().decompress(data))


@pytest.mark.usefixtures("here")
def test_quality_bits_per_pixel_and_size() -> None:
    sizes = {}
    for name, options in {
        "low": ["-q", 0],
        "high": ["-q", 100],
        "bpp": ["--bpp", 0.2],
        "size": ["--size", 500],
    }.items():
        assert run("compress", "photo.png", "-o", f"{name}.vqc", *options) == 0
        sizes[name] = Path(f"{name}.vqc").stat().st_size
    assert sizes["low"] < sizes["high"]
    assert 0.97 * 428 < sizes["bpp"] <= 428
    assert 0.97 * 500 < sizes["size"] <= 500


@pytest.mark.usefixtures("here")
def test_metadata_is_kept_unless_stripped(photo: Image.Image) -> None:
    photo.save("turned.jpg", exif=b"Exif\0\0" + camera_exif(6), icc_profile=rgb_profile())
    assert run("compress", "turned.jpg") == 0
    assert run("decompress", "turned.vqc") == 0
    with Image.open("turned.png") as image:
        assert image.size == (107, 160)
        assert image.info["icc_profile"] == rgb_profile()
        assert image.getexif()[0x010F] == "Cameras & Sons"
    assert run("compress", "turned.jpg", "-o", "bare.vqc", "--strip") == 0
    assert [chunk["tag"] for chunk in bitstream.info(Path("bare.vqc").read_bytes())["chunks"]] == ["P"]
    assert run("decompress", "bare.vqc") == 0
    assert size_of("bare.png") == (107, 160)


@pytest.mark.usefixtures("here")
def test_parts_previews_and_formats() -> None:
    assert run("compress", "photo.png", "-q", 100) == 0
    assert run("decompress", "photo.vqc", "-o", "part.jpg", "--region", "10,20,30,40") == 0
    assert size_of("part.jpg") == (30, 40)
    assert run("decompress", "photo.vqc", "-o", "small.webp", "--scale", "1/4") == 0
    assert size_of("small.webp") == (40, 27)
    assert run("decompress", "photo.vqc", "-o", "coarse.png", "--stages", 1) == 0
    assert run("decompress", "photo.vqc", "-o", "out/", "--format", "tif") == 0
    assert size_of("out/photo.tif") == (160, 107)


# --- many files -----------------------------------------------------------------------------------------


def test_directories_keep_their_shape(here: Path, photo: Image.Image, capsys: pytest.CaptureFixture) -> None:
    (here / "album" / "deep").mkdir(parents=True)
    photo.save("album/a.png")
    photo.save("album/deep/b.jpg")
    (here / "album" / "notes.txt").write_text("not a picture")
    assert run("compress", "album", "-o", "out", "--quiet") == 0
    assert listed(here / "out") == ["a.vqc", "deep/b.vqc"]
    assert run("decompress", "out", "--quiet") == 0
    assert listed(here / "out") == ["a.png", "a.vqc", "deep/b.png", "deep/b.vqc"]
    assert capsys.readouterr() == ("", "")


def test_one_bad_file_does_not_stop_the_rest(
    here: Path, photo: Image.Image, capsys: pytest.CaptureFixture
) -> None:
    Path("broken.png").write_text("not a picture")
    photo.save("last.png")
    assert run("compress", "broken.png", "missing.png", "photo.png", "last.png", "--threads", 2) == 3
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "vqcodec: broken.png: not a picture in a format that Pillow reads",
        "vqcodec: missing.png: No such file or directory",
    ]
    assert [line.split()[0] for line in out.splitlines()] == ["photo.png", "last.png"]
    assert listed(here) == ["broken.png", "last.png", "last.vqc", "photo.png", "photo.vqc"]
    # Of two kinds of faults neither has the exit code.
    assert run("compress", "broken.png", "photo.png") == 1


def test_existing_outputs_are_left_alone(here: Path, capsys: pytest.CaptureFixture) -> None:
    (here / "photo.vqc").write_bytes(b"mine")
    assert run("compress", "photo.png") == 7
    assert capsys.readouterr().err == (
        "vqcodec: photo.vqc: exists already (-f overwrites it, --skip-existing leaves it)\n"
    )
    assert run("compress", "photo.png", "--skip-existing", "-v") == 0
    assert capsys.readouterr().out == "photo.png -> photo.vqc: exists already, skipped\n"
    assert (here / "photo.vqc").read_bytes() == b"mine"
    assert run("compress", "photo.png", "-f") == 0
    assert bitstream.info((here / "photo.vqc").read_bytes())["width"] == 160


def test_no_source_is_ever_overwritten(here: Path, photo: Image.Image, capsys: pytest.CaptureFixture) -> None:
    before = (here / "photo.png").read_bytes()
    (here / "link.vqc").symlink_to("photo.png")
    os.link("photo.png", "hard.vqc")
    (here / "same").symlink_to(here, target_is_directory=True)
    shutil.copy("photo.png", "bare")
    for source, output in (("photo.png", "link.vqc"), ("photo.png", "hard.vqc"), ("bare", "same/bare")):
        assert run("compress", source, "-o", output, "-f") == 7
    assert capsys.readouterr().err.splitlines()[0] == "vqcodec: link.vqc: is one of the inputs"
    assert run("compress", "photo.png") == 0
    # Nor that of another file of the batch.
    shutil.copy("photo.vqc", "other.vqc")
    (here / "other.png").symlink_to("photo.vqc")
    assert run("decompress", "other.vqc", "photo.vqc", "-o", "same", "-f") == 7
    assert (here / "photo.png").read_bytes() != before
    assert bitstream.info((here / "photo.vqc").read_bytes())["width"] == 160


@pytest.mark.usefixtures("here")
def test_two_inputs_never_share_an_output(photo: Image.Image, capsys: pytest.CaptureFixture) -> None:
    Path("grey").mkdir()
    photo.convert("L").save("grey/photo.png")
    assert run("compress", "grey/photo.png", "photo.png", "-o", "out") == 7
    assert capsys.readouterr().err == "vqcodec: out/photo.vqc: is already the output of grey/photo.png\n"
    assert bitstream.info(Path("out/photo.vqc").read_bytes())["mode"] == "L"


@pytest.mark.usefixtures("here")
def test_json_says_all_of_it(photo: Image.Image, capsys: pytest.CaptureFixture) -> None:
    photo.convert("CMYK").save("inks.tif")
    assert run("compress", "inks.tif", "missing.png", "photo.png", "--json") == 3
    inks, missing, plain = map(json.loads, capsys.readouterr().out.splitlines())
    size = Path("inks.vqc").stat().st_size
    assert inks == {
        "input": "inks.tif",
        "output": "inks.vqc",
        "width": 160,
        "height": 107,
        "bytes": size,
        "bpp": 8 * size / (160 * 107),
        "warnings": ["CMYK is converted to sRGB"],
    }
    assert missing == {
        "input": "missing.png",
        "output": "missing.vqc",
        "error": "No such file or directory",
        "exit_code": 3,
    }
    assert "warnings" not in plain


# --- faults ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nosuch"],
        ["compress"],
        ["compress", "photo.png", "-q", "101"],
        ["compress", "photo.png", "--bpp", "0.1", "--size", "100"],
        ["compress", "photo.png", "photo.png", ".", "-o", "-"],
        ["compress", "photo.png", "-o", "-", "--json"],
        ["compress", "-", "photo.png"],
        ["compress", "photo.png", "-o", "x.png", "-f"],
        ["compress", "photo.png", "-o", "photo.png", "-f"],
        ["compress", "photo.png", "-o", "x.JPEG"],
        ["compress", "-", "-o", "x.vqc", "--preserve"],
        ["decompress", "x.vqc", "-o", "-", "--preserve"],
        ["decompress", "photo.png", "-o", "a.nosuch"],
        ["decompress", "photo.png", "--format", "nosuch"],
        ["decompress", "photo.png", "--region", "1,2,3"],
        ["decompress", "photo.png", "photo.vqc", "--reference", "photo.png"],
        ["info"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert run(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_every_kind_of_fault_has_its_exit_code_and_one_line(capsys: pytest.CaptureFixture) -> None:
    assert run("compress", "photo.png", "-q", 100) == 0
    data = Path("photo.vqc").read_bytes()
    Path("damaged.vqc").write_bytes(data[:-10] + bytes([data[-10] ^ 1]) + data[-9:])
    Path("text.vqc").write_text("no picture at all, but long enough for one")
    other = bitstream.Header(16, 16, b"\1\2\3\4", 1)
    Path("other.vqc").write_bytes(bitstream.write(other, [bitstream.TileStream((b"",), (0,))]))
    Path("folder").mkdir()
    capsys.readouterr()
    faults = {
        ("decompress", "missing.vqc"): (3, "missing.vqc: No such file or directory"),
        ("decompress", "missing.vqc", "--region", "0,0,1,1"): (3, "missing.vqc: No such file or directory"),
        ("decompress", "damaged.vqc"): (4, "damaged.vqc: the checksum of chunk P is wrong"),
        ("decompress", "text.vqc"): (4, "text.vqc: not a .vqc file"),
        ("info", "text.vqc"): (4, "text.vqc: not a .vqc file"),
        ("info", "missing.vqc"): (3, "missing.vqc: No such file or directory"),
        ("decompress", "other.vqc"): (5, "other.vqc: made with model 01020304, but the model at hand is"),
        ("compress", "photo.png", "-f", "--model", "nosuch"): (5, "nosuch: no such model file"),
        ("compress", "photo.png", "-f", "--size", "20"): (6, "photo.png: 20 bytes cannot be reached"),
        ("compress", "photo.png", "-o", "photo.png/x.vqc"): (7, "photo.png/x.vqc: "),
        ("compress", "photo.png", "-o", "/proc/x.vqc"): (7, "/proc/x.vqc: cannot be written: "),
        ("decompress", "photo.vqc", "-f", "--region", "0,0,999,1"): (
            2,
            "photo.vqc: region 0,0,999,1 is not inside",
        ),
        ("compress", "folder"): (3, "folder: holds no files of the kind to read"),
        ("compress", "photo.png", "-f", "--max-megapixels", "0.01"): (
            3,
            "photo.png: 160x107 pixels are more",
        ),
        ("decompress", "photo.vqc", "-f", "--max-megapixels", "0.01"): (
            4,
            "photo.vqc: 160x107 pixels are more",
        ),
    }
    for arguments, (code, line) in faults.items():
        assert run(*arguments) == code, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"vqcodec: {line}"), arguments
        assert err.count("\n") == 1, err
    assert Path("photo.vqc").read_bytes() == data


@pytest.mark.usefixtures("here")
def test_a_truncated_file_gives_the_coarser_picture_and_says_so(capsys: pytest.CaptureFixture) -> None:
    assert run("compress", "photo.png", "-q", 100, "--quiet") == 0
    data = Path("photo.vqc").read_bytes()
    Path("cut.vqc").write_bytes(data[:-200])
    assert run("decompress", "cut.vqc") == 4
    err = capsys.readouterr().err
    assert err.startswith("vqcodec: cut.vqc: warning: the file is truncated (200 bytes are missing): ")
    assert err.count("\n") == 1
    assert size_of("cut.png") == (160, 107)
    assert run("info", "cut.vqc") == 0
    assert "truncated: 200 bytes are missing" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_warnings_are_one_line_and_name_the_file(photo: Image.Image, capsys: pytest.CaptureFixture) -> None:
    photo.save("moving.gif", save_all=True, append_images=[photo.convert("L")])
    assert run("compress", "moving.gif", "--quiet") == 0
    assert capsys.readouterr().err == (
        "vqcodec: moving.gif: warning: only the first of several frames is kept\n"
    )


# --- info -----------------------------------------------------------------------------------------------


def test_info_describes_files(here: Path, capsys: pytest.CaptureFixture) -> None:
    image = Image.new("RGBA", (1500, 20), (1, 2, 30, 4))
    image.save("wide.png", icc_profile=rgb_profile())
    assert run("compress", "wide.png", "photo.png", "--quiet") == 0
    assert run("info", "wide.vqc") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wide.vqc: 1500x20 RGBA, ")
    assert "2 tiles of 1024x1024" in lines[1]
    assert "ICC profile" in lines[2]
    assert "alpha 2, payload" in lines[2]
    assert lines[3] == "  decoded pictures are labelled compositeWithTrainedAlgorithmicMedia"
    assert run("info", "--json", "wide.vqc", "photo.vqc") == 0
    wide, plain = map(json.loads, capsys.readouterr().out.splitlines())
    expected = bitstream.info((here / "wide.vqc").read_bytes())
    assert wide == {"file": "wide.vqc"} | expected | {"digital_source_type": DIGITAL_SOURCE_TYPE}
    assert plain["mode"] == "RGB"


def test_info_needs_no_torch(here: Path) -> None:
    assert run("compress", "photo.png", "--quiet") == 0
    code = (
        "import sys; from vqcodec.cli.main import main\n"
        "try: main(['info', 'photo.vqc'])\n"
        "except SystemExit as stop: sys.exit(stop.code or 'torch' in sys.modules or 'PIL' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, check=False)
    assert result.returncode == 0


# --- as a process ---------------------------------------------------------------------------------------


def test_standard_streams_carry_files(here: Path) -> None:
    with process("compress", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as compressing:
        data, _ = compressing.communicate((here / "photo.png").read_bytes())
    assert bitstream.info(data)["width"] == 160
    with process(
        "decompress", "-", "--format", "jpg", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as decompressing:
        picture, _ = decompressing.communicate(data)
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.size) == ("JPEG", (160, 107))


# Runs the program with a Ctrl-C at the moment when it begins to import a module.
INTERRUPTED = """
import runpy, signal, sys
module = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_module("vqcodec", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "module",
    ["click", "vqcodec.cli.batch", "numpy", "onnxruntime", "torch._C", "torch.nn", "PIL.PngImagePlugin"],
)
def test_ctrl_c_while_importing_is_one_line(here: Path, module: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", INTERRUPTED, module, "compress", "photo.png"]
    command += ["--runtime", "torch"] if module.startswith("torch") else []
    result = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, "vqcodec: stopped\n")
    assert listed(here) == ["photo.png"]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
def test_ctrl_c_while_compressing_is_one_line_and_leaves_nothing_half_done(here: Path) -> None:
    with Image.open(DATA / "temple.jpg") as image:
        image.resize((4000, 3000)).save("large.png", compress_level=1)
    import fcntl
    import struct
    import termios

    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with process("compress", "large.png", "--threads", "1", stderr=end) as compressing:
        os.close(end)
        # The progress bar tells that compressing is under way; many windows are still to come.
        seen = b""
        while b"%|" not in seen:
            seen += os.read(terminal, 1024)
        compressing.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the end of a terminal
            while more := os.read(terminal, 1024):
                seen += more
    os.close(terminal)
    assert compressing.returncode == 130
    lines = seen.decode().split("\r\n")
    assert lines[-2:] == ["vqcodec: stopped", ""]
    assert all("%|" in line for line in lines[:-2])
    assert listed(here) == ["large.png", "photo.png"]


def test_a_reader_that_goes_away_is_no_traceback(here: Path) -> None:
    for number in range(3):
        shutil.copy("photo.png", f"{number}.png")
    with process("compress", ".", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as compressing:
        compressing.stdout.close()
        err = compressing.stderr.read()
    assert b"Traceback" not in err


def completed(line: str) -> list[str]:
    """What bash is told at a tab key after this line, once it has run what the help says."""
    code = (
        "import sys; from vqcodec.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    words = line.split(" ")
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "_VQCODEC_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_the_tab_key_completes_commands_options_and_files_without_delay() -> None:
    assert "plain,compress" in completed("vqcodec comp")
    assert {"plain,decompress", "plain,info", "plain,train"} <= set(completed("vqcodec "))
    assert "plain,--skip-existing" in completed("vqcodec compress --s")
    for line in ("vqcodec compress pho", "vqcodec decompress -o ou", "vqcodec info a.vqc b"):
        assert completed(line) == ["file," + line.split()[-1]]


@pytest.mark.usefixtures("here")
def test_help_is_quick_and_names_the_exit_codes(capsys: pytest.CaptureFixture) -> None:
    code = (
        "import sys; from vqcodec.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: sys.exit(stop.code or 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    for command in ([], ["compress"], ["decompress"], ["info"]):
        assert run(*command, "--help") == 0
        assert "4  a .vqc file is damaged" in capsys.readouterr().out
    for command in ("evaluate", "compare", "train", "release"):
        assert run(command, "--help") == 0
        assert "Usage: vqcodec " + command in capsys.readouterr().out
