"""What a proposal says, and how it is written: the same where it is shown and where it is mailed."""
