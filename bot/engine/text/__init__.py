"""Between text and tokens: the chat template, sampling, and whole characters on the way back."""
