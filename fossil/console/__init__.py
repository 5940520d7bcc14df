"""How the console talks: words, prompts, modes and messages as text. Knows nothing of file systems."""
