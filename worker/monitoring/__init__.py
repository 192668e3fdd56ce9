"""What a process shows of itself: logs without personal data, liveness, readiness and metrics."""
