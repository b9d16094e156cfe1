"""The Logregel: what one Actie leaves in the Logboek."""
