"""The OpenTelemetry side: spans become Logregels."""
