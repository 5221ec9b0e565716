"""Why a version is as it is: looks at its records give causes with evidence, and diagnose ranks them."""
