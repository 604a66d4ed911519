"""Ablation study: cost and quality of each step of the paper's design, after the same short training."""
