"""Training networks on a folder of photographs. Importing this package does not import torch."""
