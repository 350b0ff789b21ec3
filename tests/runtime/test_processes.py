"""A codec that is loaded once works in threads and in processes, however they are started."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vqcodec.codec import Codec
from vqcodec.errors import ModelError
from vqcodec.forks import surviving_lock
from vqcodec.weights import ModelFile, load_model, released_model

ROOT = Path(__file__).parents[2]
# Much more than any of them takes. Without care, the children of a fork wait for ever.
LIMIT = 240

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("fork", marks=needs_fork),
        pytest.param("fork_with_more_threads", marks=needs_fork),
        pytest.param("fork_during_work", marks=needs_fork),
        pytest.param("fork_with_another_device", marks=needs_fork),
        pytest.param("fork_with_onnx", marks=needs_fork),
        pytest.param("fork_during_onnx", marks=needs_fork),
        pytest.param("pool_by_fork", marks=needs_fork),
        pytest.param("pool_by_forkserver", marks=needs_fork),
        "pool_by_spawn",
        "threads",
        "data_loader",
    ],
)
def test_a_codec_works_in(way: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("OMP_NUM_THREADS", None)
    command = [sys.executable, "-m", "tests.runtime.children", way]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (result.returncode, result.stdout) == (0, "same\n"), result.stderr


@needs_fork
def test_a_lock_is_free_in_the_child_of_a_fork() -> None:
    lock = surviving_lock()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if lock.acquire(timeout=5) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert lock.locked()
    done.set()
    thread.join()


# --- pickles --------------------------------------------------------------------------------------------


def test_a_pickled_codec_is_loaded_again(photo: Image.Image) -> None:
    codec = Codec.load(dtype=torch.float32)
    codec.transform.realism = 0.25
    pickled = pickle.dumps(codec)
    assert len(pickled) < 1000
    other = pickle.loads(pickled)
    data = codec.compress(photo)
    assert other.compress(photo) == data
    assert np.array_equal(other.decompress(data), codec.decompress(data))
    # Every one has its own settings, though they share the networks.
    other.transform.realism = 1.0
    assert pickle.loads(pickled).transform.realism == codec.transform.realism == 0.25
    assert copy.copy(other).transform.realism == 1.0


def test_a_pickled_codec_finds_its_model_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(released_model("photo"), tmp_path / "mine.safetensors")
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Codec.load("mine.safetensors"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).model_id == Codec.load().model_id


def test_a_model_that_has_changed_is_an_error_where_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copy(released_model("photo"), path)
    pickled = pickle.dumps(Codec.load(path))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"mine\.safetensors: the pickled codec has model [0-9a-f]{8}, but"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ModelError, match="no such model file"):
        pickle.loads(pickled)


def test_a_codec_without_a_file_cannot_be_pickled() -> None:
    file = load_model()
    codec = Codec(ModelFile(None, file.config, file.weights, file.model_id, file.tables))
    with pytest.raises(pickle.PicklingError, match="without a file cannot be pickled: save the model"):
        pickle.dumps(codec)
