"""Light-curve models: encoder, anomaly scores, calibration, training. Never imports worker."""
