"""Upscaling people's files: images, folders and videos. Importing this package imports nothing heavy."""
