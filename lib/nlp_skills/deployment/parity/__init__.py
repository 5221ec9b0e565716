"""Is what is served what was trained? The same conversations, token by token; then the same test rows."""
