"""What the tests of data share."""

from postgresql import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]
