"""Other forms of a version, made by the libraries that exist for them, each in an environment of its own."""
