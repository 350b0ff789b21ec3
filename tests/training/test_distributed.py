"""Training by several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
START = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """All that is learned stays the same in both, through every kind of phase."""
    worker = ROOT / "tests" / "training" / "worker.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*START, str(worker), str(tmp_path), "8"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 15
    assert all(learner["initialised"] for learner in state["learners"])
