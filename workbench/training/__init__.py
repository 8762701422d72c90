"""Training: labels, out-of-fold forecasts, fitting of the stages, and the probes that no result may fail."""
