"""SPAN (Wan et al., CVPRW 2024)."""
