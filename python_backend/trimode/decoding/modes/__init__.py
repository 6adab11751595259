"""The modes, each two pure functions of a sequence: `plan` the next pass, `apply` its result."""
