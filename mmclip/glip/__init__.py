"""Grounded language-image pre-training: GLIP and GLIPv2."""
