"""The networks: PyTorch modules that also write themselves as ONNX. Imported only to train; nothing live does."""
