"""ONNX in, ONNX out: export, rewriting passes, simplification, numerical checks."""
