"""Files, processes, signals and hardware: what the toolkit uses of the operating system."""
