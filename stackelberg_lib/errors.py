"""The one error that a person's input can cause."""


class InputError(ValueError):
    """Bad input from outside: one line that names the argument, the value and the fix.

    Programs catch it at the door and print it without a traceback.
    """
