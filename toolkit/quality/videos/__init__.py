"""Quality of upscaled video: clips, codecs, metrics of planes, and the report."""
