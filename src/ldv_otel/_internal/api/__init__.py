"""`ldv serve`: the Logboek over HTTP, for other organisations and for pages. Needs the extra `api`."""
