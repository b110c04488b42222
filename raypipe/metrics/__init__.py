"""The numbers of a run as metrics: for Prometheus through Ray, and for CloudWatch."""
