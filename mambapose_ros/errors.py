"""The one error that a program shows as a line instead of a traceback, and what a line says of others."""


class UserError(Exception):
    """Something the user can put right; the message says what was expected, what came, and what to do."""


def first_line(error: Exception) -> str:
    """Of its message; its kind when it has none."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
