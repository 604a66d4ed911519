"""ONNX graphs that others exported: read with limits, rewritten to the toolkit's form, their contract measured."""
