"""Scripts that do what `toolkit build` does, written out: to read, to change, to hand to others."""
