"""`nlp-skills …` and `python -m nlp_skills …`: `mcp` starts the MCP server, all else is the CLI.

Only the shell that is asked for is loaded.
"""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Load one shell and run it."""
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first == "mcp":
        from nlp_skills.mcp_server import serve

        serve()
    else:
        from nlp_skills.cli import app

        if isinstance(sys.stdout, io.TextIOWrapper):
            # A pipe on Windows may know no → and no Chinese: a question mark is better than a traceback.
            sys.stdout.reconfigure(errors="replace")
        app(prog_name="nlp-skills")


if __name__ == "__main__":
    main()
