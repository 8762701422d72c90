"""What happened and how sure one may be of it: metrics, model tables, calibration, costs and the report."""
