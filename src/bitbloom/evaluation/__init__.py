"""The evaluation of a model: metrics, calibration, figures, the report and the model card."""
