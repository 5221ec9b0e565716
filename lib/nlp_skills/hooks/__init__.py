"""What the coding assistant's hooks do: one event in, one short note out.

    hooks/run-hook.sh      → is there anything to do? (milliseconds, no Python)
    session-start          a session begins     → runs that ended, data with errors, the next open step
    data-validation        task data changed    → validate_data  → verdict and findings
    version-tracking       a training run ended → record_lineage → what was recorded

The event is JSON on standard input; the note is `hookSpecificOutput.additionalContext` on standard
output, which the model reads. Whatever goes wrong in here is one line on standard error and exit
status 0: a hook never stands in the user's way.
"""
