"""A trading day unattended: notebooks run by papermill on the exchange's calendar, each run an audit record."""
