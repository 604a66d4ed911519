"""`web`: a static page that runs an artifact in the browser, compared with ONNX Runtime when it is opened."""
