"""The report of guidelines: what to deploy, what is known, how, and what is not."""
