"""RT4KSR in PyTorch: configuration, blocks, fusion, checkpoints. Importing this package does not import torch."""
