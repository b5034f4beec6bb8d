"""The one error that a program shows as a line instead of a traceback."""


class UserError(Exception):
    """Something the user can put right; the message says what was expected, what came, and what to do."""
