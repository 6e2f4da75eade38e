"""Pruning while training, and quantization to the integer network that ships."""
