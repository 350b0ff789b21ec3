"""Write the graphs of a model."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
from onnx.external_data_helper import convert_model_from_external_data, load_external_data_for_model

from vqcodec.config import ModelConfig
from vqcodec.errors import ModelError
from vqcodec.training.onnx.graph import encoder_graph, generator_graph
from vqcodec.weights import GRAPHS, ModelFile, graph_path


def write_graphs(file: ModelFile, folder: Path | None = None) -> list[Path]:
    """Write encoder and generator of a model as ONNX files, and return their paths.

    Args:
        file: what `load_model` returned.
        folder: where to write them, each with its weights inside. By default they go beside the model file, hold no
            weights but refer to it, and replace those of the model that was there before.

    Raises:
        vqcodec.errors.ModelError: the model is an imported one.
    """
    if file.path is None or not isinstance(file.config, ModelConfig):
        raise ModelError(f"{file.path}: only models of this project can be written as ONNX")
    models = {
        "encoder": encoder_graph(file.path, file.config),
        "generator": generator_graph(file.path, file.config, bool(file.realistic)),
    }
    written = []
    for name in GRAPHS:
        model = models[name]
        onnx.helper.set_model_props(model, {"model": file.model_id.hex()})
        if folder is None:
            for old in file.path.parent.glob(f"{file.path.stem}-????????-{name}.onnx"):
                old.unlink()
            path = graph_path(file.path, file.model_id, name)
        else:
            load_external_data_for_model(model, str(file.path.parent))
            convert_model_from_external_data(model)
            path = folder / f"{file.path.stem}-{name}.onnx"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(temporary, path)
        written.append(path)
    return written
