"""Upscaling of files: pictures, videos and folders of them. Importing this package imports nothing heavy."""
