"""The export of a trained network to ONNX: reproducible graphs, quantised, and compared with the network."""
