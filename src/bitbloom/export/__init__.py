"""A trained network as graphs for ONNX Runtime: written the same on every machine, quantised, and compared with the network."""
