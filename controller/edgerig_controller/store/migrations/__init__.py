"""Schema migrations, one date-named file each; run when the controller opens its database."""
