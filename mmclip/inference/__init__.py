"""From an image to a plain dict, without a config in sight."""
