"""What all methods share: names, prompts, towers, weights, similarity."""
