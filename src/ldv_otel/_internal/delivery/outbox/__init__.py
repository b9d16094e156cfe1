"""The outbox: records that commit in the application's own database, and how they get from there to the Logboek."""
