"""What can be wrong with a bag."""

from mambapose_ros.errors import UserError


class BagError(UserError):
    """A bag that cannot be read or written; the message says what was expected."""
