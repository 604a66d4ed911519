"""RT4KSR (Zamfir, Conde, Timofte, CVPRW 2023)."""
