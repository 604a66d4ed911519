"""Networks in PyTorch: architectures, checkpoints, fusion with its proof. Importing this package does not import
torch."""
