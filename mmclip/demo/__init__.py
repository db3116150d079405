"""A page with a tab for each task: ``mmclip demo``."""
