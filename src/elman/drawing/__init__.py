"""Pictures: functions that take numbers and return SVG."""
