"""Datasets and the shapes world; a file is imported where it is used."""
