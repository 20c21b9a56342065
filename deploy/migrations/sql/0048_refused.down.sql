DROP INDEX gateway.usage_refused;
