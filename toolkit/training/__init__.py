"""Training RT4KSR networks on a folder of photographs. Importing this package does not import torch."""
