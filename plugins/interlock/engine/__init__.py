"""Running a role over many cases: taking them up, repeating what failed, resuming what was cut off, moving them on."""
