"""What every process has: logs, telemetry, health, gauges, and an orderly end"""
