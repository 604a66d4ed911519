"""Ranking: several networks at one target size, by quality and frame time."""
