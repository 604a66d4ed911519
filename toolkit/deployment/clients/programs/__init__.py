"""Programs that run an ONNX file with a client's defaults: `python PROGRAM MODEL INPUT.npy OUTPUT.npy`.

Each is complete, and is the code to copy. They print the client's version.
"""
