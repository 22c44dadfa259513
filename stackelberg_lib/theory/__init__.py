"""The lemmas and theorems of this project's reconstruction, as functions."""
