"""Programs of others that run artifacts: code to copy, and checks of what they compute."""
