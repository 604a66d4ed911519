"""Fine-tuning for a lower precision: an artifact's graph as a PyTorch module, with its roundings simulated."""
