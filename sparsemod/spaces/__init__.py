"""Families of networks: parameters, builder and morphisms side by side, one family per file."""
