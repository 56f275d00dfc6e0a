"""The command line: `options` says what can be typed, `main` runs it, and each command has a file.

`model` opens the engine for those commands that ask it.
"""
