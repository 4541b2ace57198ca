"""How good a model is: metrics, calibration, figures, the report and the model card."""
