"""The tables, views and roles of a Logboek."""
