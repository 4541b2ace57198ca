"""Prometheus, Alertmanager and Grafana beside a service, with the rules and dashboards of `deploy/monitoring/`."""
