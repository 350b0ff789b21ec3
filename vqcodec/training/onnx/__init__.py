"""Encoder and generator of a model as ONNX files, for ONNX Runtime and other programs."""
