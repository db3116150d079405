"""Figures, one command each: ``mmclip figure KIND ... --out FILE``."""
