import mmclip  # noqa: F401  (its mends come before mmdet's imports)
